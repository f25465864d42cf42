#include <twofold/session/program/node_error.h>

namespace twofold {

void rethrow_for_node(const Error& e, const GraphData& g, uint32_t node) {
  const Node& n = g.node(node);
  ErrorFacts facts = e.facts();
  if (!facts.node.empty()) throw e;
  facts.node = g.node_name(node);
  if (facts.op.empty()) facts.op = n.op->name;
  if (n.where.line() != 0) facts.where = n.where;
  throw Error(e.code(), std::move(facts));
}

}  // namespace twofold
