#include <twofold/session/program/late_updates.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <twofold/graph/graph_ops.h>
#include <twofold/session/program/node_kinds.h>

namespace twofold {
namespace {

class LateUpdates {
 public:
  explicit LateUpdates(Program& p) : p_(p) {}

  size_t move() {
    if (!find_candidates() || !possible()) return p_.nodes.size();
    find_uses();
    std::vector<bool> late(p_.nodes.size(), false);
    bool any = false;
    for (const uint32_t c : candidates_) {
      if (!is_late(c)) continue;
      any = late[c] = true;
      for (uint32_t k = 0; k < p_.nodes[c].num_outputs; ++k) late[assigned_by_[p_.nodes[c].first_output + k]] = true;
    }
    return any ? move_last(late) : p_.nodes.size();
  }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};

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
    assigned_by_.assign(p_.values.size(), kNone);
    used_.assign(p_.values.size(), false);
    for (ValueId v : p_.fetches) {
      used_[v] = true;
      if (const VariableState* read = read_by(v)) uses_[read].handed_out = true;
    }
    for (const auto& v : p_.fetched_variables) uses_[v.get()].handed_out = true;
    for (uint32_t i = 0; i < p_.nodes.size(); ++i) {
      const ProgramNode& n = p_.nodes[i];
      if (is_skipped(p_, n)) continue;
      if (n.op == &read_variable_op) uses_[variable_of(n).get()].last_read = i;
      if (is_assignment(*n.op)) ++uses_[variable_of(n).get()].assignments;
      for (ValueId v : n.inputs) {
        if (n.op == &assign_op && assigned_by_[v] == kNone)
          assigned_by_[v] = i;
        else
          used_[v] = true;
      }
    }
    for (const uint32_t c : candidates_)
      for (uint32_t k = 0; k < p_.nodes[c].num_outputs; ++k) written_over_.insert(written_over(p_.nodes[c], k));
  }

  // The variable of which `v` is the value, perhaps under another shape or assigned to another; null: of none. As
  // MemoryPlan finds values that are the same memory.
  const VariableState* read_by(ValueId v) const {
    for (int32_t i = p_.values[v].producer; i >= 0; i = p_.values[v].producer) {
      const ProgramNode& n = p_.nodes[static_cast<size_t>(i)];
      if (n.op == &read_variable_op) return variable_of(n).get();
      if (is_host_op(n) || !(is_alias(p_, n) || n.op == &assign_op)) return nullptr;
      v = n.inputs[0];
    }
    return nullptr;
  }

  // The variable that output k of a candidate is written over; null: none.
  const VariableState* written_over(const ProgramNode& n, uint32_t k) const {
    const uint32_t by = assigned_by_[n.first_output + k];
    return by != kNone && k < std::size(n.op->in_place) && n.op->in_place[k] >= 0 ? variable_of(p_.nodes[by]).get()
                                                                                  : nullptr;
  }

  bool is_late(uint32_t candidate) const {
    const ProgramNode& n = p_.nodes[candidate];
    std::vector<const VariableState*> own(n.inputs.size(), nullptr);  // by input: what an output lies over
    for (uint32_t k = 0; k < n.num_outputs; ++k) {
      const ValueId v = n.first_output + k;
      const uint32_t by = assigned_by_[v];
      if (used_[v] || by == kNone) return false;
      const ValueId assigned = p_.nodes[by].first_output;
      if (used_[assigned] || assigned_by_[assigned] != kNone) return false;
      const Uses& uses = uses_.at(variable_of(p_.nodes[by]).get());
      if (uses.assignments != 1 || uses.last_read > by || uses.handed_out) return false;
      if (const VariableState* over = written_over(n, k)) own[static_cast<size_t>(n.op->in_place[k])] = over;
    }
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const int32_t producer = p_.values[n.inputs[i]].producer;
      if (own[i]) {
        const bool reads = producer >= 0 && p_.nodes[static_cast<size_t>(producer)].op == &read_variable_op;
        if (!reads || variable_of(p_.nodes[static_cast<size_t>(producer)]).get() != own[i]) return false;
      } else if (const VariableState* read = read_by(n.inputs[i]); read && written_over_.contains(read)) {
        return false;  // another update may be over it by then
      }
    }
    return true;
  }

  size_t move_last(const std::vector<bool>& late) {
    std::vector<ProgramNode> nodes;
    std::vector<int32_t> place(p_.nodes.size());
    nodes.reserve(p_.nodes.size());
    size_t first = 0;
    for (const bool pass : {false, true}) {
      if (pass) first = nodes.size();
      for (size_t i = 0; i < p_.nodes.size(); ++i) {
        if (late[i] != pass) continue;
        place[i] = static_cast<int32_t>(nodes.size());
        nodes.push_back(std::move(p_.nodes[i]));
      }
    }
    p_.nodes = std::move(nodes);
    for (ProgramValue& v : p_.values)
      if (v.producer >= 0) v.producer = place[static_cast<size_t>(v.producer)];
    return first;
  }

  Program& p_;
  std::vector<uint32_t> candidates_;
  std::vector<uint32_t> assigned_by_;  // by value: the node that assigns it; kNone: not one
  std::vector<bool> used_;             // by value: otherwise
  std::unordered_map<const VariableState*, Uses> uses_;
  std::unordered_set<const VariableState*> written_over_;  // by all candidates
};

}  // namespace

size_t move_late_updates(Program& p) { return LateUpdates(p).move(); }

}  // namespace twofold
