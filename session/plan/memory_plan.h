// Which memory each value of a program lies in.
#pragma once

#include <span>
#include <vector>

#include <twofold/session/plan/arena.h>
#include <twofold/session/program/program.h>

namespace twofold {

/// Values that outlive the run, or come from outside it, are tensors of their own, *externals*; the others lie in one
/// arena for each device, where values that live at different times share memory.
class MemoryPlan {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  // Where a value lies. Values that share memory share a root.
  struct Home {
    ValueId root = 0;
    uint32_t external = kNone;  // of a root: its number, once it has one
    uint64_t offset = 0;        // in the arena
    bool placed = false;        // in the arena
    bool must_be_external = false;
    bool pinned = false;      // arena memory not to be reused: a tensor may refer to it
    bool taken_over = false;  // its memory became another value's
    uint32_t last_use = 0;    // index of a node
  };

  /// Without `reuse` no memory is shared.
  MemoryPlan(Program& p, bool reuse);

  Home& home(ValueId v) { return homes_[homes_[v].root]; }
  ValueId root(ValueId v) const { return homes_[v].root; }
  bool is_constant(ValueId v) const { return p_.values[homes_[v].root].constant.defined(); }

  /// Gives the value room in its device's arena, if it has none.
  void place(ValueId v);
  /// Places the result of a pointwise op over an operand that ends with it, if there is one: element i of the result
  /// needs element i alone.
  void place_over_operand(const ProgramNode& n);
  /// What was last used by node `node` is over.
  void end_node(size_t node);

  Arena& arena(Device d) {
    const auto i = static_cast<size_t>(d.index);
    if (arenas_.size() <= i) arenas_.resize(i + 1);
    return arenas_[i];
  }
  size_t num_devices() const { return arenas_.size(); }
  /// How many values share memory with others.
  int64_t shared() const { return shared_; }

 private:
  void find_aliases();
  void find_externals();
  void find_last_uses();
  size_t bytes_of(ValueId root) const;

  Program& p_;
  const bool reuse_;
  std::vector<Home> homes_;
  std::vector<uint32_t> ends_;  // ending_[ends_[i]..ends_[i+1]) are last used by node i
  std::vector<ValueId> ending_;
  std::vector<Arena> arenas_;  // by Device::index
  int64_t shared_ = 0;
};

}  // namespace twofold
