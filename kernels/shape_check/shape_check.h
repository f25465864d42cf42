// Checks of shapes that functions made of other ops make themselves: at once where the shapes are known, else by an op
// in the run.
#pragma once

#include <source_location>
#include <span>
#include <string>
#include <vector>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/tensor.h>

namespace twofold {

/// What is checked when shapes are known.
enum class ShapeCheck : uint8_t {
  matches,        ///< each input has the shape wanted[i], as far as that says
  ends_with,      ///< the last axes of each input are wanted[i]
  has_axes,       ///< input 0 is no scalar
  same,           ///< inputs 0 and 1 have one shape: numbers are what the function calls them
  broadcasts_to,  ///< input 0 to input 1's shape
  channels,       ///< input 0 is a vector with an element for each index of input 1's axis numbers[0]
  mirror,         ///< axis numbers[0] shows numbers[1] and [2] elements before and behind it, not its last numbers[3]
  index,          ///< the first axis of input 0 has the index numbers[0]
  einsum,         ///< axes of one letter of the equation `words` have one extent
};

template <>
inline constexpr int kEnumerators<ShapeCheck> = 9;

/// Attributes of CheckShape.
struct ShapeCheckAttrs {
  ShapeCheck what = ShapeCheck::matches;
  std::string words;               ///< of the error, each {} being a shape; or the function's name
  std::string name = {};           ///< what input 0 is called
  std::vector<Shape> wanted = {};  ///< unknown_shape: any
  std::vector<int64_t> numbers = {};
  TWOFOLD_FIELDS(what, words, name, wanted, numbers)
};

/// Output 0 is input 0, for gradients as well: in eager mode, where the check is made at once, there is no such op.
extern struct OpDef shape_check_op;

namespace internal {
/// inputs[0], its shape and those of the other inputs being checked: itself where what is known of them decides, else a
/// tensor of its own, which the run makes only if the check finds them right. InvalidArgument in the function's words.
Tensor shape_checked(std::span<const Tensor* const> inputs, const ShapeCheckAttrs& attrs, std::source_location where);
inline Tensor shape_checked(std::initializer_list<const Tensor*> inputs, const ShapeCheckAttrs& attrs,
                            std::source_location where) {
  return shape_checked({inputs.begin(), inputs.size()}, attrs, where);
}
}  // namespace internal

}  // namespace twofold
