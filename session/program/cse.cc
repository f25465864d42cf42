#include <algorithm>
#include <unordered_map>

#include <twofold/lib/op/value.h>
#include <twofold/session/program/node_kinds.h>
#include <twofold/session/program/passes.h>

namespace twofold {
namespace {

struct Expression {
  const ProgramNode* node;
  friend bool operator==(const Expression& a, const Expression& b) {
    return a.node->op == b.node->op && a.node->device == b.node->device &&
           std::ranges::equal(a.node->inputs, b.node->inputs) && a.node->attrs_view() == b.node->attrs_view();
  }
};
struct ExpressionHash {
  size_t operator()(const Expression& e) const {
    uint64_t h = mix(static_cast<uint64_t>(e.node->op->id), e.node->attrs_view().hash());
    for (ValueId v : e.node->inputs) h = mix(h, v);
    return h;
  }
};

}  // namespace

int64_t eliminate_common_subexpressions(Program& p) {
  int64_t changes = 0;
  const auto is_another = [&](ProgramNode& n, ValueId first) {
    for (uint32_t i = 0; i < n.num_outputs; ++i) p.replace(n.first_output + i, first + i);
    p.remove(n);
    ++changes;
  };
  std::unordered_map<Expression, const ProgramNode*, ExpressionHash> seen;
  seen.reserve(p.nodes.size());
  std::unordered_map<const VariableState*, ValueId> reads;  // with no write since
  for (ProgramNode& n : p.nodes) {
    if (n.dead) continue;
    // What only hands its input on is that input.
    if (!n.has_effect() && !n.dynamic && !n.root && p.hands_on(n)) {
      is_another(n, n.inputs[0]);
      continue;
    }
    if (n.has_effect() || n.op->flags.control_flow) reads.clear();
    if (is_read(n) && !n.root) {
      const auto [it, fresh] = reads.emplace(variable_of(n).get(), n.first_output);
      if (!fresh) is_another(n, it->second);
      continue;
    }
    if (n.op->flags.effect || n.op->flags.random || n.op->flags.session || n.root || n.num_outputs == 0) continue;
    const auto [it, fresh] = seen.emplace(Expression{&n}, &n);
    if (!fresh) is_another(n, it->second->first_output);
  }
  return changes;
}

}  // namespace twofold
