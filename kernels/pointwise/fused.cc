#include <twofold/kernels/pointwise/fused.h>

#include <functional>
#include <string_view>

#include <twofold/kernels/pointwise/ops.h>
#include <twofold/kernels/pointwise/shapes.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {

void register_fused();

FieldValue to_field(const FusedOp&) { fail_saving(); }
void from_field(const FieldValue&, FusedOp&) { FieldValue::fail_kind(); }
uint64_t hash_field(const FusedOp& fused) {
  uint64_t h = mix(std::hash<std::string_view>()(fused.op.text()), hash_field(fused.dtype));
  h = mix(h, hash_field(fused.to));
  for (int16_t in : fused.in) h = mix(h, hash_field(in));
  return h;
}

std::string print_field(const FusedOp& fused) {
  std::string s = fused.op.text();
  s += ':';
  s += name_of(fused.dtype);
  if (fused.to != fused.dtype) s += '>', s += name_of(fused.to);
  for (size_t i = 0; i < fused.in.size() && fused.in[i] >= 0; ++i) s += i ? ',' : '(', s += std::to_string(fused.in[i]);
  s += ')';
  return s;
}

namespace {

void infer_fused(InferContext& c) {
  const FusedAttrs& attrs = c.attrs<FusedAttrs>();
  const Shape shape = pointwise::broadcast_inputs(c);
  for (int32_t result : attrs.results) {
    if (result < 0 || static_cast<size_t>(result) >= attrs.ops.size())
      c.fail("Result " + std::to_string(result) + " is not an op of the group");
    c.output(attrs.ops[static_cast<size_t>(result)].to, shape);
  }
}

}  // namespace

constinit OpDef fused_op{.key = op_name::Fused,
                         .doc = "A group of pointwise ops run tile by tile. Made by a pass, after gradients.",
                         .min_inputs = 1,
                         .max_inputs = -1,
                         .outputs = -1,
                         .infer = infer_fused,
                         .differentiable = Differentiability::none,
                         .attrs = &internal::kAttrsType<FusedAttrs>};

void register_fused() { register_op(fused_op); }

}  // namespace twofold
