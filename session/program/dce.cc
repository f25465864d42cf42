#include <algorithm>

#include <twofold/session/program/passes.h>

namespace twofold {
namespace {

// Whether a reader needs the value computed: it is not known, and more than its shape is read.
bool is_wanted(Program& p, ValueId v) {
  return !p.values[v].constant.defined() && std::ranges::any_of(p.readers(v), [&](Reader r) {
    return r.is_fetch() || !p.nodes[r.node].reads_shape_alone(r.input);
  });
}

}  // namespace

int64_t eliminate_dead_code(Program& p) {
  int64_t changes = 0;
  for (size_t i = p.nodes.size(); i-- > 0;) {
    ProgramNode& n = p.nodes[i];
    bool wanted = n.dead || n.root || n.has_effect();
    for (uint32_t k = 0; k < n.num_outputs && !wanted; ++k) wanted = is_wanted(p, n.first_output + k);
    if (wanted) continue;
    p.remove(n);
    ++changes;
  }
  return changes;
}

}  // namespace twofold
