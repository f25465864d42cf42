#include <twofold/session/run/control_flow.h>

#include <fmt/format.h>

#include <algorithm>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/mode.h>
#include <twofold/session/run/planned_bodies.h>
#include <twofold/session/run/planned_gradients.h>
#include <twofold/session/run/traced_bodies.h>

namespace twofold {

bool truth_of(const Tensor& p, const char* op) {
  if (p.dtype() != bool_ || p.rank() != 0)
    fail(Code::InvalidArgument,
         fmt::format("Shape must be rank 0 but is rank {} for the predicate of '{}', a {} of shape {}", p.rank(), op,
                     name_of(p.dtype()), p.shape().str()));
  return static_cast<bool>(p);
}

BodyResults run_bodies(AttrsView attrs, std::span<const Tensor> inputs, Bodies& bodies) {
  if (attrs.type() == &internal::kAttrsType<IfAttrs>) {
    const auto& branches = attrs.as<IfAttrs>();
    return bodies.branch(truth_of(inputs[0], "If") ? branches.then_body : branches.else_body, inputs);
  }
  if (attrs.type() == &internal::kAttrsType<CallAttrs>) {
    const Body& body = attrs.as<CallAttrs>().body;
    return bodies.iteration(body, inputs.first(body.parameters.size()), inputs);
  }
  const auto& loop = attrs.as<WhileAttrs>();
  BodyResults state;
  for (const Tensor& t : inputs.first(loop.body.parameters.size())) state.push_back(t);
  while (bodies.test(loop.test, state, inputs)) state = bodies.iteration(loop.body, state, inputs);
  return state;
}

namespace {

// What a body that leaves a trace needs of the thread.
struct EagerAlone {
  EagerMode eager;
  WithoutTape hidden;
};

// An If or While node.
class ControlFlowCall final : public HostCall {
 public:
  ControlFlowCall(const HostOp& op, GraphData& graph, const SessionOptions& options, const RunSettings& settings,
                  SessionContext& context)
      : op_(op),
        where_(graph.node(op.node).where),
        num_inputs_(graph.node(op.node).inputs.size()),
        planned_(op, options, settings, context) {}
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger) override {
    if (!op_.kept) {
      auto results = planned_.run(inputs, ledger);
      std::ranges::move(results, outputs.begin());
      outputs.back() = no_trace();
      return;
    }
    const EagerAlone alone;
    Traced traced = run_traced_bodies(planned_, inputs, num_inputs_, where_, ledger);
    std::ranges::move(traced.outputs, outputs.begin());
    outputs.back() = trace_handle(std::move(traced.trace));
  }

 private:
  const HostOp& op_;
  const std::source_location where_;
  const size_t num_inputs_;
  PlannedBodies planned_;
};

class BackpropCall final : public HostCall {
 public:
  BackpropCall(const HostOp& op, const SessionOptions& options, const RunSettings& settings, SessionContext& context)
      : planned_(op, options, settings, context) {}
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger) override {
    const EagerAlone alone;
    planned_.run(inputs, outputs, ledger);
  }

 private:
  PlannedGradients planned_;
};

}  // namespace

std::unique_ptr<HostCall> make_control_flow_call(const HostOp& op, GraphData& graph, const SessionOptions& options,
                                                 const RunSettings& settings, SessionContext& context) {
  if (op.op == &backprop_op) return std::make_unique<BackpropCall>(op, options, settings, context);
  return std::make_unique<ControlFlowCall>(op, graph, options, settings, context);
}

}  // namespace twofold
