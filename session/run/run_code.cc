#include <twofold/session/run/run_code.h>

#include <chrono>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/parallel_for.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/lib/runtime/thread_pool.h>
#include <twofold/session/program/node_error.h>
#include <twofold/session/run/gpu_run.h>
#include <twofold/session/run/random_draws.h>

namespace twofold {

namespace {

// A new value of a variable lies over the old one where the variable alone holds that.
Tensor made(const External& e, const Slot* over) {
  if (!over || over->is_eager || !over->value.value()->is_writable())
    return Tensor::adopt(Value::make(e.spec.dtype, e.spec.shape, e.device).detach());
  over->value.value()->overwrite();
  return over->value;
}

void run_host_op(const HostOp& op, HostCall& call, Frame& frame, const LateErrors* errors, Ledger* ledger) {
  SmallVector<Tensor, 4> inputs, outputs(op.outputs.size());
  for (const Source& s : op.inputs) inputs.push_back(with_late_errors(frame.tensor_of(s), errors));
  with_node(*frame.plan.graph, op.node, [&] { call.run(inputs, outputs, ledger); });
  for (size_t k = 0; k < outputs.size(); ++k) {
    const bool is_handle = outputs[k].value()->object() != nullptr;
    const Device device = frame.plan.externals[op.outputs[k]].device;
    frame.set_external(op.outputs[k], is_handle ? outputs[k] : moved_to(retained(outputs[k]), device));
  }
}

template <bool kTimed>
void run_code_as(std::span<const Instruction> code, Frame& frame, HostCalls calls, GpuRun* gpu, Ledger* ledger) {
  using Do = Instruction::Do;
  const Plan& plan = frame.plan;
  KernelContext context{.parallel = parallel_for(), .workspace = frame.arenas[0] + plan.arenas[0].workspace};
  void* const* args = frame.args.data();
  using Clock = std::chrono::steady_clock;
  Clock::time_point start;
  [[maybe_unused]] const auto begin = kTimed ? Clock::now() : Clock::time_point();
  [[maybe_unused]] Clock::duration accounted{};  // to kernels and host ops; the rest is dispatch
  for (const Instruction& i : code) {
    switch (i.what) {
      case Do::random: context.random_counter = RandomDraws::take(*plan.counters[i.aux]); [[fallthrough]];
      case Do::kernel:
      case Do::kernel_that_may_fail:
        if constexpr (kTimed) start = Clock::now();
        i.fn(i.params, args + i.args, context);
        if constexpr (kTimed) {
          const auto kernel = Clock::now() - start;
          ledger->add_op(plan.ops[static_cast<size_t>(&i - plan.code.data())]->name, kernel);
          accounted += kernel;
        }
        if (i.what == Do::kernel_that_may_fail && context.error != KernelError::none) {
          const CheckedKernel& kernel = plan.checked[i.aux];
          with_node(*plan.graph, i.node, [&] { check_kernel(*kernel.op, kernel.attrs_view(), context); });
        }
        break;
      case Do::make:
        frame.set_external(i.aux, gpu ? gpu->made(i.aux) : made(plan.externals[i.aux], plan.in_place[i.aux]));
        break;
      case Do::release: frame.externals[i.aux] = Tensor(); break;
      case Do::read:
        with_node(*plan.graph, i.node,
                  [&] { frame.set_external(i.args, static_cast<const Slot*>(i.params)->current()); });
        break;
      case Do::assign: {
        auto& slot = *static_cast<Slot*>(const_cast<void*>(i.params));
        slot.pending = kept(frame.tensor_of(plan.assigned[i.aux]));
        break;
      }
      case Do::host:
        if constexpr (kTimed) start = Clock::now();
        run_host_op(plan.host_ops[i.aux], *calls[i.aux], frame, gpu ? gpu->errors() : nullptr, ledger);
        if constexpr (kTimed) accounted += Clock::now() - start;
        break;
      case Do::gpu_random:
      case Do::gpu_kernel: gpu->launch(i, ledger); break;
      case Do::transfer:
        frame.set_external(i.args,
                           gpu ? gpu->transferred(i) : copy_to(frame.tensor_of(plan.transferred[i.aux]), i.device));
        break;
    }
  }
  if constexpr (kTimed) ledger->add(Phase::dispatch, Clock::now() - begin - accounted);
}

}  // namespace

void run_code(std::span<const Instruction> code, Frame& frame, HostCalls calls, GpuRun* gpu, Ledger* ledger) {
  ledger ? run_code_as<true>(code, frame, calls, gpu, ledger) : run_code_as<false>(code, frame, calls, gpu, nullptr);
}

void run_observed(Frame& frame, HostCalls calls, GpuRun* gpu, Ledger* ledger, const SessionContext* session) {
  const Plan& plan = frame.plan;
  const std::span code(plan.code);
  ObservedRun run(session, plan.executions);
  size_t done = 0;
  for (const ObservedOp& op : plan.observed) {
    run.reach(op.node);
    run_code(code.subspan(done, op.after - done), frame, calls, gpu, ledger);
    done = op.after;
    if (!t_state.observing) continue;
    std::vector<Tensor> inputs, outputs;
    for (const auto& source : op.inputs) inputs.push_back(source ? kept(frame.tensor_of(*source)) : Tensor());
    for (const Source& source : op.outputs) outputs.push_back(kept(frame.tensor_of(source)));
    run.node({.identity = op.identity,
              .node = plan.graph->node_name(op.node),
              .where = plan.graph->node(op.node).where,
              .device = op.device,
              .inputs = inputs,
              .outputs = outputs},
             op.execution);
  }
  run.finish();
  run_code(code.subspan(done, plan.first_late - done), frame, calls, gpu, ledger);
}

}  // namespace twofold
