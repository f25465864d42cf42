#include <twofold/kernels/layer_norm/layer_norm.h>

#include <fmt/format.h>

#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/lib/op/apply.h>

namespace twofold {
namespace {

void check_broadcasts(const char* name, const Tensor& t, const Tensor& x) {
  const Shape &from = t.shape(), &to = x.shape();
  if (!from.has_rank() || !to.has_rank()) return;
  bool fits = from.rank() <= to.rank();
  for (int i = 1; fits && i <= from.rank(); ++i) {
    const int64_t a = from[from.rank() - i], b = to[to.rank() - i];
    fits = a == b || a == 1 || a < 0 || b < 0;
  }
  if (!fits)
    fail(Code::InvalidArgument, fmt::format("layer_norm() of a tensor of shape {} was given {} of shape {}, which does "
                                            "not broadcast to it",
                                            to.str(), name, from.str()));
}

}  // namespace

Tensor layer_norm(Operand x, Operand scale, Operand offset, Axes axes, LayerNormOptions options) {
  const SourceFrame frame(x.where());
  const Tensor& t = x.resolve();
  check_input("layer_norm", 0, t, x.where());
  const Tensor &by = scale.resolve(t.dtype()), &to = offset.resolve(t.dtype());
  check_input("layer_norm", 1, by, x.where());
  check_input("layer_norm", 2, to, x.where());
  check_broadcasts("a scale", by, t);
  check_broadcasts("an offset", to, t);
  const Tensor centred = t - mean(t, axes, {.keepdims = true});
  const Tensor deviation = internal::sum_of_squares(
      centred, {.axes = axes, .keepdims = true, .mean = true, .root = true, .epsilon = options.epsilon});
  return centred / deviation * by + to;
}

}  // namespace twofold
