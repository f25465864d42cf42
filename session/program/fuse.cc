#include <algorithm>

#include <twofold/kernels/pointwise/fused.h>
#include <twofold/kernels/pointwise/ops.h>
#include <twofold/session/program/passes.h>

namespace twofold {
namespace {

// Groups of pointwise nodes of one shape that run as one, where the last of them stands. A group takes nodes as long as
// nobody outside has read from it: what reads it later finds it done, and what it reads was done before its last node.
class Fusion {
 public:
  explicit Fusion(Program& p) : p_(p), group_of_(p.values.size(), kNone) {}

  int64_t run() {
    for (uint32_t i = 0; i < p_.nodes.size(); ++i) {
      const ProgramNode& n = p_.nodes[i];
      if (n.dead) continue;
      if (can_fuse(n)) {
        add(i);
      } else {
        for (ValueId v : n.inputs) close(group_of_[v]);
      }
    }
    int64_t changes = 0;
    for (uint32_t g = 0; g < groups_.size(); ++g)
      if (groups_[g].nodes.size() > 1) changes += fuse(g);
    for (const auto& [from, to] : moved_) p_.replace(from, to);
    return changes;
  }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  static constexpr size_t kMostParts = 96;  // with the inputs, within what the kernel holds
  static constexpr size_t kMostInputs = 32;

  struct Group {
    std::vector<uint32_t> nodes;
    std::vector<ValueId> inputs;  // from outside, each once
    bool open = true;
  };

  bool can_fuse(const ProgramNode& n) const {
    return n.op->flags.pointwise && !n.dynamic && n.num_outputs == 1 && !n.op->flags.effect && n.op->infer &&
           !p_.values[n.first_output].constant.defined() && n.inputs.size() <= 3 && n.op != fused_;
  }

  const Shape& shape_of(const Group& g) const { return p_.values[p_.nodes[g.nodes[0]].first_output].spec.shape; }

  void close(uint32_t group) {
    if (group != kNone) groups_[root(group)].open = false;
  }
  uint32_t root(uint32_t g) const {
    while (merged_[g] != g) g = merged_[g];
    return g;
  }

  void add(uint32_t index) {
    const ProgramNode& n = p_.nodes[index];
    const Shape& shape = p_.values[n.first_output].spec.shape;
    uint32_t home = kNone;
    for (ValueId v : n.inputs) {
      if (group_of_[v] == kNone) continue;
      const uint32_t g = root(group_of_[v]);
      if (g == home) continue;
      if (!groups_[g].open || shape_of(groups_[g]) != shape || p_.nodes[groups_[g].nodes[0]].device != n.device ||
          groups_[g].nodes.size() + 1 > kMostParts) {
        groups_[g].open = false;
      } else if (home == kNone) {
        home = g;
      } else if (fits(home, g)) {
        merge(home, g);
      } else {
        groups_[g].open = false;
      }
    }
    if (home != kNone && groups_[home].inputs.size() + n.inputs.size() > kMostInputs) {
      groups_[home].open = false;
      home = kNone;
    }
    if (home == kNone) {
      home = static_cast<uint32_t>(groups_.size());
      groups_.emplace_back();
      merged_.push_back(home);
    }
    Group& g = groups_[home];
    g.nodes.push_back(index);
    for (ValueId v : n.inputs) {
      const bool inside = group_of_[v] != kNone && root(group_of_[v]) == home;
      if (!inside && std::ranges::find(g.inputs, v) == g.inputs.end()) g.inputs.push_back(v);
    }
    group_of_[n.first_output] = home;
  }

