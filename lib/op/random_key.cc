#include <twofold/lib/op/random_key.h>

#include <mutex>

#include <twofold/lib/op/high.h>
#include <twofold/lib/op/thread_state.h>

namespace twofold {
namespace {

struct EagerRandom {
  std::mutex mutex;  // guards counters; ordinals belong to the threads' programs and are guarded too
  RandomOrdinals ordinals;
  std::unordered_map<uint64_t, uint64_t> counters;
};
EagerRandom& eager_random() {
  static auto* state = new EagerRandom;
  return *state;
}

}  // namespace

RandomOrdinals& current_ordinals() {
  if (t_state.random_frame) return t_state.random_frame->ordinals_;
  return executing_eagerly() ? eager_random().ordinals : graph_random_ordinals();
}

uint64_t next_random_key(std::optional<int64_t> op_seed) {
  std::lock_guard lock(eager_random().mutex);
  RandomOrdinals& ordinals = current_ordinals();
  const uint64_t start = mix(0x74776f666f6c64ull, ordinals.seed);
  if (op_seed) return mix(mix(start, 1), static_cast<uint64_t>(*op_seed));
  return mix(mix(start, t_state.scope_path), ordinals.next[t_state.scope_path]++);
}

void set_random_seed(int64_t seed) {
  EagerRandom& eager = eager_random();
  std::lock_guard lock(eager.mutex);
  if (executing_eagerly()) {
    eager.ordinals = {static_cast<uint64_t>(seed), {}};
    eager.counters.clear();
  } else {
    graph_random_ordinals().seed = static_cast<uint64_t>(seed);
  }
}

RandomState eager_random_state() {
  EagerRandom& eager = eager_random();
  std::lock_guard lock(eager.mutex);
  return {eager.ordinals, {eager.counters.begin(), eager.counters.end()}};
}

void set_eager_random_state(RandomState state) {
  EagerRandom& eager = eager_random();
  std::lock_guard lock(eager.mutex);
  eager.ordinals = std::move(state.ordinals);
  eager.counters = {state.executions.begin(), state.executions.end()};
}

RandomOrdinals copy_of(const RandomOrdinals& ordinals) {
  std::lock_guard lock(eager_random().mutex);
  return ordinals;
}

RandomBody new_random_body(std::string_view kind) {
  std::lock_guard lock(eager_random().mutex);
  RandomOrdinals& ordinals = current_ordinals();
  const uint64_t path = mix(t_state.scope_path, std::hash<std::string_view>()(kind));
  return {ordinals.seed, mix(path, ordinals.next[path]++)};
}

RandomFrame::RandomFrame(const RandomBody& body)
    : ordinals_{body.seed, {}}, outer_(t_state.random_frame), outer_path_(t_state.scope_path) {
  t_state.random_frame = this;
  t_state.scope_path = body.path;
}

RandomFrame::~RandomFrame() {
  t_state.random_frame = outer_;
  t_state.scope_path = outer_path_;
}

uint64_t random_key_of(AttrsView attrs) {
  uint64_t key;
  std::memcpy(&key, attrs.data(), sizeof key);
  return key;
}

uint64_t next_eager_random_counter(uint64_t key) {
  EagerRandom& eager = eager_random();
  std::lock_guard lock(eager.mutex);
  return eager.counters[key]++;
}

}  // namespace twofold
