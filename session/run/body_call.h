// One execution of a body as a record of a trace.
#pragma once

#include <algorithm>
#include <memory>
#include <source_location>
#include <span>
#include <vector>

#include <twofold/graph/backprop.h>
#include <twofold/lib/op/attrs.h>

namespace twofold {

/// One execution of a body: which one, of those that `bodies_traced` counts, and what is kept of it.
class BodyCall final : public RefCounted {
 public:
  BodyCall(size_t number, std::shared_ptr<const BodyKept> kept) : number(number), kept(std::move(kept)) {}
  const size_t number;
  const std::shared_ptr<const BodyKept> kept;  // null: nothing
  std::vector<Tensor> values;                  // by kept->edges; shells of those of which only shapes are read

  const Tensor& value(Edge e) const {
    const auto at =
        std::ranges::lower_bound(kept->edges, e.key(), {}, [](const ForwardRead& r) { return r.edge.key(); });
    return values[static_cast<size_t>(at - kept->edges.begin())];
  }
};

struct BodyCallAttrs {
  Ref<BodyCall> call;
  TWOFOLD_FIELDS(call)
};
uint64_t hash_field(const Ref<BodyCall>& c);
std::string print_field(const Ref<BodyCall>& c);
void perturb_field(Ref<BodyCall>& c);

/// The tapes of this thread record it. `inputs`: of the body's parameters, then its captures; `variables`: those that
/// any body of the node reads and may be differentiated by, further inputs of the record.
void record_call(Ref<BodyCall> call, std::span<const Tensor> inputs, std::span<const Tensor> outputs,
                 std::span<const Ref<VariableState>> variables, std::source_location where);
/// The gradient of a record: by the Backprop node that this thread is doing (planned_gradients.cc).
void body_call_gradient(Backward& b);

/// What is kept of a value.
Tensor kept_value(const ForwardRead& read, const Tensor& value);
/// A tensor of its own, as results of records are.
Tensor fresh(const Tensor& t);
/// @{
/// Dtype and shape without elements.
Tensor shell_of(const TensorSpec& spec, Device device);
Tensor shell_of(const Tensor& t);
/// @}

}  // namespace twofold