  bool fits(uint32_t a, uint32_t b) const {
    return groups_[a].nodes.size() + groups_[b].nodes.size() < kMostParts &&
           groups_[a].inputs.size() + groups_[b].inputs.size() + 3 <= kMostInputs;
  }
  void merge(uint32_t into, uint32_t from) {
    merged_[from] = into;
    Group &a = groups_[into], &b = groups_[from];
    a.nodes.insert(a.nodes.end(), b.nodes.begin(), b.nodes.end());
    std::ranges::sort(a.nodes);
    for (ValueId v : b.inputs)
      if (std::ranges::find(a.inputs, v) == a.inputs.end()) a.inputs.push_back(v);
    b = Group{.open = false};
  }

  bool is_inside(ValueId v, uint32_t group) const {
    return v < group_of_.size() && group_of_[v] != kNone && root(group_of_[v]) == group;
  }

  // Whether somebody outside of the group reads `v`, which a node of it makes.
  bool is_result(ValueId v, uint32_t group) const {
    return std::ranges::any_of(p_.readers(v), [&](Reader r) {
      return r.is_fetch() || p_.nodes[r.node].num_outputs != 1 || !is_inside(p_.nodes[r.node].first_output, group);
    });
  }

  // For a few ops over a few elements the interpreter's own cost is more than it saves.
  bool pays(const Group& g) const { return shape_of(g).saturated_elements() >= 64 || g.nodes.size() >= 8; }

  // The group as one node in the place of its last; returns how many nodes that saves.
  int64_t fuse(uint32_t group) {
    const Group& g = groups_[group];
    if (!pays(g)) return 0;
    std::vector<ValueId> results;
    for (uint32_t index : g.nodes)
      if (const ValueId v = p_.nodes[index].first_output; is_result(v, group)) results.push_back(v);
    if (results.empty()) return 0;
    const uint32_t last = g.nodes.back();
    ProgramNode fused;
    fused.op = fused_;
    fused.attrs = make_ref<AttrsBox>(AttrsView(parts(g, results)));
    for (ValueId v : g.inputs) fused.inputs.push_back(v);
    fused.first_output = static_cast<ValueId>(p_.values.size());
    fused.num_outputs = static_cast<uint32_t>(results.size());
    fused.graph_node = p_.nodes[last].graph_node;
    fused.device = p_.values[results[0]].device;
    for (ValueId v : results) p_.values.push_back({.spec = p_.spec(v), .device = p_.values[v].device});
    for (uint32_t index : g.nodes) p_.remove(p_.nodes[index], &fused);
    for (uint32_t i = 0; i < results.size(); ++i) moved_.emplace_back(results[i], fused.first_output + i);
    p_.put(last, std::move(fused));
    return static_cast<int64_t>(g.nodes.size()) - 1;
  }

  FusedAttrs parts(const Group& g, std::span<const ValueId> results) const {
    FusedAttrs attrs;
    std::vector<ValueId> order = g.inputs;  // operands by number: inputs, then results
    const auto number = [&](ValueId v) { return static_cast<int16_t>(std::ranges::find(order, v) - order.begin()); };
    for (uint32_t index : g.nodes) {
      const ProgramNode& n = p_.nodes[index];
      FusedOp fused{.op = n.op->key, .dtype = p_.spec(n.inputs.back()).dtype, .to = p_.spec(n.first_output).dtype};
      for (size_t k = 0; k < n.inputs.size(); ++k) fused.in[k] = number(n.inputs[k]);
      attrs.ops.push_back(std::move(fused));
      order.push_back(n.first_output);
    }
    for (ValueId v : results) attrs.results.push_back(number(v) - static_cast<int32_t>(g.inputs.size()));
    return attrs;
  }

  Program& p_;
  const OpDef* fused_ = &fused_op;
  std::vector<uint32_t> group_of_;  // by value: the group of the node that makes it
  std::vector<Group> groups_;
  std::vector<uint32_t> merged_;                    // by group: the one it went into, itself at first
  std::vector<std::pair<ValueId, ValueId>> moved_;  // results, and what they are once their groups are one node each
};

}  // namespace

int64_t fuse_pointwise(Program& p) { return Fusion(p).run(); }

}  // namespace twofold
