// Executing a plan.
#include <fmt/format.h>

#include <cstring>

#include <twofold/lib/core/allocator.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/core/plugin.h>
#include <twofold/lib/core/thread_pool.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/report/ledger.h>
#include <twofold/lib/report/recording.h>
#include <twofold/session/gpu_run.h>
#include <twofold/session/node_error.h>
#include <twofold/session/plan.h>

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

Frame::Frame(const Plan& p)
    : plan(p), arenas(p.arenas_.size()), args(p.args_.size()), externals(p.externals_.size()), pools(p.arenas_.size()) {
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
  for (size_t d = 0; d < arenas.size(); ++d) {
    const size_t bytes = plan.arenas_[d].bytes;
    if (arenas[d]) d ? pools[d]->deallocate(arenas[d], bytes) : deallocate(arenas[d], bytes);
  }
}

Plan::Plan() = default;
Plan::~Plan() { delete spare_.load(std::memory_order_relaxed); }

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
  return std::make_unique<Frame>(*this);
}

void Plan::give_frame(std::unique_ptr<Frame> frame) const {
  for (Tensor& t : frame->externals) const Tensor gone = std::move(t);
  Frame* none = nullptr;
  if (spare_.compare_exchange_strong(none, frame.get(), std::memory_order_release, std::memory_order_relaxed)) {
    static_cast<void>(frame.release());
    return;
  }
  std::lock_guard lock(frames_mutex_);
  frames_.push_back(std::move(frame));
}

void Plan::set_external(Frame& frame, uint32_t external, Tensor t) const {
  auto* data = static_cast<std::byte*>(t.value()->data());
  for (uint32_t a : externals_[external].args) frame.args[a] = data + args_[a].offset;
  frame.externals[external] = std::move(t);
}

Tensor Plan::tensor_of(const Frame& frame, const Source& s) const {
  if (s.from == Source::From::constant) return s.constant;
  if (s.from == Source::From::arena) {
    std::byte* data = frame.arenas[static_cast<size_t>(s.device.index)] + s.offset;
    return Tensor::adopt(Value::borrow(s.spec.dtype, s.spec.shape, data, s.device).detach());
  }
  const Tensor& t = frame.externals[s.external];
  if (!s.spec.shape.is_known() || t.shape() == s.spec.shape) return t;
  return Tensor::adopt(Value::view(Ref<Value>(t.value()), s.spec.shape, 0).detach());
}

namespace {
// `retained` of a tensor that the caller gives away.
Tensor kept(Tensor t) { return t.value()->is_borrowed() ? retained(t) : t; }

[[noreturn]] void throw_uninitialized(const Slot& slot) {
  fail(Code::FailedPrecondition, fmt::format("Attempting to use uninitialized value {}", slot.variable->name),
       "session.run(tf::global_variables_initializer())");
}
}  // namespace

template <bool kTimed>
void Plan::run_code_as(Frame& frame, GpuRun* gpu, Ledger* ledger) const {
  KernelContext context{.parallel = parallel_for(), .workspace = frame.arenas[0] + arenas_[0].workspace};
  void* const* args = frame.args.data();
  using Clock = std::chrono::steady_clock;
  Clock::time_point start;
  [[maybe_unused]] const auto begin = kTimed ? Clock::now() : Clock::time_point();
  [[maybe_unused]] Clock::duration accounted{};  // to kernels and host steps; the rest is dispatch
  for (const Instruction& i : code_) {
    switch (i.what) {
      case Do::random:
        context.random_counter = counters_[i.aux]->fetch_add(1, std::memory_order_relaxed);
        [[fallthrough]];
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
        const bool over_the_old = gpu && gpu->capturing() && in_place_[i.aux];
        set_external(frame, i.aux,
                     over_the_old ? in_place_[i.aux]->value
                                  : Tensor::adopt(Value::make(e.spec.dtype, e.spec.shape, e.device).detach()));
        break;
      }
      case Do::read: {
        const auto& slot = *static_cast<const Slot*>(i.params);
        const Tensor& t = slot.current();
        if (!t.defined()) with_node(*graph_, i.node, [&] { throw_uninitialized(slot); });
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
        for (const Source& s : host.inputs) inputs.push_back(tensor_of(frame, s));
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
      case Do::gpu_kernel:
      case Do::gpu_random: gpu->launch(i, ledger); break;
      case Do::transfer: {
        const Source& s = transferred_[i.aux];
        if (gpu && gpu->capturing()) {
          const External& e = externals_[i.args];
          set_external(frame, i.args, Tensor::adopt(Value::make(e.spec.dtype, e.spec.shape, e.device).detach()));
          gpu->upload(static_cast<uint32_t>(externals_[s.external].feed), i.args);
        } else {
          set_external(frame, i.args, copy_to(tensor_of(frame, s), i.device));
        }
        break;
      }
    }
  }
  if constexpr (kTimed) ledger->add(Phase::dispatch, Clock::now() - begin - accounted);
}

void Plan::run_code(Frame& frame, GpuRun* gpu, Ledger* ledger) const {
  ledger ? run_code_as<true>(frame, gpu, ledger) : run_code_as<false>(frame, gpu, nullptr);
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
  for (size_t i = 0; i < fetches_.size(); ++i) fetched[i] = kept(tensor_of(frame, fetches_[i]));
  for (size_t i = 0; i < fetched_slots_.size(); ++i) {
    const Slot& slot = *fetched_slots_[i];
    const Tensor& t = slot.current();
    if (!t.defined()) throw_uninitialized(slot);
    // Captured runs write over values on a GPU.
    fetched[fetches_.size() + i] = slot.device.is_cpu() ? t : copy_to(t, slot.device);
  }
  if (ledger) ledger->add(Phase::fetch, std::chrono::steady_clock::now() - fetching);
  if (locked || !writes_) return;
  for (const auto& [slot, write] : slots_)
    if (write && slot->pending.defined()) slot->value = std::move(slot->pending);
}

void Plan::execute(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, bool locked) const {
  if constexpr (!kLedgers) ledger = nullptr;
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
  LateErrors& errors = session_->late_errors(gpu_);
  errors.check();
  if (obstacle_.empty() && !locked) {
    // A run beside one that is under way takes the usual way.
    if (std::unique_lock lock(captured_mutex_, std::try_to_lock); lock) {
      if (!captured_) captured_ = std::make_unique<Captured>(*this);
      if (captured_->run(feeds, fetched, ledger)) return;
    }
  } else if (ledger && !obstacle_.empty()) {
    ledger->add_note("not captured as a CUDA graph: " + obstacle_);
  }
  auto frame = take_frame();
  for (const auto& [feed, external] : feeds_) set_external(*frame, external, feeds[feed]);
  GpuRun gpu(*this, *frame);
  run_code(*frame, &gpu, ledger);
  if (fails_late_ && (writes_ || locked)) {  // before values are replaced that a failed run must leave alone
    check_gpu(gpu_runtime()->synchronize(gpu_), "waiting for the GPU");
    errors.check();
    LateErrors::eager(gpu_).check();  // of host steps, which launch as eager execution does
  }
  finish_run(*frame, fetched, ledger, locked);
  give_frame(std::move(frame));
}

}  // namespace twofold
