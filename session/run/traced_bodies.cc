#include <twofold/session/run/traced_bodies.h>

#include <utility>
#include <vector>

#include <twofold/lib/op/value.h>
#include <twofold/session/run/body_call.h>

namespace twofold {
namespace {

class RecordedBodies final : public Bodies {
 public:
  RecordedBodies(PlannedBodies& planned, std::source_location where, Ledger* ledger)
      : planned_(planned),
        variables_(differentiable_variables(*planned.op().op, planned.op().attrs_view())),
        where_(where),
        ledger_(ledger) {}

  BodyResults branch(const Body& taken, std::span<const Tensor> inputs) override { return call(taken, {}, inputs); }
  bool test(const Body& test, std::span<const Tensor> state, std::span<const Tensor> inputs) override {
    return truth_of(planned_.call(test, state, inputs, ledger_)[0], "While");
  }
  BodyResults iteration(const Body& body, std::span<const Tensor> state, std::span<const Tensor> inputs) override {
    return call(body, state, inputs);
  }

 private:
  BodyResults call(const Body& body, std::span<const Tensor> state, std::span<const Tensor> inputs) {
    const BodyResults all = planned_.call(body, state, inputs, ledger_);
    const PlannedBodies::Planned& of = planned_.of(body);
    auto call = make_ref<BodyCall>(of.number, of.kept);
    BodyResults outputs;
    for (size_t i = 0; i < body.outputs.size(); ++i) outputs.push_back(fresh(all[i]));
    if (of.kept)
      for (size_t i = 0; i < of.kept->edges.size(); ++i)
        call->values.push_back(kept_value(of.kept->edges[i], all[body.outputs.size() + i]));
    SmallVector<Tensor, 8> given;
    for (const Tensor& t : state) given.push_back(t);
    for (uint32_t i : body.capture_inputs) given.push_back(inputs[i]);
    record_call(std::move(call), given, outputs, variables_, where_);
    return outputs;
  }

  PlannedBodies& planned_;
  const std::vector<Ref<VariableState>> variables_;
  const std::source_location where_;
  Ledger* const ledger_;
};

}  // namespace

Tensor trace_handle(Ref<Trace> trace) { return Tensor::adopt(Value::handle(std::move(trace)).detach()); }
Tensor no_trace() { return Tensor::adopt(Value::make(uint8, Shape{0}).detach()); }

Traced run_traced_bodies(PlannedBodies& bodies, std::span<const Tensor> inputs, size_t num_inputs,
                         std::source_location where, Ledger* ledger) {
  RecordedBodies recorded(bodies, where, ledger);
  const auto node = [&](std::span<const Tensor> given) {
    std::vector<Tensor> inside(given.begin(), given.end());
    inside.insert(inside.end(), inputs.begin() + static_cast<std::ptrdiff_t>(num_inputs), inputs.end());
    BodyResults results = run_bodies(bodies.op().attrs_view(), inside, recorded);
    return std::vector<Tensor>(results.begin(), results.end());
  };
  return run_traced(inputs.first(num_inputs), node, {.where = where, .everything = true});
}

}  // namespace twofold
