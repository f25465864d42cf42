#include <twofold/session/plan/memory_plan.h>

#include <twofold/graph/graph_ops.h>
#include <twofold/session/program/node_kinds.h>

namespace twofold {

MemoryPlan::MemoryPlan(Program& p, bool reuse) : p_(p), reuse_(reuse), homes_(p.values.size()), arenas_(1) {
  for (ValueId v = 0; v < p_.values.size(); ++v) homes_[v].root = v;
  find_aliases();
  find_externals();
  find_last_uses();
}

void MemoryPlan::find_aliases() {
  for (const ProgramNode& n : p_.nodes) {
    if (is_skipped(p_, n) || is_host_op(n)) continue;
    if (is_alias(p_, n) || is_assignment(n)) homes_[n.first_output].root = homes_[n.inputs[0]].root;
  }
}

void MemoryPlan::find_externals() {
  for (ValueId v = 0; v < p_.values.size(); ++v)
    if (p_.values[v].feed >= 0) home(v).must_be_external = true;
  for (ValueId v : p_.fetches) home(v).must_be_external = true;
  for (const ProgramNode& n : p_.nodes) {
    if (is_skipped(p_, n)) continue;
    if (is_assignment(n)) home(n.inputs[0]).must_be_external = true;
    if (is_read(n) || takes_tensors(n))
      for (uint32_t i = 0; i < n.num_outputs; ++i) home(n.first_output + i).must_be_external = true;
    if (takes_tensors(n))
      for (ValueId v : n.inputs) home(v).pinned = true;
  }
}

void MemoryPlan::find_last_uses() {
  for (size_t i = 0; i < p_.nodes.size(); ++i) {
    const ProgramNode& n = p_.nodes[i];
    if (is_skipped(p_, n)) continue;
    for (ValueId v : n.inputs) home(v).last_use = static_cast<uint32_t>(i);
    for (uint32_t k = 0; k < n.num_outputs; ++k) home(n.first_output + k).last_use = static_cast<uint32_t>(i);
  }
  // Which arena values end at which node, without a list per node.
  ends_.assign(p_.nodes.size() + 1, 0);
  std::vector<ValueId> roots;
  for (ValueId v = 0; v < p_.values.size(); ++v) {
    if (homes_[v].root != v || homes_[v].must_be_external || homes_[v].pinned) continue;
    ++ends_[homes_[v].last_use + 1];
    roots.push_back(v);
  }
  for (size_t i = 1; i < ends_.size(); ++i) ends_[i] += ends_[i - 1];
  ending_.resize(roots.size());
  std::vector<uint32_t> next(ends_.begin(), ends_.end());
  for (ValueId v : roots) ending_[next[homes_[v].last_use]++] = v;
}

size_t MemoryPlan::bytes_of(ValueId root) const {
  const TensorSpec& s = p_.values[root].spec;
  return checked_bytes(s.dtype, s.shape);
}

void MemoryPlan::end_node(size_t node) {
  for (uint32_t i = ends_[node]; i < ends_[node + 1]; ++i) {
    const Home& h = homes_[ending_[i]];
    if (h.placed && !h.taken_over && reuse_)
      arena(p_.values[ending_[i]].device).release(h.offset, bytes_of(ending_[i]));
  }
}

void MemoryPlan::place(ValueId v) {
  Home& h = home(v);
  if (h.placed) return;
  Arena& a = arena(p_.values[root(v)].device);
  const size_t before = a.top();
  h.offset = a.take(bytes_of(root(v)));
  h.placed = true;
  shared_ += a.top() == before;
}

void MemoryPlan::place_over_operand(const ProgramNode& n) {
  Home& to = home(n.first_output);
  if (!reuse_ || to.must_be_external || to.placed) return;
  const TensorSpec& spec = p_.values[n.first_output].spec;
  const auto index = static_cast<size_t>(&n - p_.nodes.data());
  for (ValueId v : n.inputs) {
    Home& from = home(v);
    const ProgramValue& other = p_.values[root(v)];
    if (from.must_be_external || from.pinned || !from.placed || from.taken_over || is_constant(v) ||
        from.last_use != index || other.spec.shape != spec.shape || size_of(other.spec.dtype) != size_of(spec.dtype) ||
        other.device != n.device)
      continue;
    to.offset = from.offset;
    to.placed = from.taken_over = true;
    ++shared_;
    return;
  }
}

}  // namespace twofold
