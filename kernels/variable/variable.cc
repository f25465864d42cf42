// The ops on variables, and the members of Variable that are made of ops.
#include <twofold/kernels/variable/variable.h>

#include <fmt/format.h>

#include <twofold/lib/op/variable_state.h>
#include <twofold/kernels/pointwise/broadcast.h>
#include <twofold/kernels/pointwise/ops.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/variable/assignment.h>
#include <twofold/kernels/variable/variable_ops.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/mode_interface.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/op/small.h>

namespace twofold {
namespace {

void infer_variable(InferContext& c) {
  const auto& v = *c.attrs<VariableAttrs>().variable;
  c.output(v.dtype, v.shape);
}
void infer_assign(InferContext& c) {
  const auto& v = *c.attrs<VariableAttrs>().variable;
  if (c.dtype(0) != v.dtype)
    c.fail(fmt::format("{} of a {} value to the variable '{}:0' of dtype {}", c.op().name, name_of(c.dtype(0)), v.name,
                       name_of(v.dtype)),
           fmt::format("tf::cast(value, {})", spelling_of(v.dtype)));
  // What is added may broadcast to the variable.
  Shape sum = c.shape(0);
  const bool adds = c.op().combine;
  const bool fits = (!adds || broadcast_shapes(v.shape, c.shape(0), &sum)) && sum.compatible_with(v.shape);
  if (!fits)
    c.fail(fmt::format("A value of shape {} cannot be assigned to variable '{}:0' of shape {}", c.shape(0).str(),
                       v.name, v.shape.str()));
  // What is known of either is known of the new value.
  Shape s = v.shape.has_rank() || adds ? v.shape : c.shape(0);
  if (!adds && c.shape(0).has_rank()) s = s.merged_with(c.shape(0));
  c.output(v.dtype, s);
}

Tensor initial_tensor(const Operand& initial, const VariableOptions& options) {
  if (!options.dtype) return initial.resolve();
  if (initial.is_literal() && initial.literal().kind() != Literal::Kind::typed) {
    const Tensor value = initial.literal().to_tensor(*options.dtype);  // throws where it does not fit
    return mode().source(value, "", initial.where());
  }
  const Tensor& t = initial.resolve();
  const DType from = t.dtype(), to = *options.dtype;
  if (!is_floating(to) && promote(from, to) != to)
    fail(Code::InvalidArgument,
         fmt::format("An initial value of dtype {} cannot become {} without loss", name_of(from), name_of(to)),
         fmt::format("tf::cast(value, {})", spelling_of(to)));
  return cast(t, to);
}

}  // namespace

constinit OpDef read_variable_op{.key = OpKey::without_kernels("ReadVariable"),
                                 .node_name = "read",
                                 .doc = "A variable's value at this point of the program.",
                                 .min_inputs = 0,
                                 .max_inputs = 0,
                                 .infer = infer_variable,
                                 .differentiable = Differentiability::rule,
                                 .gradient = [](Backward& b) { b.dx(0, b.dy()); },
                                 .flags = {.session = true, .declared = true, .reads_variable = true},
                                 .attrs = &internal::kAttrsType<VariableAttrs>};
constinit OpDef assign_op{.key = OpKey::without_kernels("Assign"),
                          .doc = "variable := value; the new value.",
                          .infer = infer_assign,
                          .differentiable = Differentiability::none,
                          .flags = {.effect = true, .session = true, .writes_variable = true},
                          .attrs = &internal::kAttrsType<VariableAttrs>};
constinit OpDef assign_add_op{.key = OpKey::without_kernels("AssignAdd"),
                              .doc = "variable := variable + value; the new value.",
                              .infer = infer_assign,
                              .differentiable = Differentiability::none,
                              .flags = {.effect = true, .session = true, .writes_variable = true},
                              .attrs = &internal::kAttrsType<VariableAttrs>,
                              .combine = &add_op};
constinit OpDef assign_sub_op{.key = OpKey::without_kernels("AssignSub"),
                              .doc = "variable := variable - value; the new value.",
                              .infer = infer_assign,
                              .differentiable = Differentiability::none,
                              .flags = {.effect = true, .session = true, .writes_variable = true},
                              .attrs = &internal::kAttrsType<VariableAttrs>,
                              .combine = &subtract_op};

Variable::Variable(Operand initial, VariableOptions options) {
  SourceScope source_scope(initial.where());
  if (t_state.body)
    fail(Code::FailedPrecondition,
         fmt::format("{} is made in the body of a step or loop, at each of its executions",
                     options.name.empty() ? "A Variable" : "The variable '" + options.name + "'"),
         "make it before the body");
  if (initial.tensor()) check_input("Variable", 0, *initial.tensor(), initial.where());
  const Tensor value = initial_tensor(initial, options);
  if (options.shape && !value.shape().compatible_with(*options.shape))
    fail(Code::InvalidArgument, fmt::format("An initial value of shape {} is not of the variable's shape {}",
                                            value.shape().str(), options.shape->str()));
  *this = mode().variable(value, options, initial.where());
}

Tensor internal::combined(const OpDef& by, const Tensor& current, const Tensor& given, Device home,
                          std::source_location where) {
  const ObservedThread::Hidden part;
  const OnDevice on(home);
  Tensor next;
  if (!apply_small(by, current, given, next)) next = moved_to(twofold::apply(by, {&current, &given}, where), home);
  return next;
}

void internal::show_assignment(const OpDef& assignment, const Tensor& given, const Tensor& next,
                               std::source_location where) {
  const Tensor* const inputs[] = {&given};
  t_state.observing->eager_op(assignment, inputs, {&next, 1}, where);
}

void check_assigned(const OpDef& assignment, const Ref<VariableState>& v, const Shape& given,
                    std::source_location where) {
  if (given == v->shape) return;  // of known extents: so is any sum
  const CurrentOp current(assignment.name, where);
  const TensorSpec spec{v->dtype, given};
  const VariableAttrs attrs{v};
  SmallVector<TensorSpec, 2> next;
  infer(assignment, {&spec, 1}, attrs, {}, next);
}

Tensor Variable::assign(Operand value) const { return internal::assign(*this, value, assign_op); }
Tensor Variable::assign_add(Operand value) const { return internal::assign(*this, value, assign_add_op); }
Tensor Variable::assign_sub(Operand value) const { return internal::assign(*this, value, assign_sub_op); }

void register_variable();
void register_variable() {
  for (OpDef* op : {&read_variable_op, &assign_op, &assign_add_op, &assign_sub_op}) register_op(*op);
}

}  // namespace twofold
