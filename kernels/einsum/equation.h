// An einsum's equation, read: for kernels/einsum/*.cc only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace twofold::einsum_detail {

/// A letter, or one of the axes that "..." stands for: kEllipsis + its place, counted from the last one.
using Label = int;
inline constexpr Label kEllipsis = 256;
using Labels = std::vector<Label>;

struct Equation {
  std::vector<Labels> operands;
  Labels result;
};

/// Throws InvalidArgument. `ranks` are the operands', -1 for one that is unknown.
Equation parse(std::string_view text, const std::vector<int>& ranks);
[[noreturn]] void refuse(std::string_view text, const std::string& why);
/// 'a', or '...'.
std::string name_of_label(Label label);

}  // namespace twofold::einsum_detail
