#include <twofold/lib/op/random_key.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <vector>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/mode_interface.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/op/random_seed.h>
#include <twofold/lib/op/transaction.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {
namespace {

struct EagerRandom {
  std::mutex mutex;  // guards all below, and the counters; ordinals of graphs are guarded too
  RandomOrdinals ordinals;
  std::shared_ptr<RandomCounters> counters = std::make_shared<RandomCounters>();  // of this generation
  struct Older {
    uint32_t generation;
    std::weak_ptr<RandomCounters> counters;  // bodies hold them
  };
  std::vector<Older> older;
  std::vector<Older> loaded_programs;
  // Loaded counts of what has not drawn since, by execution_id as of loaded_generation.
  std::map<uint64_t, uint64_t> loaded;
  uint32_t loaded_generation = 0;
};
EagerRandom& eager_random() {
  static auto* state = new EagerRandom;
  return *state;
}

// Keys from here on are of `seed`, as if none had been made.
void restart(RandomOrdinals& ordinals, int64_t seed) {
  ordinals = {static_cast<uint64_t>(seed), ordinals.generation + ordinals.used, false, {}};
}

}  // namespace

RandomOrdinals& eager_random_ordinals() { return eager_random().ordinals; }

RandomOrdinals& current_ordinals() {
  if (t_state.body) return t_state.body->ordinals();
  if (ObserverDraws* draws = observer_draws()) return draws->ordinals;
  return mode().random_ordinals();
}

const std::shared_ptr<RandomCounters>& current_counters() {
  const BodyExecution* body = t_state.body;
  if (body && body->counters()) return body->counters();
  const ObserverDraws* draws = observer_draws();
  return draws ? draws->counters : eager_random().counters;
}

uint64_t next_random_key(std::optional<int64_t> op_seed) {
  std::lock_guard lock(eager_random().mutex);
  RandomOrdinals& ordinals = current_ordinals();
  ordinals.used = true;
  const uint64_t start = mix(0x74776f666f6c64ull, ordinals.seed);
  if (op_seed) return mix(mix(start, 1), static_cast<uint64_t>(*op_seed));
  return mix(mix(start, t_state.scope_path), ordinals.next[t_state.scope_path]++);
}

void set_random_seed(int64_t seed, std::source_location where) {
  const SourceScope source_scope(where);
  if (t_state.body)
    fail(Code::FailedPrecondition, "The seed was set in the body of a step, loop or branch, which runs many times",
         "tf::set_random_seed(seed) before it");
  if (observer_draws())
    fail(Code::FailedPrecondition, "The seed was set by an observer, whose draws are no part of the program",
         "tf::set_random_seed(seed) outside of observe()");
  EagerRandom& eager = eager_random();
  std::lock_guard lock(eager.mutex);
  if (!executing_eagerly()) {
    restart(deferred_mode().random_ordinals(), seed);
    return;
  }
  eager.older.push_back({eager.ordinals.generation, eager.counters});
  eager.counters = std::make_shared<RandomCounters>();
  std::erase_if(eager.older, [](const auto& old) { return old.counters.expired(); });
  if (std::ranges::none_of(eager.older, [&](const auto& old) { return old.generation <= eager.loaded_generation; }))
    eager.loaded.clear();  // nobody is left to go on from them
  restart(eager.ordinals, seed);
}

uint64_t execution_id(uint64_t key, uint32_t age) {
  return key + age * 0x9e3779b97f4a7c15ull;  // 2^64 over the golden ratio: multiples lie far apart, and keys are hashes
}

uint32_t current_random_generation() {
  std::lock_guard lock(eager_random().mutex);
  return current_ordinals().generation;
}

RandomState eager_random_state() {
  EagerRandom& eager = eager_random();
  std::lock_guard lock(eager.mutex);
  RandomState state{eager.ordinals, {eager.counters->begin(), eager.counters->end()}};
  for (const auto& [id, count] : eager.loaded)
    state.executions.emplace(execution_id(id, eager.ordinals.generation - eager.loaded_generation), count);
  for (const auto& old : eager.older)
    if (const auto counters = old.counters.lock())
      for (const auto& [key, count] : *counters)
        state.executions[execution_id(key, eager.ordinals.generation - old.generation)] = count;
  return state;
}

