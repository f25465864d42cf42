#include <twofold/session/run/host_steps.h>

#include <fmt/format.h>

#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/runtime/ledger.h>

namespace twofold {
namespace {

// An op whose shapes the plan could not know: inferred, prepared and run as eager execution does.
class LaunchStep final : public HostStep {
 public:
  LaunchStep(const ProgramNode& n, uint32_t generation, SessionSlots& slots)
      : op_(*n.op), attrs_(n.attrs), device_(n.device) {
    if (op_.flags.random) counter_ = &slots.counter(random_key_of(attrs_->view()), generation);
  }
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger) override {
    SmallVector<const Tensor*, 4> pointers;
    for (const Tensor& t : inputs) pointers.push_back(&t);
    Outputs out;
    std::chrono::nanoseconds kernel;
    const OnDevice on(device_);
    launch(op_, pointers, attrs_ ? attrs_->view() : AttrsView(), counter_ ? RandomDraws::take(*counter_) : 0, out,
           ledger ? &kernel : nullptr);
    if (ledger) ledger->add_op(op_.name, kernel);
    for (size_t i = 0; i < outputs.size(); ++i) outputs[i] = std::move(out[i]);
  }

 private:
  const OpDef& op_;
  Ref<AttrsBox> attrs_;
  Device device_;
  std::atomic<uint64_t>* counter_ = nullptr;
};

class PrintStep final : public HostStep {
 public:
  explicit PrintStep(const ProgramNode& n) : attrs_(n.attrs) {}
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger*) override {
    write_print(attrs_->view().as<PrintAttrs>().message, inputs[0]);
    outputs[0] = retained(inputs[0]);
  }

 private:
  Ref<AttrsBox> attrs_;
};

class AssertStep final : public HostStep {
 public:
  explicit AssertStep(const ProgramNode& n) : attrs_(n.attrs) {}
  void run(std::span<const Tensor> inputs, std::span<Tensor>, Ledger*) override {
    SmallVector<const Tensor*, 4> pointers;
    for (const Tensor& t : inputs) pointers.push_back(&t);
    check_assertion(attrs_->view().as<AssertAttrs>().message, pointers);
  }

 private:
  Ref<AttrsBox> attrs_;
};

// An assignment whose value's shape is known only at run time.
class AssignStep final : public HostStep {
 public:
  AssignStep(const ProgramNode& n, SessionSlots& slots)
      : slot_(slots.slot(n.attrs_view().as<VariableAttrs>().variable)),
        op_(n.op == &assign_op ? nullptr : find_op(n.op == &assign_add_op ? "Add" : "Sub")) {}
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger*) override {
    Tensor next = retained(inputs[0]);
    if (op_) {
      const Tensor& current = slot_.current();
      if (!current.defined()) throw_uninitialized(*slot_.variable);
      const Tensor* pair[] = {&current, &inputs[0]};
      Outputs out;
      launch(*op_, pair, {}, 0, out);
      next = out[0];
    }
    next = moved_to(next, slot_.device);
    if (!next.shape().compatible_with(slot_.variable->shape))
      fail(Code::InvalidArgument, fmt::format("A value of shape {} cannot be assigned to variable '{}:0' of shape {}",
                                              next.shape().str(), slot_.variable->name, slot_.variable->shape.str()));
    outputs[0] = slot_.pending = next;
  }
  void add_slots(std::vector<std::pair<Slot*, bool>>& slots) const override { slots.emplace_back(&slot_, true); }

 private:
  Slot& slot_;
  const OpDef* op_;
};

// A read of a variable of unknown shape.
class ReadStep final : public HostStep {
 public:
  ReadStep(const ProgramNode& n, SessionSlots& slots)
      : slot_(slots.slot(n.attrs_view().as<VariableAttrs>().variable)) {}
  void run(std::span<const Tensor>, std::span<Tensor> outputs, Ledger*) override {
    outputs[0] = slot_.current();
    if (!outputs[0].defined()) throw_uninitialized(*slot_.variable);
  }
  void add_slots(std::vector<std::pair<Slot*, bool>>& slots) const override { slots.emplace_back(&slot_, false); }

 private:
  Slot& slot_;
};

}  // namespace

bool is_host_op(const OpDef& op) { return &op == &print_op || &op == &assert_op || is_control_flow(op); }

std::unique_ptr<HostStep> make_host_step(const ProgramNode& n, const Program& p, const SessionOptions& options,
                                         SessionSlots& slots) {
  if (is_control_flow(*n.op)) return make_control_flow_step(n, p, options, slots);
  if (n.op == &print_op) return std::make_unique<PrintStep>(n);
  if (n.op == &assert_op) return std::make_unique<AssertStep>(n);
  if (n.op == &read_variable_op) return std::make_unique<ReadStep>(n, slots);
  if (n.op == &assign_op || n.op == &assign_add_op || n.op == &assign_sub_op)
    return std::make_unique<AssignStep>(n, slots);
  if (n.op->flags.session && n.op != &transfer_op) fail(Code::Internal, fmt::format("'{}' cannot be run", n.op->name));
  return std::make_unique<LaunchStep>(n, p.graph->node(n.graph_node).generation, slots);
}

}  // namespace twofold
