// Makes programs at random.
#pragma once

#include <functional>
#include <vector>

#include "machine.h"

namespace fuzz {

struct Recipe {
  bool gradients = false;
  bool writes = false;
  bool large = false;  ///< some extents are beyond what one chunk of a kernel holds
  int instructions = 20;
};

/// Builds a program instruction by instruction, executing each eagerly so that dtypes and shapes are known.
class Generator {
 public:
  Generator(uint64_t seed, const Recipe& recipe);
  Generator(const Generator&) = delete;
  /// The program made. If an instruction throws, it is the last one.
  Program make();

  // For the ops that choose their operands.
  Rng& rng() { return rng_; }
  const Recipe& recipe() const { return recipe_; }
  const Program& program() const { return program_; }
  tf::DType dtype(int v) const { return state_.values[static_cast<size_t>(v)].dtype(); }
  const tf::Shape& shape(int v) const { return state_.values[static_cast<size_t>(v)].shape(); }
  /// False where the graph may not know the rank.
  bool rank_known(int v) const { return rank_known_[static_cast<size_t>(v)]; }
  /// False where it may be computed at once in either mode.
  bool symbolic(int v) const { return symbolic_[static_cast<size_t>(v)]; }
  bool watched(int v) const { return watched_[static_cast<size_t>(v)]; }
  /// Whether a tape is likely to know what v depends on.
  bool live(int v) const { return live_[static_cast<size_t>(v)]; }
  /// False for None.
  bool usable(int v) const { return state_.values[static_cast<size_t>(v)].defined(); }

  using Test = std::function<bool(int)>;
  /// A value that passes, recent ones preferred; -1 if there is none.
  int pick(const Test& test);
  int pick_floating();
  /// A value of that dtype and shape, made if need be.
  int value_of(tf::DType dtype, const tf::Shape& shape);
  int fresh_leaf(tf::DType dtype, const tf::Shape& shape);
  /// A placeholder of which the graph does not know all extents, or none.
  int vague_leaf(tf::DType dtype, const tf::Shape& shape);
  int pick_variable(const Test& test);

  tf::DType any_dtype();
  tf::Shape any_shape(int min_rank = 0);
  /// A shape that `shape` broadcasts to, and one that broadcasts to it.
  tf::Shape wider(const tf::Shape& shape);
  tf::Shape narrower(const tf::Shape& shape);
  int axis(int rank);  ///< counting from either end
  tf::Axes some_axes(int rank);

 private:
  int add(Instruction i);

  Rng rng_;
  Recipe recipe_;
  Program program_;
  State state_;
  std::vector<int64_t> extents_;
  std::vector<bool> rank_known_, symbolic_, watched_, live_;
  int echo_ = -1;  ///< picked wherever it passes
};

/// Program number `index` of the sequence that begins at `seed`.
Program generate(uint64_t seed, int index);

/// The smallest program found by leaving out and simplifying that `fails` still holds of.
Program shrink(Program p, const std::function<bool(const Program&)>& fails);

}  // namespace fuzz
