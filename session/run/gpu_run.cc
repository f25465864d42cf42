#include <twofold/session/run/gpu_run.h>

#include <cstdlib>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/plugin.h>
#include <twofold/session/program/node_error.h>

namespace twofold {

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

SmallVector<Access, 8> GpuRun::accesses(const GpuStep& step, uint32_t args, const KernelContext& c) const {
  SmallVector<Access, 8> all;
  for (size_t k = 0; k < step.arg_bytes.size(); ++k)
    if (const void* at = frame_.args[args + k]) all.push_back({at, step.arg_bytes[k], k >= step.num_inputs});
  all.push_back({c.workspace, step.workspace_bytes, true});
  if (c.device_error && (step.reads_errors || step.reports_errors))
    all.push_back({c.device_error, sizeof(DeviceError), step.reports_errors});
  return all;
}

void GpuRun::launch(const Plan::Instruction& i, Ledger* ledger) {
  KernelContext& c = context(i.device.gpu());
  const auto place = static_cast<size_t>(&i - plan_.code_.data());
  const auto device = static_cast<size_t>(i.device.index);
  const GpuStep& step = plan_.gpu_steps_[place];
  c.workspace = frame_.arenas[device] + plan_.arenas_[device].workspace + step.workspace;
  if (i.what == Plan::Do::gpu_random) {
    if (counters_) {
      c.random_counter_at = counters_ + i.aux;
    } else {
      c.random_counter = plan_.draw(frame_, i.aux);
    }
  } else {
    c.tag = first_tag_ + i.aux;
  }
  const OpDef& op = *plan_.ops_[place];
  if (order_) order_->begin_step(accesses(step, i.args, c));
  const ProfilerRange range([&] { return std::string(op.name) + " " + plan_.graph_->node_name(i.node); });
  if (ledger) ledger->add_op(op.name, {});
  const DeviceTimer timer(i.device, ledger, op.name);
  i.fn(i.params, frame_.args.data() + i.args, c);
  if (c.error != KernelError::none)
    with_node(*plan_.graph_, i.node, [&] { check_kernel(op, plan_.graph_->node(i.node).attrs_view(), c); });
  if (order_) order_->end_step();
}

}  // namespace twofold