void set_eager_random_state(RandomState state) {
  EagerRandom& eager = eager_random();
  std::lock_guard lock(eager.mutex);
  for (const auto& old : eager.older)
    if (const auto counters = old.counters.lock()) counters->clear();
  eager.counters->clear();
  eager.loaded = std::move(state.executions);
  const uint32_t generation = eager.ordinals.generation;
  eager.ordinals = std::move(state.ordinals);
  eager.ordinals.generation = generation;
  eager.ordinals.used = true;
  eager.loaded_generation = generation;
}

RandomOrdinals copy_of(const RandomOrdinals& ordinals) {
  std::lock_guard lock(eager_random().mutex);
  return ordinals;
}

BodyKey new_body_key(std::string_view kind) {
  std::lock_guard lock(eager_random().mutex);
  RandomOrdinals& ordinals = current_ordinals();
  ordinals.used = true;
  const uint64_t path = mix(t_state.scope_path, std::hash<std::string_view>()(kind));
  return {ordinals.seed, mix(path, ordinals.next[path]++), ordinals.generation,
          executing_eagerly() ? current_counters() : nullptr};
}

uint64_t random_key_of(AttrsView attrs) {
  uint64_t key;
  std::memcpy(&key, attrs.data(), sizeof key);
  return key;
}

// Precondition: the mutex is held.
static uint64_t take_locked(const std::shared_ptr<RandomCounters>& counters, uint32_t generation, uint64_t key) {
  EagerRandom& eager = eager_random();
  const auto [counter, is_new] = counters->try_emplace(key, 0);
  if (is_new && generation <= eager.loaded_generation)
    if (const auto known = eager.loaded.extract(execution_id(key, eager.loaded_generation - generation)))
      counter->second = known.mapped();
  const uint64_t before = counter->second++;
  if (t_state.transaction) t_state.transaction->drew(counters, key, before);
  return before;
}

uint64_t next_eager_random_counter(uint64_t key) {
  EagerRandom& eager = eager_random();
  std::lock_guard lock(eager.mutex);
  const auto& counters = current_counters();
  return take_locked(counters, (counters == eager.counters ? eager.ordinals : current_ordinals()).generation, key);
}

std::shared_ptr<RandomCounters> eager_counters(uint32_t generation) {
  EagerRandom& eager = eager_random();
  std::lock_guard lock(eager.mutex);
  if (generation != eager.ordinals.generation)
    for (const auto* list : {&eager.older, &eager.loaded_programs})
      for (const auto& old : *list)
        if (auto counters = old.counters.lock(); counters && old.generation == generation) return counters;
  return eager.counters;
}

uint32_t new_eager_generation(const std::shared_ptr<RandomCounters>& counters) {
  static uint32_t g_next = UINT32_MAX;  // from the top, where those of set_random_seed never come
  EagerRandom& eager = eager_random();
  std::lock_guard lock(eager.mutex);
  std::erase_if(eager.loaded_programs, [](const auto& old) { return old.counters.expired(); });
  eager.loaded_programs.push_back({g_next, counters});
  return g_next--;
}

uint64_t eager_count(uint64_t key, uint32_t generation) {
  const auto counters = eager_counters(generation);
  std::lock_guard lock(eager_random().mutex);
  const auto known = counters->find(key);
  return known == counters->end() ? 0 : known->second;
}

uint64_t take_eager_count(const std::shared_ptr<RandomCounters>& counters, uint32_t generation, uint64_t key) {
  std::lock_guard lock(eager_random().mutex);
  return take_locked(counters, generation, key);
}

void give_back_eager_counts(RandomCounters& counters, uint64_t key, const TakenCounts& taken) {
  std::lock_guard lock(eager_random().mutex);
  const auto found = counters.find(key);
  if (found == counters.end() || found->second != taken.end) return;
  if (taken.begin == 0)
    counters.erase(found);  // as if it had never run
  else
    found->second = taken.begin;
}

}  // namespace twofold
