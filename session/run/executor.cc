// Executing a plan.
#include <fmt/format.h>

#include <cstring>
#include <optional>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/allocator.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/plugin.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/lib/runtime/thread_pool.h>
#include <twofold/session/plan/plan.h>
#include <twofold/session/program/node_error.h>
#include <twofold/session/run/gpu_run.h>

namespace twofold {

void rethrow_for_node(const Error& e, const GraphData& g, uint32_t node) {
  const Node& n = g.node(node);
  ErrorFacts facts = e.facts();
  if (!facts.node.empty()) throw e;
  facts.node = g.node_name(node);
  if (facts.op.empty()) facts.op = n.op->name;
  if (n.where.line() != 0) facts.where = n.where;
  throw Error(e.code(), std::move(facts));
}

Frame::Frame(const Plan& p, WithoutArenas)
    : plan(p),
      arenas(p.arenas_.size()),
      args(p.args_.size()),
      externals(p.externals_.size()),
      pools(p.arenas_.size()),
      counts(p.counters_.size()) {}
Frame::Frame(const Plan& p) : Frame(p, WithoutArenas()) {  // the destructor frees those that are there if one fails
  for (size_t d = 0; d < arenas.size(); ++d) {
    const size_t bytes = p.arenas_[d].bytes;
    if (!bytes) continue;
    if (d) pools[d] = Ref<GpuPool>(&p.session_->pools.of(static_cast<int>(d) - 1));
    arenas[d] = static_cast<std::byte*>(d ? pools[d]->allocate(bytes) : allocate(bytes));
  }
  for (size_t i = 0; i < args.size(); ++i) {
    const Plan::Arg& a = plan.args_[i];
    args[i] = a.from == Plan::Arg::From::arena      ? arenas[static_cast<size_t>(a.device.index)] + a.offset
              : a.from == Plan::Arg::From::constant ? a.constant
                                                    : nullptr;
  }
}
Frame::~Frame() {
  if (counted) plan.session_->plans.hold(plan, plan.frame_bytes(-1));
  for (size_t d = 0; d < arenas.size(); ++d) {
    const size_t bytes = plan.arenas_[d].bytes;
    if (arenas[d]) d ? pools[d]->deallocate(arenas[d], bytes) : deallocate(arenas[d], bytes);
  }
}

Plan::Plan() = default;
Plan::~Plan() {
  session_->plans.remove(*this);
  take_idle();
}

Plan::Idle::Idle() = default;
Plan::Idle::Idle(Idle&&) noexcept = default;
Plan::Idle::~Idle() = default;

DeviceBytes Plan::Idle::bytes() const {
  DeviceBytes all;
  for (const auto& frame : frames)
    for (const auto& entry : frame->plan.frame_bytes(1)) all.push_back(entry);
  if (captured)
    for (const auto& entry : captured->bytes()) all.push_back(entry);
  return all;
}

Plan::Idle Plan::take_idle() const {
  Idle idle;
  if (Frame* spare = spare_.exchange(nullptr, std::memory_order_acquire)) idle.frames.emplace_back(spare);
  {
    std::lock_guard lock(frames_mutex_);
    for (auto& frame : frames_) idle.frames.push_back(std::move(frame));
    frames_.clear();
  }
  for (const auto& frame : idle.frames) frame->counted = false;
  if (!captured_taken_.exchange(true, std::memory_order_acquire)) {
    idle.captured = std::move(captured_);
    captured_taken_.store(false, std::memory_order_release);
  }
  if (idle.captured) idle.captured->count_no_more();
  return idle;
}

DeviceBytes Plan::frame_bytes(int64_t count) const {
  DeviceBytes bytes;
  for (size_t d = 0; d < arenas_.size(); ++d)
    if (arenas_[d].bytes)
      bytes.emplace_back(Device{static_cast<int8_t>(d)}, count * static_cast<int64_t>(arenas_[d].bytes));
  return bytes;
}

std::unique_ptr<Frame> Plan::take_frame() const {
  if (Frame* spare = spare_.exchange(nullptr, std::memory_order_acquire)) return std::unique_ptr<Frame>(spare);
  {
    std::lock_guard lock(frames_mutex_);
    if (!frames_.empty()) {
      auto frame = std::move(frames_.back());
      frames_.pop_back();
      return frame;
    }
  }
  const DeviceBytes bytes = frame_bytes(1);
  session_->plans.make_room(this, bytes);
  auto frame = std::make_unique<Frame>(*this);
  session_->plans.hold(*this, bytes);
  frame->counted = true;
  last_used_.store(tick_memory_clock(), std::memory_order_relaxed);
  tick_memory_clock();  // so that this comes before what is used from now on
  return frame;
}

void Plan::give_frame(std::unique_ptr<Frame> frame) const {
  for (Tensor& t : frame->externals) const Tensor gone = std::move(t);
  Frame* none = nullptr;
  if (spare_.compare_exchange_strong(none, frame.get(), std::memory_order_release, std::memory_order_relaxed)) {
    static_cast<void>(frame.release());
    return;
  }
  if (session_->plans.is_over(frame_bytes(1))) return;  // of several runs at once: one frame is enough
  std::lock_guard lock(frames_mutex_);
  frames_.push_back(std::move(frame));
}

Tensor Plan::tensor_of(const Frame& frame, const Source& s) const {
  if (s.from == Source::From::constant) return s.constant;
  if (s.from == Source::From::arena) {
    std::byte* data = frame.arenas[static_cast<size_t>(s.device.index)] + s.offset;
    return Tensor::adopt(Value::borrow(s.spec.dtype, s.spec.shape, data, s.device).detach());
  }
  const Tensor& t = frame.externals[s.external];
  if (!s.spec.shape.is_known() || t.value()->shape() == s.spec.shape) return t;
  return Tensor::adopt(Value::view(Ref<Value>(t.value()), s.spec.shape, 0).detach());
}

namespace {
// `retained` of a tensor that the caller gives away.
Tensor kept(Tensor t) { return t.value()->is_borrowed() ? retained(t) : t; }

// A variable's value as it is now.
Tensor snapshot(const Tensor& t) { return t.value()->device().is_cpu() ? t : copy_to(t, t.value()->device()); }
}  // namespace

template <bool kTimed>
void Plan::run_code_as(std::span<const Instruction> code, Frame& frame, GpuRun* gpu, Ledger* ledger) const {
  KernelContext context{.parallel = parallel_for(), .workspace = frame.arenas[0] + arenas_[0].workspace};
  void* const* args = frame.args.data();
  using Clock = std::chrono::steady_clock;
  Clock::time_point start;
  [[maybe_unused]] const auto begin = kTimed ? Clock::now() : Clock::time_point();
  [[maybe_unused]] Clock::duration accounted{};  // to kernels and host steps; the rest is dispatch
  for (const Instruction& i : code) {
    switch (i.what) {
      case Do::random: context.random_counter = draw(frame, i.aux); [[fallthrough]];
      case Do::kernel:
      case Do::kernel_that_may_fail:
        if constexpr (kTimed) start = Clock::now();
        i.fn(i.params, args + i.args, context);
        if constexpr (kTimed) {
          const auto kernel = Clock::now() - start;
          ledger->add_op(ops_[static_cast<size_t>(&i - code_.data())]->name, kernel);
          accounted += kernel;
        }
        if (i.what == Do::kernel_that_may_fail && context.error != KernelError::none) {
          const Node& node = graph_->node(i.node);
          with_node(*graph_, i.node, [&] { check_kernel(*node.op, node.attrs_view(), context); });
        }
        break;
      case Do::make: {
        const External& e = externals_[i.aux];
        const Slot* const slot = in_place_[i.aux];
        const bool over_the_old = slot && (gpu ? gpu->capturing() : slot->value.value()->is_writable());
        if (over_the_old && !gpu) slot->value.value()->overwrite();
        set_external(
            frame, i.aux,
            over_the_old ? slot->value : Tensor::adopt(Value::make(e.spec.dtype, e.spec.shape, e.device).detach()));
        break;
      }
      case Do::release: frame.externals[i.aux] = Tensor(); break;
      case Do::read: {
        const auto& slot = *static_cast<const Slot*>(i.params);
        const Tensor& t = slot.current();
        if (!t.defined()) with_node(*graph_, i.node, [&] { throw_uninitialized(*slot.variable); });
        set_external(frame, i.args, t);
        break;
      }
      case Do::assign: {
        auto& slot = *static_cast<Slot*>(const_cast<void*>(i.params));
        slot.pending = kept(tensor_of(frame, assigned_[i.aux]));
        break;
      }
      case Do::host: {
        const Host& host = hosts_[i.aux];
        SmallVector<Tensor, 4> inputs, outputs(host.outputs.size());
        for (const Source& s : host.inputs)
          inputs.push_back(with_late_errors(tensor_of(frame, s), gpu ? gpu->errors() : nullptr));
        if constexpr (kTimed) start = Clock::now();
        with_node(*graph_, i.node, [&] { host.step->run(inputs, outputs, ledger); });
        if constexpr (kTimed) accounted += Clock::now() - start;
        for (size_t k = 0; k < outputs.size(); ++k) {
          const bool is_handle = outputs[k].value()->object() != nullptr;
          set_external(frame, host.outputs[k],
                       is_handle ? outputs[k] : moved_to(retained(outputs[k]), externals_[host.outputs[k]].device));
        }
        break;
      }
      case Do::gpu_random:
      case Do::gpu_kernel: gpu->launch(i, ledger); break;
      case Do::transfer: {
        const Source& s = transferred_[i.aux];
        if (gpu && gpu->capturing()) {
          const External& e = externals_[i.args];
          set_external(frame, i.args, Tensor::adopt(Value::make(e.spec.dtype, e.spec.shape, e.device).detach()));
          gpu->upload(static_cast<uint32_t>(externals_[s.external].feed), i.args);
        } else {
          set_external(frame, i.args, copy_to(tensor_of(frame, s), i.device));
          if (gpu && gpu->errors() && i.device.is_cpu()) gpu->errors()->check();  // it has waited
        }
        break;
      }
    }
  }
  if constexpr (kTimed) ledger->add(Phase::dispatch, Clock::now() - begin - accounted);
}

void Plan::run_code(std::span<const Instruction> code, Frame& frame, GpuRun* gpu, Ledger* ledger) const {
  ledger ? run_code_as<true>(code, frame, gpu, ledger) : run_code_as<false>(code, frame, gpu, nullptr);
}

void Plan::lock_slots() const {
  for (const auto& [slot, write] : slots_) write ? slot->lock.lock() : slot->lock.lock_shared();
}
void Plan::unlock_slots() const noexcept {
  for (const auto& [slot, write] : slots_) write ? slot->lock.unlock() : slot->lock.unlock_shared();
}

// Inlined: a tenth of what a small run costs.
[[gnu::always_inline]] inline void Plan::finish_run(Frame& frame, std::span<Tensor> fetched, Ledger* ledger,
                                                    bool locked) const {
  const auto fetching = ledger ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point();
  for (size_t i = 0; i < fetches_.size(); ++i) {
    fetched[i] = kept(tensor_of(frame, fetches_[i]));
    // Captured runs write over values of variables on a GPU.
    if (gpu_ >= 0 && fetches_[i].read && !locked) fetched[i] = snapshot(fetched[i]);
  }
  for (size_t i = 0; i < fetched_slots_.size(); ++i) {
    const Slot& slot = *fetched_slots_[i];
    const Tensor& t = slot.current();
    if (!t.defined()) throw_uninitialized(*slot.variable);
    fetched[fetches_.size() + i] = snapshot(t);
  }
  if (ledger) ledger->add(Phase::fetch, std::chrono::steady_clock::now() - fetching);
  if (locked || !writes_) return;
  if (!hosts_.empty())  // what they assign may come from an op that has failed on a GPU
    for (const auto& [slot, write] : slots_)
      if (write && slot->pending.defined()) check_late_errors(slot->pending);
  if (first_late_ < code_.size()) run_code(std::span(code_).subspan(first_late_), frame, nullptr, ledger);
  for (const auto& [slot, write] : slots_)
    if (write && slot->pending.defined()) slot->value = std::move(slot->pending);
}

// What random ops of a run that fails have drawn is drawn again by the next, unless other runs have drawn since.
class Plan::Drawing {
 public:
  Drawing(const Plan& plan, Frame& frame) : plan_(plan), frame_(&frame) { frame.drawn = 0; }
  ~Drawing() {
    for (uint32_t i = 0; frame_ && i < frame_->drawn; ++i)
      give_back(*plan_.counters_[i], {frame_->counts[i], frame_->counts[i] + 1});
  }
  /// The run has succeeded; of a body's, the run around it may not.
  void keep(bool body) {
    for (uint32_t i = 0; body && i < frame_->drawn; ++i) RandomDraws::note(*plan_.counters_[i], frame_->counts[i]);
    frame_ = nullptr;
  }

