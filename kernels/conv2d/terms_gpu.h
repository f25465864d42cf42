// The products that a convolution's results are sums of, one by one: for kernels that are to be plain, not fast.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include <twofold/kernels/conv2d/cudnn_gpu.h>

namespace twofold::cudnn {

/// A number as digits, the last one the lowest.
template <int n>
struct Digits {
  int64_t at[n];

  __device__ Digits(int64_t number, const int64_t (&bases)[n]) {
    for (int a = n; a-- > 0;) at[a] = number % bases[a], number /= bases[a];
  }
  /// Adds another number, without dividing; what the first digit's base is does not matter.
  __device__ void add(const Digits& o, const int64_t (&bases)[n]) {
    for (int a = n; a-- > 0;) {
      at[a] += o.at[a];
      if (a > 0 && at[a] >= bases[a]) at[a] -= bases[a], ++at[a - 1];
    }
  }
};

/// An operand's extents along N, C, H, W, or O, C, H, W, and how many elements apart neighbours lie along each.
struct Operand {
  int64_t extents[4], steps[4];

  Operand(const std::array<int64_t, 4>& e, bool channels_last) {
    std::ranges::copy(e, extents);
    steps[0] = e[1] * e[2] * e[3], steps[1] = channels_last ? 1 : e[2] * e[3];
    steps[3] = channels_last ? e[1] : 1, steps[2] = e[3] * steps[3];
  }
  __host__ __device__ int64_t elements() const { return extents[0] * steps[0]; }
  __device__ int64_t offset(int64_t n, int64_t c, int64_t h, int64_t w) const {
    return n * steps[0] + c * steps[1] + h * steps[2] + w * steps[3];
  }
};

/// Of one pass of a convolution. Its factors come from `a`, `b` and go to `result`: x, weight, y of the convolution; y,
/// weight, x of its input gradient; x, y, weight of its weight gradient.
class Terms {
 public:
  explicit Terms(const Convolution& c)
      : pass_(c.pass),
        x_(c.x, c.channels_last),
        weight_(c.weight, false),
        y_(c.y, c.channels_last),
        inputs_(c.weight[1]),
        outputs_(c.y[1] / c.groups()),
        extents_{c.pass == Pass::output           ? c.weight[1]
                 : c.pass == Pass::input_gradient ? outputs_
                                                  : c.y[0],
                 c.pass == Pass::weight_gradient ? c.y[2] : c.weight[2],
                 c.pass == Pass::weight_gradient ? c.y[3] : c.weight[3]} {
    std::ranges::copy(c.before, before_), std::ranges::copy(c.stride, stride_);
    std::ranges::copy(c.dilation, dilation_);
  }

  /// Of the result.
  int64_t elements() const { return result().elements(); }

  struct Element {
    Digits<4> place;
    int64_t offset;  ///< in the result
  };
  __device__ Element element(int64_t index) const {
    const Digits<4> place(index, result().extents);
    const auto& at = place.at;
    return {place, result().offset(at[0], at[1], at[2], at[3])};
  }

  /// Calls `f(offset in a, offset in b)` for an element's terms `first`, `first + step` and so on, in that order, but
  /// for those with a factor outside the image.
  template <class F>
  __device__ void for_each(const Element& element, int64_t first, int64_t step, const F& f) const {
    const int64_t terms = extents_[0] * extents_[1] * extents_[2];
    if (first >= terms) return;
    Digits<3> term(first, extents_);
    const Digits<3> steps(step, extents_);
    for (int64_t t = first; t < terms; t += step, term.add(steps, extents_)) visit(element.place.at, term.at, f);
  }

 private:
  __host__ __device__ const Operand& result() const {
    return pass_ == Pass::output ? y_ : pass_ == Pass::input_gradient ? x_ : weight_;
  }

  /// Of element `e`, term `t`.
  template <class F>
  __device__ void visit(const int64_t (&e)[4], const int64_t (&t)[3], const F& f) const {
    switch (pass_) {
      case Pass::output: {
        const int64_t row = inside(0, e[2], t[1]), column = inside(1, e[3], t[2]);
        if (row < 0 || column < 0) return;
        const int64_t channel = e[1] / outputs_ * inputs_ + t[0];
        return f(x_.offset(e[0], channel, row, column), weight_.offset(e[1], t[0], t[1], t[2]));
      }
      case Pass::input_gradient: {
        const int64_t i = window(0, e[2], t[1]), j = window(1, e[3], t[2]);
        if (i < 0 || j < 0) return;
        const int64_t o = e[1] / inputs_ * outputs_ + t[0];
        return f(y_.offset(e[0], o, i, j), weight_.offset(o, e[1] % inputs_, t[1], t[2]));
      }
      case Pass::weight_gradient: {
        const int64_t row = inside(0, t[1], e[2]), column = inside(1, t[2], e[3]);
        if (row < 0 || column < 0) return;
        const int64_t channel = e[0] / outputs_ * inputs_ + e[1];
        return f(x_.offset(t[0], channel, row, column), y_.offset(t[0], e[0], t[1], t[2]));
      }
    }
  }
  /// Where along an axis of x the tap of a window of y lies; -1 outside.
  __device__ int64_t inside(int axis, int64_t window, int64_t tap) const {
    const int64_t at = window * stride_[axis] + tap * dilation_[axis] - before_[axis];
    return at >= 0 && at < x_.extents[2 + axis] ? at : -1;
  }
  /// The window of y whose tap lies there in x; -1 if there is none.
  __device__ int64_t window(int axis, int64_t at, int64_t tap) const {
    const int64_t begin = at + before_[axis] - tap * dilation_[axis];
    if (begin < 0 || begin % stride_[axis] != 0) return -1;
    return begin / stride_[axis] < y_.extents[2 + axis] ? begin / stride_[axis] : -1;
  }

  Pass pass_;
  Operand x_, weight_, y_;
  int64_t inputs_, outputs_;  ///< of a group
  int64_t extents_[3];        ///< of the terms: what is summed over
  int64_t before_[2], stride_[2], dilation_[2];
};

}  // namespace twofold::cudnn
