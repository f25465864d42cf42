// Passes that look for a tree of ops and write it anew. What is looked for is data, a Rule: see fuse_batch_norm.cc.
#pragma once

#include <array>
#include <span>
#include <vector>

#include <twofold/session/program/program.h>

namespace twofold {

/// A tree of ops. Each node of it is one that runs and whose shapes are known to the plan.
struct Pattern {
  const OpDef* op = nullptr;         ///< null: any value
  std::vector<Pattern> inputs = {};  ///< of the first inputs; the others may be any values
  uint32_t output = 0;               ///< the node's that is read
  bool only_reader = false;          ///< nobody else reads it
  bool through_aliases = false;  ///< or reads it by nodes that only hand it on; with only_reader each has one reader
  bool same_device = false;      ///< as the tree's root runs on
  bool (*when)(const ProgramNode& n) = nullptr;
};

/// What a pattern has found: the nodes of its ops, parents before their inputs.
class Match {
 public:
  /// `const auto [relu, norm] = m.nodes<2>();`
  template <size_t n>
  std::array<ProgramNode*, n> nodes() const {
    std::array<ProgramNode*, n> all;
    for (size_t i = 0; i < n; ++i) all[i] = nodes_[i];
    return all;
  }
  void add(ProgramNode& n) { nodes_.push_back(&n); }

 private:
  SmallVector<ProgramNode*, 4> nodes_;
};

struct Rule {
  Pattern pattern;
  bool (*fits)(const Program& p, const Match& m) = nullptr;  ///< what nodes must be to each other; null: anything
  /// Removes nodes and puts others in their places, but adds none: the program's nodes are being gone through.
  void (*rewrite)(Program& p, const Match& m);
};

/// Applies to each node, in order, the first rule that fits; returns how often one did.
int64_t rewrite(Program& p, std::span<const Rule> rules);

}  // namespace twofold
