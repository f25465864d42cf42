// What a tape over a graph watches.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <twofold/lib/op/variable.h>

namespace twofold {

/// A place in the order of a graph's nodes.
struct GraphPosition {
  uint64_t graph = 0;  ///< its id, which no other graph ever has
  uint32_t node = 0;
};

/// What a tape over a graph has seen, as an eager one would have recorded it.
struct GraphWatch {
  GraphPosition begin;    ///< nodes before do not count
  bool trainable = true;  ///< reads of trainable variables do, without being asked for
  // What was asked for, and the position from which on uses of it count.
  std::vector<std::pair<Tensor, GraphPosition>> tensors;
  std::vector<std::pair<Ref<VariableState>, GraphPosition>> variables;

  bool watches(const VariableState& v) const {
    if (!is_floating(v.dtype)) return false;
    return (trainable && v.trainable) ||
           std::ranges::any_of(variables, [&](const auto& w) { return w.first.get() == &v; });
  }
};

}  // namespace twofold
