#include <twofold/kernels/dropout/dropout.h>

#include <fmt/format.h>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/random/random.h>
#include <twofold/lib/op/apply.h>

namespace twofold {

Tensor dropout(Operand x, double rate, DropoutOptions options) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  check_input("dropout", 0, t, x.where());
  if (!is_floating(t.dtype()))
    fail(Code::InvalidArgument, fmt::format("dropout() takes floating-point numbers, not {}", name_of(t.dtype())),
         "tf::dropout(tf::cast(x, tf::float32), rate)");
  if (!(rate >= 0 && rate < 1))
    fail(Code::InvalidArgument, fmt::format("dropout() at a rate of {}, not in [0, 1)", rate));
  if (rate == 0) return identity(t);
  const Tensor kept = greater_equal(random_uniform_like(t, {.seed = options.seed}), rate);
  return where(kept, t * (1 / (1 - rate)), 0);
}

}  // namespace twofold
