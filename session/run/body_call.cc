#include <twofold/session/run/body_call.h>

#include <fmt/format.h>

#include <twofold/eager/tape.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

uint64_t hash_field(const Ref<BodyCall>& c) { return static_cast<uint64_t>(reinterpret_cast<uintptr_t>(c.get())); }
std::string print_field(const Ref<BodyCall>& c) { return c ? fmt::format("call of body {}", c->number) : "none"; }
void perturb_field(Ref<BodyCall>& c) { c = c ? Ref<BodyCall>() : make_ref<BodyCall>(size_t{0}, nullptr); }

// A trace's record of an execution of a body. Inputs: the body's parameters, its captures, then the variables that any
// body of the node reads. Outputs: the body's.
static constinit const OpDef kBodyCallOp{.key = OpKey::without_kernels("BodyCall"),
                                         .doc = "One execution of a body of a graph.",
                                         .min_inputs = 0,
                                         .max_inputs = -1,
                                         .outputs = -1,
                                         .differentiable = Differentiability::rule,
                                         .gradient = body_call_gradient,
                                         .flags = {.session = true},
                                         .attrs = &internal::kAttrsType<BodyCallAttrs>};

void record_call(Ref<BodyCall> call, std::span<const Tensor> inputs, std::span<const Tensor> outputs,
                 std::span<const Ref<VariableState>> variables, std::source_location where) {
  std::vector<const Tensor*> pointers;
  for (const Tensor& t : inputs) pointers.push_back(&t);
  Outputs recorded;
  for (const Tensor& t : outputs) recorded.push_back(t);
  const BodyCallAttrs attrs{std::move(call)};
  for (Tape* t = t_state.tape; t; t = t->next()) t->record(kBodyCallOp, pointers, attrs, where, recorded, variables);
}

Tensor shell_of(const TensorSpec& spec, Device device) {
  return Tensor::adopt(Value::shell(spec.dtype, spec.shape, device, 0).detach());
}
Tensor shell_of(const Tensor& t) { return shell_of(t.value()->spec(), t.value()->device()); }
Tensor kept_value(const ForwardRead& read, const Tensor& value) { return read.shape_only ? shell_of(value) : value; }
Tensor fresh(const Tensor& t) { return carries_gradient(t.dtype()) ? renamed(t) : retained(t); }

}  // namespace twofold
