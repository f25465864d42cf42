// The op "Fused": a group of pointwise ops run tile by tile, so that the values between them stay in the cache. A pass
// makes it, after gradients; programs do not. It runs the tile functions of its ops, and so equals them to the bit. On
// a GPU it is one kernel, compiled at run time from the functors of the GPU's own pointwise kernels, and equals those.
#pragma once

#include <array>
#include <string>
#include <vector>

#include <twofold/lib/op/attrs.h>

namespace twofold {

/// One pointwise op of the group.
struct FusedOp {
  OpKey op;
  DType dtype = float32;  ///< of its operands (where: of those after the condition)
  DType to = float32;     ///< of its result
  /// Operands: k < number of the group's inputs is input k, else op k - number of inputs, an earlier one; -1 is none.
  std::array<int16_t, 3> in{-1, -1, -1};
  friend bool operator==(const FusedOp&, const FusedOp&) = default;
};
uint64_t hash_field(const FusedOp& fused);
/// Throws Internal: plans have fused ops, no graph does.
FieldValue to_field(const FusedOp& fused);
void from_field(const FieldValue& f, FusedOp& fused);
std::string print_field(const FusedOp& fused);  ///< "Add:float32(0,1)", "Cast:int32>float32(2)"

/// Output i is the result of op results[i]; results are distinct. Every output has the shape that all inputs
/// broadcast to; what an op makes of smaller ones is computed for each element.
struct FusedAttrs {
  std::vector<FusedOp> ops;
  std::vector<int32_t> results;
  TWOFOLD_FIELDS(ops, results)
};

}  // namespace twofold
