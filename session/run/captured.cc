#include <twofold/session/run/captured.h>

#include <algorithm>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/plugin.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/session/run/gpu_run.h>
#include <twofold/session/run/random_draws.h>
#include <twofold/session/run/run_code.h>

namespace twofold {

namespace {
Tensor reshaped(const Tensor& t, const Shape& shape) {
  return Tensor::adopt(Value::view(Ref<Value>(t.value()), shape, 0).detach());
}
}  // namespace

Captured::~Captured() { drop(); }

DeviceBytes Captured::own_bytes() const {
  int64_t n = 0;
  for (const auto& [feed, to] : uploads_) n += static_cast<int64_t>(to.value()->bytes());
  if (counters_.defined()) n += static_cast<int64_t>(counters_.value()->bytes());
  DeviceBytes bytes;
  if (n) bytes.emplace_back(Device{static_cast<int8_t>(plan_.gpu.gpu + 1)}, n);
  return bytes;
}

DeviceBytes Captured::bytes() const {
  DeviceBytes all = counted_;
  if (frame_)
    for (const auto& entry : frame_bytes(plan_, 1)) all.push_back(entry);
  return all;
}

void Captured::count() {
  DeviceBytes change = own_bytes();
  for (const auto& [device, n] : counted_) change.emplace_back(device, -n);
  counted_ = own_bytes();
  frames_.count(change);
}

void Captured::count_no_more() {
  if (frame_) frame_->counted = nullptr;
}

void Captured::drop() {
  if (graph_) gpu_runtime()->free_graph(plan_.gpu.gpu, graph_);
  graph_ = nullptr;
  uploads_.clear();
  bound_.clear();
  captured_.clear();
}

bool Captured::run(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, LateUnit* unit) {
  if (++runs_ < 2) return false;
  if (graph_ && !fits(feeds)) {
    drop();
    count();
  }
  const bool captured = obstacle_.empty() && (graph_ || capture(feeds, ledger));
  if (ledger && !obstacle_.empty()) ledger->add_note("not captured as a CUDA graph: " + obstacle_);
  if (!captured) return false;
  const GpuRuntime& gpu = *gpu_runtime();
  {
    const PhaseTimer feeding(ledger, Phase::feed);
    for (const auto& [feed, to] : uploads_) copy_into(feeds[feed], to);
    if (counters_.defined()) {
      SmallVector<uint64_t, 16> counts;
      for (RandomCounter* c : plan_.counters) counts.push_back(RandomDraws::take(*c));
      check_gpu(
          gpu.to_device(plan_.gpu.gpu, counters_.value()->data(), counts.data(), counts.size() * sizeof(uint64_t)),
          "counters of random ops");
    }
  }
  {
    const PhaseTimer dispatch(ledger, Phase::dispatch);
    if (ledger) ledger->add_op("captured graph", {});
    const DeviceTimer timer({static_cast<int8_t>(plan_.gpu.gpu + 1)}, ledger, "captured graph");
    if (unit) {
      unit->add(plan_.gpu.late_calls);
      unit->begin(plan_.gpu.gpu, word_->get());
    }
    check_gpu(gpu.launch_graph(plan_.gpu.gpu, graph_), "a captured graph");
    for (const auto& [slot, write] : plan_.slots)
      if (write) slot->value.value()->overwrite();
  }
  const PhaseTimer fetching(ledger, Phase::fetch);
  for (size_t i = 0; i < plan_.fetches.size(); ++i) {
    const Source& s = plan_.fetches[i];
    if (s.fed) {  // what was fed this time, not what was when the graph was captured
      const Tensor& given = feeds[static_cast<size_t>(plan_.externals[s.external].feed)];
      fetched[i] = retained(reshaped(given, s.spec.shape));
      continue;
    }
    const bool released = s.from == Source::From::external && held_[s.external];
    const Tensor t = released ? reshaped(held_[s.external]->value, s.spec.shape) : frame_->tensor_of(s);
    fetched[i] = s.from == Source::From::constant ? t : copy_to(t, t.value()->device());
  }
  for (size_t i = 0; i < plan_.fetched_slots.size(); ++i) {
    const Slot& slot = *plan_.fetched_slots[i];
    fetched[plan_.fetches.size() + i] = copy_to(slot.value, slot.device);
  }
  return true;
}

// Whether what was captured is still where values are.
bool Captured::fits(std::span<const Tensor> feeds) {
  bool fit = true;
  for (size_t k = 0; k < bound_.size(); ++k) {
    const Value& v = *feeds[plan_.feeds[k].first].value();
    if (v.device().is_cpu() || own_[k] || v.data() == bound_[k]) continue;
    own_[k] = true;  // it is another tensor each time
    fit = false;
  }
  for (const auto& [slot, data] : captured_) fit = fit && slot->value.defined() && slot->value.value()->data() == data;
  for (const auto& [slot, write] : plan_.slots)
    fit = fit && (!write || slot->value.value()->is_writable());  // nobody else has a snapshot of it
  return fit;
}

bool Captured::capture(std::span<const Tensor> feeds, Ledger* ledger) {
  for (const auto& [slot, write] : plan_.slots) {
    if (!slot->value.defined()) return false;
    if (write && !slot->value.value()->is_writable()) slot->value = copy_to(slot->value, slot->device);
  }
  if (++captures_ > kMostCaptures) {
    obstacle_ = "it has had to be captured again too often";
  } else {
    const PhaseTimer timer(ledger, Phase::plan);
    if (!enqueue(feeds)) drop();
    count();
  }
  for (const auto& [slot, write] : plan_.slots)
    if (write) slot->pending = Tensor();
  return graph_ != nullptr;
}

bool Captured::enqueue(std::span<const Tensor> feeds) {
  const GpuRuntime& gpu = *gpu_runtime();
  const Device device{static_cast<int8_t>(plan_.gpu.gpu + 1)};
  if (!frame_) frame_ = frames_.take();  // that of the run before
  for (Tensor& t : frame_->externals) t = Tensor();
  for (size_t k = 0; k < plan_.feeds.size(); ++k) {
    const auto [feed, external] = plan_.feeds[k];
    Tensor value = feeds[feed];
    if (own_[k]) {
      value = Tensor::adopt(Value::make(value.dtype(), value.shape(), device).detach());
      uploads_.emplace_back(feed, value);
    }
    bound_.push_back(value.value()->data());
    frame_->set_external(external, value);
  }
  for (const auto& [slot, write] : plan_.slots) captured_.emplace_back(slot, slot->value.value()->data());
  if (!plan_.counters.empty() && !counters_.defined())
    counters_ = Tensor::adopt(Value::make(int64, {static_cast<int64_t>(plan_.counters.size())}, device).detach());

  if (plan_.gpu.fails_late && !word_) word_ = std::make_unique<ErrorWord>(plan_.gpu.gpu);

  void* stream = nullptr;
  if (const int e = gpu.begin_capture(plan_.gpu.gpu, &stream)) {
    obstacle_ = gpu.error_text(e);
    return false;
  }
  bool whole = false;
  try {
    GpuRun run(*frame_, stream, counters_.defined() ? static_cast<const uint64_t*>(counters_.value()->data()) : nullptr,
               word_ ? word_->get() : nullptr);
    run_code({plan_.code.data(), plan_.first_late}, *frame_, {}, &run, nullptr);
    for (const auto& [feed, external] : run.uploads()) uploads_.emplace_back(feed, frame_->externals[external]);
    run.join();
    whole = enqueue_commits(stream);
    if (whole && !snapshots_hold()) {
      obstacle_ = "a variable's old value is fetched in a run that writes it";
      whole = false;
    }
    release_variables();
  } catch (const Error& e) {
    obstacle_ = e.facts().message;
  }
  const int e = gpu.end_capture(plan_.gpu.gpu, stream, &graph_);
  if (e && obstacle_.empty()) obstacle_ = gpu.error_text(e);
  return whole && e == 0;
}

bool Captured::enqueue_commits(void* stream) {
  std::vector<void*> to;
  std::vector<const void*> from;
  std::vector<size_t> bytes;
  for (const auto& [slot, write] : plan_.slots) {
    if (!slot->pending.defined()) continue;
    const Value &next = *slot->pending.value(), &now = *slot->value.value();
    if (next.data() == now.data()) continue;
    const bool is_a_variable =
        std::ranges::any_of(captured_, [&](const auto& other) { return other.second == next.data(); });
    if (is_a_variable || !(next.spec() == now.spec())) {
      obstacle_ = "variable '" + slot->variable->name + "' is assigned another's value, or one of another shape";
      return false;
    }
    to.push_back(now.data());
    from.push_back(next.data());
    bytes.push_back(now.bytes());
  }
  check_gpu(
      gpu_runtime()->commit(stream, word_ ? word_->get() : nullptr, to.size(), to.data(), from.data(), bytes.data()),
      "new values of variables");
  return true;
}

// What runs write over, nobody else may hold.
void Captured::release_variables() {
  held_.assign(frame_->externals.size(), nullptr);
  for (const auto& [slot, write] : plan_.slots) {
    if (write) slot->pending = Tensor();
    for (size_t i = 0; write && i < held_.size(); ++i) {
      Tensor& t = frame_->externals[i];
      if (!t.defined() || !t.same_as(slot->value)) continue;
      held_[i] = slot;
      t = Tensor();
    }
  }
}

// Whether no fetch is a variable's value from before the run wrote it, which is overwritten when the fetch is copied.
bool Captured::snapshots_hold() const {
  return std::ranges::none_of(plan_.fetches, [&](const Source& s) {
    if (s.from != Source::From::external || plan_.in_place[s.external]) return false;
    const void* data = frame_->externals[s.external].value()->data();
    return std::ranges::any_of(
        plan_.slots, [&](const auto& slot) { return slot.second && slot.first->value.value()->data() == data; });
  });
}

}  // namespace twofold
