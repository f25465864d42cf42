// Which axes a reduction is over, and what is left of a shape for it. Self-contained: plugins may include it.
#pragma once

#include <algorithm>

#include <twofold/kernels/reduce/reduce.h>
#include <twofold/kernels/reduce/squares.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold::reduced {

/// Bit i: axis i of the input is reduced.
inline uint32_t bits_of(const Signature& s, const Axes& axes) {
  const int rank = s.inputs[0].shape.rank();
  if (axes.empty()) return (1u << rank) - 1;
  uint32_t mask = 0;
  for (int64_t axis : axes) mask |= 1u << (axis < 0 ? axis + rank : axis);
  return mask;
}
/// The same of the axes in ReduceAttrs, and in SumOfSquaresAttrs.
inline uint32_t axes_of(const Signature& s) { return bits_of(s, s.attrs_as<ReduceAttrs>().axes); }
inline uint32_t axes_of_squares(const Signature& s) { return bits_of(s, s.attrs_as<SumOfSquaresAttrs>().axes); }

/// How many elements of the input are reduced to one.
inline double count_of(const Signature& s, uint32_t axes) {
  const Shape& x = s.inputs[0].shape;
  double count = 1;
  for (int i = 0; i < x.rank(); ++i)
    if (axes >> i & 1) count *= static_cast<double>(x[i]);
  return count;
}
inline double count_of(const Signature& s) { return count_of(s, axes_of(s)); }

inline Finish finish_of_squares(const Signature& s) {
  const auto& attrs = s.attrs_as<SumOfSquaresAttrs>();
  const double rest = count_of(s, axes_of_squares(s)) - attrs.correction;
  return {.divisor = attrs.mean ? std::max(rest, 0.0) : 1, .epsilon = attrs.epsilon, .root = attrs.root};
}

/// Bit i: axis i of the input is reduced by a sum to the output's shape.
inline uint32_t axes_to_output(const Signature& s) {
  const Shape &x = s.inputs[0].shape, &y = s.outputs[0].shape;
  const int lead = x.rank() - y.rank();
  uint32_t mask = 0;
  for (int i = 0; i < x.rank(); ++i)
    if (i < lead || (y[i - lead] == 1 && x[i] != 1)) mask |= 1u << i;
  return mask;
}

/// A shape's axes merged into groups, from the innermost out, kept and reduced by turns.
struct Groups {
  struct Group {
    bool reduced;
    int64_t extent, stride;
  };
  int n = 0;
  Group of[kMaxRank + 1];

  Groups(const Shape& x, uint32_t reduced) {
    int64_t stride = 1;
    for (int i = x.rank(); i-- > 0; stride *= x[i]) {
      if (x[i] == 1) continue;
      const bool r = reduced >> i & 1;
      if (n > 0 && of[n - 1].reduced == r)
        of[n - 1].extent *= x[i];
      else
        of[n++] = {r, x[i], stride};
    }
  }
  /// For a reduction over nothing: adds an innermost reduced group of one element.
  void reduce_one() {
    std::copy_backward(of, of + n, of + n + 1);
    of[0] = {true, 1, 1};
    ++n;
  }
  /// Whether nothing is reduced.
  bool keep_all() const { return n == 0 || (n == 1 && !of[0].reduced); }
};

}  // namespace twofold::reduced
