#include <twofold/session/program/passes.h>

namespace twofold {

// The largest constant made; a larger one costs more to hold than to compute.
static constexpr int64_t kMostElements = int64_t{1} << 20;

int64_t fold_constants(Program& p) {
  int64_t changes = 0;
  for (const ProgramNode& n : p.nodes) {
    if (n.dead || n.num_outputs == 0 || n.op->flags.alias || p.values[n.first_output].constant.defined()) continue;
    bool foldable = !n.inputs.empty() && !n.dynamic;
    for (size_t i = 0; i < n.inputs.size(); ++i)
      foldable = foldable && (p.values[n.inputs[i]].constant.defined() || n.op->reads_shape(i));
    for (const ProgramValue& v : p.outputs(n))
      foldable = foldable && v.spec.shape.is_known() && v.spec.shape.saturated_elements() <= kMostElements;
    if (foldable && fold_value(p, n.first_output).defined()) ++changes;
  }
  return changes;
}

}  // namespace twofold
