#include <twofold/session/program/passes.h>

namespace twofold {

int64_t eliminate_dead_code(Program& p) {
  std::vector<bool> read(p.values.size(), false);
  for (ValueId v : p.fetches) read[v] = true;
  int64_t changes = 0;
  for (size_t i = p.nodes.size(); i-- > 0;) {
    ProgramNode& n = p.nodes[i];
    if (n.dead) continue;
    bool used = n.root || n.has_effect();
    for (uint32_t k = 0; k < n.num_outputs; ++k) {
      const ValueId v = n.first_output + k;
      // A folded value needs no producer.
      used = used || (read[v] && !p.values[v].constant.defined());
    }
    if (!used) {
      n.dead = true;
      ++changes;
      continue;
    }
    for (size_t k = 0; k < n.inputs.size(); ++k)
      if (!(k < 32 && n.op->shape_inputs >> k & 1) || n.dynamic) read[n.inputs[k]] = true;
  }
  return changes;
}

}  // namespace twofold
