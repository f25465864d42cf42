#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <twofold/graph/graph_ops.h>
#include <twofold/session/program/node_kinds.h>
#include <twofold/session/program/passes.h>

namespace twofold {
namespace {

// Moves behind all other nodes, with their assignments, the updates whose results may lie over the old values of their
// variables (OpDef::in_place) if they are done last: on the CPU, by ops that cannot fail, whose results are only
// assigned, to variables that nothing else reads later or hands out.
class LateUpdates {
 public:
  explicit LateUpdates(Program& p) : p_(p) {}

  int64_t move() {
    if (!find_candidates() || !possible()) return 0;
    find_uses();
    int64_t changes = 0;
    std::vector<bool> late(p_.nodes.size(), false);
    for (const uint32_t c : candidates_) {
      if (!is_late(p_.nodes[c])) continue;
      late[c] = true;
      ++changes;
      for (uint32_t k = 0; k < p_.nodes[c].num_outputs; ++k)
        late[p_.index_of(*assignment_of(p_.nodes[c].first_output + k))] = true;
    }
    if (changes) move_last(late);
    return changes;
  }

 private:
  // What a variable is to the program.
  struct Uses {
    int assignments = 0;
    uint32_t last_read = 0;  // the node
    bool handed_out = false;
  };

  // Bodies of control flow touch variables too, and are run within a run that may yet fail.
  bool possible() const {
    return !p_.nested && std::ranges::none_of(p_.nodes, [&](const ProgramNode& n) {
      return !is_skipped(p_, n) && (!n.device.is_cpu() || (is_host_op(n) && n.op->flags.session));
    });
  }

  bool find_candidates() {
    for (uint32_t i = 0; i < p_.nodes.size(); ++i) {
      const ProgramNode& n = p_.nodes[i];
      const bool in_place = std::ranges::any_of(n.op->in_place, [](int8_t input) { return input >= 0; });
      if (in_place && !is_skipped(p_, n) && !n.op->flags.can_fail && !n.op->flags.random && !is_host_op(n))
        candidates_.push_back(i);
    }
    return !candidates_.empty();
  }

  void find_uses() {
    for (ValueId v : p_.fetches)
      if (const VariableState* read = read_by(v)) uses_[read].handed_out = true;
    for (const auto& v : p_.fetched_variables) uses_[v.get()].handed_out = true;
    for (uint32_t i = 0; i < p_.nodes.size(); ++i) {
      const ProgramNode& n = p_.nodes[i];
      if (is_skipped(p_, n)) continue;
      if (is_read(n)) uses_[variable_of(n).get()].last_read = i;
      if (is_assignment(n)) ++uses_[variable_of(n).get()].assignments;
    }
    for (const uint32_t c : candidates_)
      for (uint32_t k = 0; k < p_.nodes[c].num_outputs; ++k) written_over_.insert(written_over(p_.nodes[c], k));
  }

  // Nodes that read `v` when the plan runs; a fetch counts as null.
  std::vector<const ProgramNode*> readers(ValueId v) const {
    std::vector<const ProgramNode*> all;
    for (const Reader r : p_.readers(v))
      if (r.is_fetch() || !is_skipped(p_, p_.nodes[r.node])) all.push_back(r.is_fetch() ? nullptr : &p_.nodes[r.node]);
    return all;
  }

  // The first assignment of `v`; null: there is none.
  const ProgramNode* assignment_of(ValueId v) const {
    const ProgramNode* first = nullptr;
    for (const ProgramNode* n : readers(v))
      if (n && is_assignment(*n) && (!first || n < first)) first = n;
    return first;
  }

  // The variable of which `v` is the value, perhaps under another shape or assigned to another; null: of none. As
  // MemoryPlan finds values that are the same memory.
  const VariableState* read_by(ValueId v) const {
    while (const ProgramNode* n = p_.producer(v)) {
      if (is_read(*n)) return variable_of(*n).get();
      if (is_host_op(*n) || !(is_alias(p_, *n) || is_assignment(*n))) return nullptr;
      v = n->inputs[0];
    }
    return nullptr;
  }

  // The variable that output k of a candidate is written over; null: none.
  const VariableState* written_over(const ProgramNode& n, uint32_t k) const {
    if (k >= std::size(n.op->in_place) || n.op->in_place[k] < 0) return nullptr;
    const ProgramNode* assigns = assignment_of(n.first_output + k);
    return assigns ? variable_of(*assigns).get() : nullptr;
  }

  bool is_late(const ProgramNode& n) const {
    std::vector<const VariableState*> own(n.inputs.size(), nullptr);  // by input: what an output lies over
    for (uint32_t k = 0; k < n.num_outputs; ++k) {
      const ProgramNode* by = assignment_of(n.first_output + k);
      if (!by || readers(n.first_output + k).size() != 1 || !readers(by->first_output).empty()) return false;
      const Uses& uses = uses_.at(variable_of(*by).get());
      if (uses.assignments != 1 || uses.last_read > p_.index_of(*by) || uses.handed_out) return false;
      if (const VariableState* over = written_over(n, k)) own[static_cast<size_t>(n.op->in_place[k])] = over;
    }
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      if (own[i]) {
        const ProgramNode* read = p_.producer(n.inputs[i]);
        if (!read || !is_read(*read) || variable_of(*read).get() != own[i]) return false;
      } else if (const VariableState* read = read_by(n.inputs[i]); read && written_over_.contains(read)) {
        return false;  // another update may be over it by then
      }
    }
    return true;
  }

  void move_last(const std::vector<bool>& late) {
    std::vector<ProgramNode> nodes;
    nodes.reserve(p_.nodes.size());
    for (const bool second : {false, true}) {
      if (second) p_.first_late = nodes.size();
      for (size_t i = 0; i < p_.nodes.size(); ++i)
        if (late[i] == second) nodes.push_back(std::move(p_.nodes[i]));
    }
    p_.nodes = std::move(nodes);
    p_.renumber();
  }

  Program& p_;
  std::vector<uint32_t> candidates_;
  std::unordered_map<const VariableState*, Uses> uses_;
  std::unordered_set<const VariableState*> written_over_;  // by all candidates
};

}  // namespace

int64_t move_late_updates(Program& p) { return LateUpdates(p).move(); }

}  // namespace twofold