 private:
  const Plan& plan_;
  Frame* frame_;
};

// Of plans that draw random numbers, by themselves or in bodies of control flow.
void Plan::execute_drawing(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger,
                           bool locked) const {
  std::optional<RandomDraws> of_bodies;
  if (!locked) of_bodies.emplace();
  try {
    if (gpu_ >= 0) return execute_on_gpu(feeds, fetched, ledger, locked);
    auto frame = take_frame();
    Drawing drawing(*this, *frame);
    for (const auto& [feed, external] : feeds_) set_external(*frame, external, feeds[feed]);
    run_code(*frame, nullptr, ledger);
    finish_run(*frame, fetched, ledger, locked);
    drawing.keep(locked);
    give_frame(std::move(frame));
  } catch (...) {
    if (of_bodies) of_bodies->give_back();
    throw;
  }
}

void Plan::execute(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, bool locked) const {
  if constexpr (!kLedgers) ledger = nullptr;
  last_used_.store(memory_clock(), std::memory_order_relaxed);
  if (!locked && session_->fails_late.load(std::memory_order_relaxed)) LateUnit::check_unread(session_->number);
  struct Locks {
    const Plan* plan;
    explicit Locks(const Plan* p) : plan(p) {
      if (plan) plan->lock_slots();
    }
    ~Locks() {
      if (!plan) return;
      for (const auto& [slot, write] : plan->slots_)
        if (write) slot->pending = Tensor();  // of a failed run; a successful one has moved it on
      plan->unlock_slots();
    }
  };
  const Locks locks(locked || slots_.empty() ? nullptr : this);
  if (draws_) return execute_drawing(feeds, fetched, ledger, locked);
  if (gpu_ >= 0) return execute_on_gpu(feeds, fetched, ledger, locked);
  auto frame = take_frame();
  for (const auto& [feed, external] : feeds_) set_external(*frame, external, feeds[feed]);
  run_code(*frame, nullptr, ledger);
  finish_run(*frame, fetched, ledger, locked);
  give_frame(std::move(frame));
}

void Plan::execute_on_gpu(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, bool locked) const {
  struct InPools {
    GpuPools* outer = t_state.pools;
    explicit InPools(GpuPools& pools) { t_state.pools = &pools; }
    ~InPools() { t_state.pools = outer; }
  };
  const InPools in_pools(session_->pools);
  Ref<LateErrors> given = late_errors_of(feeds);
  if (given && writes_ && !locked) given->wait_and_check();  // which a failed run must leave variables alone for
  // What a body does is part of its run.
  LateUnit* const outer = locked ? InLateUnit::current() : nullptr;
  Ref<LateUnit> own;
  if (fails_late_ && !outer) {
    own = make_ref<LateUnit>(session_->number);
    session_->fails_late.store(true, std::memory_order_relaxed);
  }
  const InLateUnit in_unit(outer ? outer : own.get());
  LateUnit* const unit = fails_late_ ? InLateUnit::current() : nullptr;
  if (unit) {
    const auto errors = make_ref<LateErrors>(Ref<LateUnit>(unit));
    given = LateErrors::joined(given.get(), errors.get());
  }
  if (obstacle_.empty() && !locked) {
    // A run beside one that is under way takes the usual way.
    if (run_captured(feeds, fetched, ledger, own.get())) {
      if (own) own->close();
      return spoil(fetched, given.get(), true);
    }
  } else if (ledger && launches_ && !obstacle_.empty()) {
    ledger->add_note("not captured as a CUDA graph: " + obstacle_);
  }
  auto frame = take_frame();
  Drawing drawing(*this, *frame);
  for (const auto& [feed, external] : feeds_) set_external(*frame, external, feeds[feed]);
  GpuRun gpu(*this, *frame, unit);
  run_code(*frame, &gpu, ledger);
  if (own && (writes_ || locked)) {  // before values are replaced that a failed run must leave alone
    own->close_quietly();
    own->wait();
    own->check();
  }
  finish_run(*frame, fetched, ledger, locked);
  drawing.keep(locked);
  give_frame(std::move(frame));
  if (own && !(writes_ || locked)) own->close();
  spoil(fetched, given.get(), !outer);
}

bool Plan::run_captured(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger,
                        LateUnit* unit) const {
  if (captured_taken_.exchange(true, std::memory_order_acquire)) return false;
  struct GiveBack {
    std::atomic<bool>& taken;
    ~GiveBack() { taken.store(false, std::memory_order_release); }
  };
  const GiveBack give_back{captured_taken_};
  if (!captured_) captured_ = std::make_unique<Captured>(*this);
  return captured_->run(feeds, fetched, ledger, unit);
}

Ref<LateErrors> Plan::late_errors_of(std::span<const Tensor> feeds) const {
  Ref<LateErrors> all;
  for (const auto& [feed, external] : feeds_) {
    const LateErrors* errors = feeds[feed].value()->late_errors();
    if (!errors) continue;
    errors->check();
    all = LateErrors::joined(all.get(), errors);
  }
  return all;
}

// All that a run gives carries its errors. What lies on the host cannot, so that `waits` for them.
void Plan::spoil(std::span<Tensor> fetched, const LateErrors* errors, bool waits) const {
  const Ref<LateErrors> left = LateErrors::joined(errors, nullptr);
  if (!left) return;
  bool on_host = false;
  for (Tensor& t : fetched) {
    on_host = on_host || t.value()->device().is_cpu();
    t = with_late_errors(t, left.get());
  }
  if (on_host && waits) left->wait_and_check();
}

}  // namespace twofold
