#include <twofold/session/gpu_run.h>

#include <cstdlib>

#include <twofold/lib/core/error.h>
#include <twofold/lib/core/plugin.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/report/ledger.h>
#include <twofold/session/node_error.h>

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
      c.device_error = plan_.session_->late_errors(gpu).word();
      if (std::byte* arena = frame_.arenas[i + 1]) c.workspace = arena + plan_.arenas_[i + 1].workspace;
    }
  }
  return c;
}

void GpuRun::launch(const Plan::Instruction& i, Ledger* ledger) {
  KernelContext& c = context(i.device.gpu());
  if (i.what == Plan::Do::gpu_random) {
    if (counters_) {
      c.random_counter_at = counters_ + i.aux;
    } else {
      c.random_counter = plan_.counters_[i.aux]->fetch_add(1, std::memory_order_relaxed);
    }
  } else {
    c.tag = i.aux;
  }
  const OpDef& op = *plan_.ops_[static_cast<size_t>(&i - plan_.code_.data())];
  const ProfilerRange range([&] { return std::string(op.name) + " " + plan_.graph_->node_name(i.node); });
  if (ledger) ledger->add_op(op.name, {});
  const DeviceTimer timer(i.device, ledger, op.name);
  i.fn(i.params, frame_.args.data() + i.args, c);
  if (c.error != KernelError::none)
    with_node(*plan_.graph_, i.node, [&] { check_kernel(op, plan_.graph_->node(i.node).attrs_view(), c); });
}

}  // namespace twofold
