#include <twofold/graph/identity.h>

#include <map>
#include <tuple>

namespace twofold {

std::vector<OpIdentity> identities_of(const GraphData& g) {
  const std::vector<MadeIn> made_in = g.made_in();
  std::map<std::tuple<uint64_t, uint64_t, const OpDef*>, uint64_t> next;  // ordinals, by execution, scope and op
  std::vector<OpIdentity> all;
  size_t at = 0;
  for (uint32_t id = 0; id < g.size(); ++id) {
    while (at + 1 < made_in.size() && made_in[at + 1].first <= id) ++at;
    const MadeIn& in = made_in[at];
    const OpDef* op = g.node(id).op;
    all.push_back({.body = in.body, .scope = in.scope, .op = op->name, .ordinal = next[{in.execution, in.scope, op}]++});
  }
  return all;
}

}  // namespace twofold
