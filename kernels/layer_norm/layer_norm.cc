#include <twofold/kernels/layer_norm/layer_norm.h>

#include <fmt/format.h>

#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/kernels/shape_check/shape_check.h>
#include <twofold/lib/op/apply.h>

namespace twofold {
Tensor layer_norm(Operand x, Operand scale, Operand offset, Axes axes, LayerNormOptions options) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  check_input("layer_norm", 0, t, x.where());
  if (!(options.epsilon >= 0))
    fail(Code::InvalidArgument, fmt::format("layer_norm() with an epsilon of {}", options.epsilon));
  size_t input = 0;
  const auto broadcasting = [&](const Operand& v, const char* name) {
    const Tensor& given = v.resolve(t.dtype());
    check_input("layer_norm", ++input, given, x.where());
    return internal::shape_checked({&given, &t},
                                   {.what = ShapeCheck::broadcasts_to, .words = "layer_norm", .name = name}, x.where());
  };
  const Tensor by = broadcasting(scale, "a scale"), to = broadcasting(offset, "an offset");
  const Tensor centred = t - mean(t, axes, {.keepdims = true});
  const Tensor deviation = internal::sum_of_squares(
      centred, {.axes = axes, .keepdims = true, .mean = true, .root = true, .epsilon = options.epsilon});
  return centred / deviation * by + to;
}

}  // namespace twofold
