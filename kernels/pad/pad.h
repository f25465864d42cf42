// Padding.
#pragma once

#include <initializer_list>
#include <utility>
#include <vector>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/extents.h>
#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/number.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// What stands in the padding.
enum class PadMode : uint8_t {
  constant,   ///< options.value
  reflect,    ///< mirrored at the edge element: 1 2 3 becomes 3 2 1 2 3 2 1
  symmetric,  ///< mirrored beyond the edge element: 1 2 3 becomes 2 1 1 2 3 3 2
};

template <>
inline constexpr int kEnumerators<PadMode> = 3;

/// Options of `pad`.
struct PadOptions {
  Number value = 0;                  ///< in the padding, if the mode is constant
  PadMode mode = PadMode::constant;  ///< what stands in the padding
};

/// How many elements before an axis and behind it.
struct Padding {
  /// @{
  /// How many elements on each side of the axis.
  Extent before, after;
  /// @}
};
/// For every axis: `{{1, 1}, {0, tf::shape(x)[0]}}`.
class Paddings {
 public:
  Paddings(std::initializer_list<Padding> list) : list_(list) {}
  Paddings(const std::vector<std::pair<int64_t, int64_t>>& list) {
    for (const auto& [before, after] : list) list_.push_back({before, after});
  }
  /// One for each axis.
  const std::vector<Padding>& list() const { return list_; }

 private:
  std::vector<Padding> list_;
};

/// x with paddings[i].before elements before it and paddings[i].after behind it along axis i:
/// `pad(x, {{1, 1}, {0, 2}})`.
///
/// Any dtype; y's extent is the sum. Differentiable, of every order. InvalidArgument: another number of paddings than
/// axes, a negative one, a value that the dtype does not hold; mirrored, an axis with fewer elements than the mirror
/// shows ("reflect" needs one more than the padding; checked when it runs where the extent is not known before).
/// Source: TensorFlow's pad.
Tensor pad(Operand x, const Paddings& paddings, PadOptions options = {});

/// Attributes of PadBy.
struct PadByAttrs {
  Number value = 0;
  TWOFOLD_FIELDS(value)
};
/// Attributes of Pad.
struct PadConstantAttrs {
  Axes before, after;
  Number value = 0;
  TWOFOLD_FIELDS(before, after, value)
};

namespace op_name {
TWOFOLD_OP_NAME(Pad);
}  // namespace op_name

}  // namespace twofold
