#include <twofold/session/run/gpu_run.h>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/plugin.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/session/program/node_error.h>
#include <twofold/session/run/random_draws.h>

namespace twofold {

GpuRun::GpuRun(Frame& frame, LateUnit* unit) : plan_(frame.plan), frame_(frame), unit_(unit) {
  if (!unit) return;
  first_tag_ = unit->add(plan_.gpu.late_calls);
  errors_ = make_ref<LateErrors>(Ref<LateUnit>(unit));
}

KernelContext& GpuRun::context(int gpu) {
  const auto i = static_cast<size_t>(gpu);
  while (contexts_.size() <= i) contexts_.push_back({});
  KernelContext& c = contexts_[i];
  if (!c.stream || gpu != current_) {
    void* const stream = gpu_runtime()->stream(gpu);  // makes it current, too
    current_ = gpu;
    if (!c.stream) {
      c.stream = stream_ ? stream_ : stream;
      c.device_error = unit_ ? unit_->word(gpu) : word_;
    }
  }
  return c;
}

SmallVector<Access, 8> GpuRun::accesses(const GpuLaunch& kernel, uint32_t args, const KernelContext& c) const {
  SmallVector<Access, 8> all;
  for (size_t k = 0; k < kernel.arg_bytes.size(); ++k)
    if (const void* at = frame_.args[args + k]) all.push_back({at, kernel.arg_bytes[k], k >= kernel.num_inputs});
  all.push_back({c.workspace, kernel.workspace_bytes, true});
  if (c.device_error && (kernel.reads_errors || kernel.reports_errors))
    all.push_back({c.device_error, sizeof(DeviceError), kernel.reports_errors});
  return all;
}

void GpuRun::launch(const Instruction& i, Ledger* ledger) {
  KernelContext& c = context(i.device.gpu());
  const auto place = static_cast<size_t>(&i - plan_.code.data());
  const auto device = static_cast<size_t>(i.device.index);
  const GpuLaunch& kernel = plan_.gpu.kernels[place];
  c.workspace = frame_.arenas[device] + plan_.arenas[device].workspace + kernel.workspace;
  if (i.what == Instruction::Do::gpu_random) {
    if (counters_) {
      c.random_counter_at = counters_ + i.aux;
    } else {
      c.random_counter = RandomDraws::take(*plan_.counters[i.aux]);
    }
  } else {
    c.tag = first_tag_ + i.aux;
  }
  const OpDef& op = *plan_.ops[place];
  if (order_) order_->begin_launch(accesses(kernel, i.args, c));
  const ProfilerRange range([&] { return std::string(op.name) + " " + plan_.graph->node_name(i.node); });
  if (ledger) ledger->add_op(op.name, {});
  const DeviceTimer timer(i.device, ledger, op.name);
  i.fn(i.params, frame_.args.data() + i.args, c);
  if (c.error != KernelError::none) {
    const Ref<AttrsBox> attrs = op.flags.can_fail ? (*plan_.gpu.late_calls)[i.aux].attrs : nullptr;
    with_node(*plan_.graph, i.node, [&] { check_kernel(op, attrs ? attrs->view() : AttrsView(), c); });
  }
  if (order_) order_->end_launch();
}

static Tensor new_tensor(const External& e) {
  return Tensor::adopt(Value::make(e.spec.dtype, e.spec.shape, e.device).detach());
}

Tensor GpuRun::made(uint32_t external) const {
  const Slot* const over = capturing() ? plan_.in_place[external] : nullptr;
  return over ? over->value : new_tensor(plan_.externals[external]);
}

Tensor GpuRun::transferred(const Instruction& i) {
  const Source& from = plan_.transferred[i.aux];
  if (capturing()) {
    uploads_.emplace_back(static_cast<uint32_t>(plan_.externals[from.external].feed), i.args);
    return new_tensor(plan_.externals[i.args]);
  }
  Tensor t = copy_to(frame_.tensor_of(from), i.device);
  if (errors_ && i.device.is_cpu()) errors_->check();  // it has waited
  return t;
}

}  // namespace twofold
