#include <twofold/session/run/host_call.h>

#include <fmt/format.h>

#include <twofold/graph/graph_ops.h>
#include <twofold/graph/guard.h>
#include <twofold/kernels/variable/assignment.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/session/run/control_flow.h>
#include <twofold/session/run/guarded_run.h>
#include <twofold/session/run/random_draws.h>

namespace twofold {
namespace {

// An op whose shapes the plan could not know: inferred, prepared and run as eager execution does.
class LaunchCall final : public HostCall {
 public:
  LaunchCall(const HostOp& op, const RunSettings& settings) : host_(op), numerics_(settings.numerics) {}
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger) override {
    SmallVector<const Tensor*, 4> pointers;
    for (const Tensor& t : inputs) pointers.push_back(&t);
    Outputs out;
    std::chrono::nanoseconds kernel;
    const OnDevice on(host_.device);
    launch(*host_.op, pointers, host_.attrs_view(), host_.counter ? RandomDraws::take(*host_.counter) : 0, out,
           ledger ? &kernel : nullptr, {}, numerics_);
    if (ledger) ledger->add_op(host_.op->name, kernel);
    for (size_t i = 0; i < outputs.size(); ++i) outputs[i] = std::move(out[i]);
  }

 private:
  const HostOp& host_;
  const uint64_t numerics_;
};

class PrintCall final : public HostCall {
 public:
  explicit PrintCall(const HostOp& op) : message_(op.attrs_view().as<PrintAttrs>().message) {}
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger*) override {
    const std::string line = print_line(message_, inputs[0]);
    if (!GuardedRun::hold_back(line)) write_lines(line);
    outputs[0] = retained(inputs[0]);
  }

 private:
  const std::string& message_;
};

class AssertCall final : public HostCall {
 public:
  explicit AssertCall(const HostOp& op) : message_(op.attrs_view().as<AssertAttrs>().message) {}
  void run(std::span<const Tensor> inputs, std::span<Tensor>, Ledger*) override {
    SmallVector<const Tensor*, 4> pointers;
    for (const Tensor& t : inputs) pointers.push_back(&t);
    check_assertion(message_, pointers);
  }

 private:
  const std::string& message_;
};

class GuardCall final : public HostCall {
 public:
  GuardCall(const HostOp& op, const Node& node) : guard_(op.attrs_view().as<GuardAttrs>()), where_(node.where) {}
  void run(std::span<const Tensor> inputs, std::span<Tensor>, Ledger*) override {
    if (holds(guard_, inputs[0])) return;
    GuardedRun::note_failed(guard_);
    fail_guard(guard_, inputs[0], where_);
  }

 private:
  const GuardAttrs& guard_;
  const std::source_location where_;
};

// An assignment whose value's shape is known only at run time.
class AssignCall final : public HostCall {
 public:
  AssignCall(const HostOp& op, const Node& node) : op_(*op.op), slot_(*op.slot), where_(node.where) {}
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger*) override {
    check_assigned(op_, slot_.variable, inputs[0].shape(), where_);
    outputs[0] = slot_.pending = moved_to(retained(inputs[0]), slot_.device);
  }

 private:
  const OpDef& op_;
  Slot& slot_;
  const std::source_location where_;
};

// A read of a variable of unknown shape.
class ReadCall final : public HostCall {
 public:
  explicit ReadCall(const HostOp& op) : slot_(*op.slot) {}
  void run(std::span<const Tensor>, std::span<Tensor> outputs, Ledger*) override { outputs[0] = slot_.current(); }

 private:
  Slot& slot_;
};

}  // namespace

std::unique_ptr<HostCall> make_host_call(const HostOp& op, GraphData& graph, const SessionOptions& options,
                                         const RunSettings& settings, SessionContext& context) {
  if (op.op->flags.control_flow) return make_control_flow_call(op, graph, options, settings, context);
  if (op.op == &print_op) return std::make_unique<PrintCall>(op);
  if (op.op == &assert_op) return std::make_unique<AssertCall>(op);
  if (op.op == &guard_op) return std::make_unique<GuardCall>(op, graph.node(op.node));
  if (op.op->flags.reads_variable) return std::make_unique<ReadCall>(op);
  if (op.op->flags.writes_variable) return std::make_unique<AssignCall>(op, graph.node(op.node));
  if (op.op->flags.session) fail(Code::Internal, fmt::format("'{}' cannot be run", op.op->name));
  return std::make_unique<LaunchCall>(op, settings);
}

}  // namespace twofold
