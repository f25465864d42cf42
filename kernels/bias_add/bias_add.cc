#include <twofold/kernels/bias_add/bias_add.h>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/shape_check/shape_check.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/constant.h>

namespace twofold {

Tensor internal::checked_channels(const char* function, const char* name, const Tensor& v, const Tensor& x,
                                  int64_t axis) {
  return shape_checked({&v, &x}, {.what = ShapeCheck::channels, .words = function, .name = name, .numbers = {axis}},
                       std::source_location::current());
}

Tensor internal::along_channels(const Tensor& v, const Tensor& x, int64_t axis) {
  if (axis >= 0 && x.rank() < 0)  // the run knows how many 1s
    return reshape(v, concat({twofold::constant({-1}), ones_like(slice(shape(x), axis + 1, -1))}, 0));
  const int64_t behind = axis < 0 ? -1 - axis : x.rank() - 1 - axis;
  // There is a reshape even where it changes nothing: gradients through a reshape are summed by themselves, so whether
  // there is one must not depend on whether a graph knows the rank.
  if (axis == -1) return v;
  Shape to{-1};
  for (int64_t i = 0; i < behind; ++i) to.push_back(1);
  return reshape(v, to);
}

Tensor bias_add(Operand x, Operand bias, BiasAddOptions o) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  check_input("bias_add", 0, t, x.where());
  const Tensor& b = bias.resolve(t.dtype());
  check_input("bias_add", 1, b, x.where());
  const int64_t axis = o.data_format == DataFormat::nchw ? 1 : -1;
  const Tensor checked = internal::checked_channels("bias_add", "a bias", b, t, axis);
  return t + internal::along_channels(checked, t, axis);
}

}  // namespace twofold
