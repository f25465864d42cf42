// The products that a convolution's results are sums of, one by one: for kernels that are simple rather than fast.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include <twofold/kernels/conv2d/cudnn_gpu.h>
#include <twofold/kernels/cuda/words.h>

namespace twofold::cudnn {

/// A tensor's extents along N, C, H, W, or O, C, H, W, and how many elements apart neighbours lie along each.
struct Layout {
  int64_t extents[4], steps[4];

  Layout(const std::array<int64_t, 4>& e, bool channels_last) {
    std::ranges::copy(e, extents);
    steps[0] = e[1] * e[2] * e[3], steps[1] = channels_last ? 1 : e[2] * e[3];
    steps[3] = channels_last ? e[1] : 1, steps[2] = e[3] * steps[3];
  }
  int64_t elements() const { return extents[0] * steps[0]; }
  __device__ int64_t offset(int64_t n, int64_t c, int64_t h, int64_t w) const {
    return n * steps[0] + c * steps[1] + h * steps[2] + w * steps[3];
  }
};

/// The terms of one Pass of a convolution: products of an element of `a` and one of `b`, summed in `result`. These are
/// x, weight, y for the output; y, weight, x for the input gradient; x, y, weight for the weight gradient.
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

  /// The number of elements of the result.
  int64_t elements() const { return result().elements(); }

  struct Element {
    int64_t at[4];
    int64_t group;
    int64_t offset;  ///< in the result
  };
  __device__ Element element(int64_t index) const {
    Element e;
    for (int axis = 4; axis-- > 0;) {
      const int64_t rest = cuda::quotient(index, result().extents[axis]);
      e.at[axis] = index - rest * result().extents[axis], index = rest;
    }
    e.group = pass_ == Pass::output           ? e.at[1] / outputs_
              : pass_ == Pass::input_gradient ? e.at[1] / inputs_
                                              : e.at[0] / outputs_;
    e.offset = result().offset(e.at[0], e.at[1], e.at[2], e.at[3]);
    return e;
  }

  /// Calls `f(offset in a, offset in b)` for each term of the rows `first`, `first + step` and so on of an element's
  /// terms, in that order, but for terms with a factor outside the image.
  template <class F>
  __device__ void for_each(const Element& e, int64_t first, int64_t step, const F& f) const {
    for (int64_t r = first; r < extents_[0] * extents_[1]; r += step) {
      const int64_t i = cuda::quotient(r, extents_[1]);
      visit_row(e, i, r - i * extents_[1], f);
    }
  }

 private:
  __host__ __device__ const Layout& result() const {
    return pass_ == Pass::output ? y_ : pass_ == Pass::input_gradient ? x_ : weight_;
  }

  template <class F>
  __device__ void visit_row(const Element& e, int64_t i, int64_t j, const F& f) const {
    const auto [n_or_o, c, h, w] = e.at;
    const int64_t input = e.group * inputs_, output = e.group * outputs_;  // the group's first channels
    // `column_of(k)`: the column in a of term k's factor, negative where there is none.
    const auto visit = [&](int64_t a, const Layout& of_a, int64_t b, const Layout& of_b, const auto& column_of) {
      for (int64_t k = 0; k < extents_[2]; ++k)
        if (const int64_t column = column_of(k); column >= 0) f(a + column * of_a.steps[3], b + k * of_b.steps[3]);
    };
    switch (pass_) {
      case Pass::output:
        if (const int64_t row = inside(0, h, j); row >= 0)
          visit(x_.offset(n_or_o, input + i, row, 0), x_, weight_.offset(c, i, j, 0), weight_,
                [&](int64_t k) { return inside(1, w, k); });
        return;
      case Pass::input_gradient:
        if (const int64_t row = window(0, h, j); row >= 0)
          visit(y_.offset(n_or_o, output + i, row, 0), y_, weight_.offset(output + i, c - input, j, 0), weight_,
                [&](int64_t k) { return window(1, w, k); });
        return;
      case Pass::weight_gradient:
        if (const int64_t row = inside(0, j, h); row >= 0)
          visit(x_.offset(i, input + c, row, 0), x_, y_.offset(i, n_or_o, j, 0), y_,
                [&](int64_t k) { return inside(1, k, w); });
        return;
    }
  }
  /// Where along an axis of x a tap of a window of y lies; -1 outside.
  __device__ int64_t inside(int axis, int64_t window, int64_t tap) const {
    const int64_t at = window * stride_[axis] + tap * dilation_[axis] - before_[axis];
    return at >= 0 && at < x_.extents[2 + axis] ? at : -1;
  }
  /// The window of y of which that tap lies at `at` in x; -1 if there is none.
  __device__ int64_t window(int axis, int64_t at, int64_t tap) const {
    const int64_t begin = at + before_[axis] - tap * dilation_[axis];
    if (begin < 0) return -1;
    const int64_t window = cuda::quotient(begin, stride_[axis]);
    return window * stride_[axis] == begin && window < y_.extents[2 + axis] ? window : -1;
  }

  Pass pass_;
  Layout x_, weight_, y_;
  int64_t inputs_, outputs_;  ///< of a group
  int64_t extents_[3];        ///< of the terms: what is summed over, along the last axis by rows
  int64_t before_[2], stride_[2], dilation_[2];
};

}  // namespace twofold::cudnn
