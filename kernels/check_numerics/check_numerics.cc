#include <twofold/kernels/check_numerics/check_numerics.h>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {
namespace {

void infer(InferContext& c) {
  if (!is_floating(c.dtype(0))) c.fail("Expected a floating-point tensor, got " + std::string(name_of(c.dtype(0))));
  c.output(c.dtype(0), c.shape(0));
}

// Bit 0 of what the kernel reports: infinities; bit 1: NaNs.
std::string refusal(AttrsView attrs, int64_t found) {
  static constexpr const char* kFound[] = {"", "Inf", "NaN", "Inf and NaN"};
  return attrs.as<CheckNumericsAttrs>().message + " : Tensor had " + kFound[found & 3] + " values";
}

constinit OpDef check_numerics_op{
    .key = op_name::CheckNumerics,
    .doc = "y = x, in which there is no NaN and no infinity; TensorFlow CheckNumerics",
    .infer = infer,
    .differentiable = Differentiability::rule,
    .gradient =
        [](Backward& b) {
          constexpr const char* kInGradient = "Not a number (NaN) or infinity (Inf) values detected in gradient. ";
          const std::string& message = b.attrs<CheckNumericsAttrs>().message;
          if (b.needs(0))
            b.dx(0, check_numerics(b.dy(), message.starts_with(kInGradient) ? message : kInGradient + message));
        },
    .flags = {.can_fail = true},
    .attrs = &internal::kAttrsType<CheckNumericsAttrs>,
    .refusal = refusal};

}  // namespace

Tensor check_numerics(Operand x, std::string message) {
  return apply(check_numerics_op, {&x.resolve()}, CheckNumericsAttrs{std::move(message)}, x.where());
}

void register_check_numerics();
void register_check_numerics() { register_op(check_numerics_op); }

}  // namespace twofold
