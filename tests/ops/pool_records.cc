// Records of pooling and its gradients.
#include <algorithm>
#include <cmath>
#include <limits>

#include <twofold/kernels/pool2d/pool2d.h>
#include <twofold/lib/op/apply.h>

#include "record.h"

namespace op_test {
namespace {

using namespace twofold;

/// Where the windows of one axis lie, by the definition: outputs, and the first element of output 0's window.
struct Axis {
  int64_t in, out = 0, kernel, stride, begin, after;

  Axis(int64_t extent, int64_t k, int64_t s, bool same, int64_t pad_before, int64_t pad_after)
      : in(extent), kernel(k), stride(s), begin(-pad_before), after(pad_after) {
    if (same) {
      out = (in + s - 1) / s;
      const int64_t missing = std::max<int64_t>(0, (out - 1) * s + k - in);
      begin = -(missing / 2), after = missing + begin;
    } else {
      while (out * s + begin + k <= in + after) ++out;
    }
  }
};

struct Pooling {
  Pool2dAttrs o;
  Shape x, y;
  Axis h, w;

  Pooling(const Pool2dAttrs& attrs, const Shape& shape)
      : o(attrs),
        x(shape),
        h(shape[last() ? 1 : 2], o.kernel_size.h, o.stride.h, o.padding.same, o.padding.top, o.padding.bottom),
        w(shape[last() ? 2 : 3], o.kernel_size.w, o.stride.w, o.padding.same, o.padding.left, o.padding.right) {
    y = last() ? Shape{x[0], h.out, w.out, x[3]} : Shape{x[0], x[1], h.out, w.out};
  }
  bool last() const { return o.data_format == DataFormat::nhwc; }
  size_t place(const Shape& s, int64_t n, int64_t c, int64_t i, int64_t j) const {
    return static_cast<size_t>(last() ? ((n * s[1] + i) * s[2] + j) * s[3] + c
                                      : ((n * s[1] + c) * s[2] + i) * s[3] + j);
  }
  /// f(place in y, places in x of the window's elements, what a mean divides by)
  template <class F>
  void for_each_window(F f) const {
    for (int64_t n = 0; n < x[0]; ++n)
      for (int64_t c = 0; c < x[last() ? 3 : 1]; ++c)
        for (int64_t i = 0; i < h.out; ++i)
          for (int64_t j = 0; j < w.out; ++j) {
            std::vector<size_t> elements;
            double padded = 0;
            for (int64_t p = 0; p < h.kernel; ++p)
              for (int64_t q = 0; q < w.kernel; ++q) {
                const int64_t row = i * h.stride + h.begin + p, column = j * w.stride + w.begin + q;
                padded += row < h.in + h.after && column < w.in + w.after;
                if (row >= 0 && row < h.in && column >= 0 && column < w.in)
                  elements.push_back(place(x, n, c, row, column));
              }
            f(place(y, n, c, i, j), elements, o.count_include_pad ? padded : static_cast<double>(elements.size()));
          }
  }
};

size_t largest(const Array& x, const std::vector<size_t>& places) {
  size_t best = places[0];
  for (const size_t p : places)
    if (above(x.values[p], x.values[best])) best = p;
  return best;
}

Array zeros(DType t, const Shape& shape) {
  return {t, shape, std::vector<double>(static_cast<size_t>(shape.num_elements()))};
}

Tensor call(const char* op, std::initializer_list<const Tensor*> inputs, const Pool2dAttrs& attrs) {
  return apply(*find_op(op), inputs, attrs, std::source_location::current());
}
/// Where the maxima of x lie.
Tensor places(const Tensor& x, const Pool2dAttrs& attrs) {
  const Tensor* inputs[] = {&x};
  return apply_all(*find_op("MaxPool2D"), inputs, attrs, std::source_location::current())[1];
}

void add_case(std::vector<Record>& all, const std::string& label, const Pool2dAttrs& o, const std::vector<Shape>& xs) {
  const auto record = [&](const char* op, bool with_y, bool with_x) {
    Record r{.op = op, .label = label};
    for (const Shape& x : xs) {
      std::vector<Shape> shapes;
      if (with_y) shapes.push_back(Pooling(o, x).y);
      if (with_x) shapes.push_back(x);
      r.shapes.push_back(shapes);
    }
    r.dtypes = {float32, float64};
    r.gradient_of = {0};
    return r;
  };
  Record max = record("MaxPool2D", false, true);
  max.call = [o](auto in) {
    return Tensors{
        max_pool2d(in[0], o.kernel_size, {.stride = o.stride, .padding = o.padding, .data_format = o.data_format})};
  };
  max.reference = [o](auto in) {
    const Pooling p(o, in[0].shape);
    Array y = zeros(in[0].dtype, p.y);
    p.for_each_window([&](size_t to, const auto& from, double) { y.values[to] = in[0].values[largest(in[0], from)]; });
    return Arrays{y};
  };
  max.exact = true;
  all.push_back(max);

  Record max_grad = record("MaxPool2DGrad", true, true);
  max_grad.call = [o](auto in) {
    const Tensor at = places(in[1], o);
    return Tensors{call("MaxPool2DGrad", {&in[0], &at, &in[1]}, o)};
  };
  max_grad.reference = [o](auto in) {
    const Pooling p(o, in[1].shape);
    Array dx = zeros(in[1].dtype, p.x);
    p.for_each_window(
        [&](size_t to, const auto& from, double) { dx.values[largest(in[1], from)] += in[0].values[to]; });
    return Arrays{dx};
  };
  all.push_back(max_grad);

  Record pick = record("MaxPool2DPick", false, true);
  for (auto& shapes : pick.shapes) shapes.push_back(shapes[0]);
  pick.call = [o](auto in) {
    const Tensor at = places(in[1], o);
    return Tensors{call("MaxPool2DPick", {&in[0], &at}, o)};
  };
  pick.reference = [o](auto in) {
    const Pooling p(o, in[0].shape);
    Array y = zeros(in[0].dtype, p.y);
    p.for_each_window([&](size_t to, const auto& from, double) { y.values[to] = in[0].values[largest(in[1], from)]; });
    return Arrays{y};
  };
  pick.exact = true;
  all.push_back(pick);

  Record avg = record("AvgPool2D", false, true);
  avg.call = [o](auto in) {
    return Tensors{avg_pool2d(in[0], o.kernel_size,
                              {.stride = o.stride,
                               .padding = o.padding,
                               .count_include_pad = o.count_include_pad,
                               .data_format = o.data_format})};
  };
  avg.reference = [o](auto in) {
    const Pooling p(o, in[0].shape);
    Array y = zeros(in[0].dtype, p.y);
    p.for_each_window([&](size_t to, const auto& from, double count) {
      double sum = 0;
      for (const size_t k : from) sum += in[0].values[k];
      y.values[to] = stored(sum / count, y.dtype);
    });
    return Arrays{y};
  };
  all.push_back(avg);

  Record avg_grad = record("AvgPool2DGrad", true, true);
  avg_grad.call = [o](auto in) { return Tensors{call("AvgPool2DGrad", {&in[0], &in[1]}, o)}; };
  avg_grad.reference = [o](auto in) {
    const Pooling p(o, in[1].shape);
    Array dx = zeros(in[1].dtype, p.x);
    p.for_each_window([&](size_t to, const auto& from, double count) {
      for (const size_t k : from) dx.values[k] += in[0].values[to] / count;
    });
    return Arrays{dx};
  };
  all.push_back(avg_grad);
}

}  // namespace

void add_pool_records(std::vector<Record>& all) {
  const auto both = [&](const std::string& label, Pool2dAttrs o, std::vector<Shape> shapes) {
    add_case(all, label, o, shapes);
    o.data_format = DataFormat::nhwc;
    for (Shape& s : shapes) s = {s[0], s[2], s[3], s[1]};
    add_case(all, label + ", nhwc", o, shapes);
  };
  both("2 by 2", {.kernel_size = 2, .stride = 2},
       {{1, 1, 2, 2}, {2, 3, 4, 5}, {0, 2, 2, 2}, {2, 0, 2, 2}, {3, 5, 28, 27}});
  both("overlapping", {.kernel_size = {3, 2}, .stride = {1, 2}}, {{1, 1, 3, 2}, {2, 3, 4, 5}, {2, 33, 13, 12}});
  both("padding", {.kernel_size = 3, .stride = 2, .padding = {1, 2, 0, 1}},
       {{1, 1, 1, 2}, {2, 2, 4, 3}, {2, 5, 14, 15}});
  both("padding not counted", {.kernel_size = 3, .stride = 2, .padding = {1, 2, 0, 1}, .count_include_pad = false},
       {{1, 1, 1, 2}, {2, 2, 4, 3}});
  both("same", {.kernel_size = {2, 3}, .stride = {2, 1}, .padding = "same", .count_include_pad = false},
       {{1, 1, 1, 1}, {2, 2, 3, 4}, {1, 2, 0, 3}});
  both("stride beyond the kernel", {.kernel_size = 2, .stride = 3}, {{1, 2, 5, 6}, {1, 1, 2, 8}});
}

}  // namespace op_test
