#include <twofold/kernels/reduce/reduce.h>
#include <twofold/kernels/reduce/reduced.h>

#include <cmath>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {

uint32_t reduced::axes_of(const InferContext& c, const Axes& axes, int rank) {
  if (axes.empty()) return (1u << rank) - 1;
  uint32_t mask = 0;
  for (int64_t given : axes) {
    const uint32_t bit = 1u << c.axis(given, rank);
    if (mask & bit) c.fail("Invalid reduction arguments: Axes contains duplicate dimension: " + std::to_string(given));
    mask |= bit;
  }
  return mask;
}

namespace {
Shape without_axes(const Shape& shape, uint32_t reduced, bool keepdims) {
  Shape y;
  for (int i = 0; i < shape.rank(); ++i) {
    if (!(reduced >> i & 1))
      y.push_back(shape.extent(i));
    else if (keepdims)
      y.push_back(1);
  }
  return y;
}

}  // namespace

Shape reduced::shape_of_result(const InferContext& c, const Axes& axes, bool keepdims) {
  const Shape& x = c.shape(0);
  if (!x.has_rank()) return axes.empty() && !keepdims ? Shape{} : unknown_shape;
  return without_axes(x, axes_of(c, axes, x.rank()), keepdims);
}
Shape reduced::shape_of_result(const InferContext& c) {
  const auto& attrs = c.attrs<ReduceAttrs>();
  return shape_of_result(c, attrs.axes, attrs.keepdims);
}

void reduced::refuse_bool(const InferContext& c, const char* call) {
  if (c.dtype(0) == bool_)
    c.fail("Expected a tensor of numbers, got bool", std::string("tf::") + call + "(tf::cast(x, tf::int32))");
}

Tensor reduced::with_axes(const Tensor& t, const ReduceAttrs& attrs, const Tensor& x) {
  if (attrs.keepdims) return t;
  if (!attrs.axes.empty()) return expand_dims(t, attrs.axes);
  const int rank = x.rank();
  if (rank <= 0) return t;  // a scalar broadcasts to any rank
  Axes all;
  for (int i = 0; i < rank; ++i) all.push_back(i);
  return expand_dims(t, all);
}

namespace {

using namespace reduced;

// Shape rules.

void infer_sum(InferContext& c) {
  refuse_bool(c, "sum");
  c.output(c.dtype(0), shape_of_result(c));
}
void infer_max(InferContext& c) {
  refuse_bool(c, "max");
  c.output(c.dtype(0), shape_of_result(c));
}
void infer_min(InferContext& c) {
  refuse_bool(c, "min");
  c.output(c.dtype(0), shape_of_result(c));
}
void refuse_whole(const InferContext& c, const char* call) {
  if (!is_floating(c.dtype(0)))
    c.fail("Expected a floating-point tensor, got " + std::string(name_of(c.dtype(0))),
           "tf::" + std::string(call) + "(tf::cast(x, tf::float32))");
}
void infer_mean(InferContext& c) {
  refuse_whole(c, "mean");
  c.output(c.dtype(0), shape_of_result(c));
}
void infer_squares(InferContext& c) {
  const auto& attrs = c.attrs<SumOfSquaresAttrs>();
  refuse_whole(c, attrs.root ? "norm" : "variance");
  c.output(attrs.dtype, shape_of_result(c, attrs.axes, attrs.keepdims));
}
void infer_count(InferContext& c) {
  const Shape& x = c.shape(0);
  if (x.has_rank()) axes_of(c, c.attrs<ReduceAttrs>().axes, x.rank());
  c.output(c.dtype(0), Shape{});
}

void infer_argmax(InferContext& c) {
  refuse_bool(c, "argmax");
  const auto& attrs = c.attrs<ArgMaxAttrs>();
  const Shape& x = c.shape(0);
  if (!x.has_rank()) return c.output(int64, unknown_shape);
  const int axis = c.axis(attrs.axis, x.rank());
  if (x.extent(axis) == 0)
    c.fail("Reduction axis " + std::to_string(attrs.axis) + " is empty in shape " + x.brackets());
  c.output(int64, without_axes(x, 1u << axis, attrs.keepdims));
}

void infer_sum_to(InferContext& c, const Shape& to) {
  refuse_bool(c, "sum_to_shape");
  const Shape& x = c.shape(0);
  bool fits = true;
  if (x.has_rank() && to.has_rank()) {
    const int lead = x.rank() - to.rank();
    fits = lead >= 0;
    for (int i = 0; fits && i < to.rank(); ++i)
      fits = to.extent(i) == 1 || !to.knows(i) || !x.knows(i + lead) || to[i] == x[i + lead];
  }
  if (!fits) c.fail("A tensor of shape " + to.brackets() + " does not broadcast to shape " + x.brackets());
  c.output(c.dtype(0), to);
}
void infer_sum_to_shape(InferContext& c) {
  const Shape& to = c.attrs<SumToAttrs>().shape;
  if (!to.is_known()) c.fail("The shape to sum to must be known, got " + to.brackets());
  infer_sum_to(c, to);
}
void infer_sum_to_like(InferContext& c) { infer_sum_to(c, c.shape(1)); }

// Gradients.

extern OpDef count_op;

/// `t` divided by the number of elements that are reduced to one: a number if that is known, else an op.
Tensor divided_by_count(const Tensor& t, const Tensor& x, const ReduceAttrs& attrs) {
  const Shape& s = x.shape();
  Shape taken = s.has_rank() ? Shape{} : unknown_shape;
  for (int i = 0; attrs.axes.empty() && i < s.rank(); ++i) taken.push_back(s.extent(i));
  for (int i = 0; s.has_rank() && i < attrs.axes.size(); ++i)
    taken.push_back(s.extent(static_cast<int>(attrs.axes[i] < 0 ? attrs.axes[i] + s.rank() : attrs.axes[i])));
  if (const auto count = taken.known_elements()) return t / static_cast<double>(*count);
  return t / apply(count_op, {&x}, attrs, std::source_location::current());
}

void sum_gradient(Backward& b) {
  if (b.needs(0)) b.dx(0, broadcast_like(with_axes(b.dy(), b.attrs<ReduceAttrs>(), b.input(0)), b.input(0)));
}

void mean_gradient(Backward& b) {
  if (!b.needs(0)) return;
  const auto& attrs = b.attrs<ReduceAttrs>();
  const Tensor& x = b.input(0);
  b.dx(0, broadcast_like(with_axes(divided_by_count(b.dy(), x, attrs), attrs, x), x));
}

/// `t` divided by what SumOfSquares divides by.
Tensor divided_by_divisor(const Tensor& t, const Tensor& x, const SumOfSquaresAttrs& attrs) {
  const ReduceAttrs over{attrs.axes, attrs.keepdims};
  if (!attrs.mean) return t;
  if (attrs.correction == 0) return divided_by_count(t, x, over);
  const Tensor n = apply(count_op, {&x}, over, std::source_location::current());
  return t / maximum(n - attrs.correction, 0);
}

/// The gradient of a sum of squares: dx = 2 x dy / divisor; of its root y: dx = x / y dy / divisor, and 0 where y is 0.
void squares_gradient(Backward& b) {
  if (!b.needs(0)) return;
  const auto& attrs = b.attrs<SumOfSquaresAttrs>();
  const ReduceAttrs over{attrs.axes, attrs.keepdims};
  const Tensor &given = b.input(0), &y = b.output(), x = cast(given, attrs.dtype);
  Tensor dx;
  if (attrs.root) {
    const Tensor none = equal(y, 0), dy = where(none, 0, divided_by_divisor(b.dy(), x, attrs));
    dx = x / with_axes(where(none, 1, y), over, x) * with_axes(dy, over, x);  // the quotient first: it is never large
  } else {
    dx = x * with_axes(divided_by_divisor(b.dy() * 2, x, attrs), over, x);
  }
  b.dx(0, cast(dx, given.dtype()));
}

// The gradient of max and of min.
void extreme_gradient(Backward& b) {
  if (!b.needs(0)) return;
  const auto& attrs = b.attrs<ReduceAttrs>();
  const Tensor& x = b.input(0);
  const Tensor is_extreme = cast(equal(x, with_axes(b.output(), attrs, x)), x.dtype());
  const Tensor ties = sum(is_extreme, attrs.axes, {.keepdims = true});
  b.dx(0, is_extreme / ties * with_axes(b.dy(), attrs, x));
}

void sum_to_gradient(Backward& b) {
  if (b.needs(0)) b.dx(0, broadcast_like(b.dy(), b.input(0)));
}

// Ops.

constinit OpDef sum_op{.key = op_name::Sum,
                       .doc = "y = sum of x over axes; TensorFlow Sum, ONNX ReduceSum",
                       .infer = infer_sum,
                       .differentiable = Differentiability::rule,
                       .gradient = sum_gradient,
                       .attrs = &internal::kAttrsType<ReduceAttrs>};
constinit OpDef mean_op{.key = op_name::Mean,
                        .doc = "y = mean of x over axes; TensorFlow Mean, ONNX ReduceMean",
                        .infer = infer_mean,
                        .differentiable = Differentiability::rule,
                        .gradient = mean_gradient,
                        .attrs = &internal::kAttrsType<ReduceAttrs>};
constinit OpDef squares_op{
    .key = op_name::SumOfSquares,
    .doc = "y = sum of x^2 over axes, its mean, or the root of either; TensorFlow's norm, PyTorch's var",
    .infer = infer_squares,
    .differentiable = Differentiability::rule,
    .gradient = squares_gradient,
    .reads = {.inputs = 1, .outputs = 1},
    .attrs = &internal::kAttrsType<SumOfSquaresAttrs>};
constinit OpDef max_op{.key = op_name::Max,
                       .doc = "y = largest element of x over axes; TensorFlow Max, ONNX ReduceMax",
                       .infer = infer_max,
                       .differentiable = Differentiability::rule,
                       .gradient = extreme_gradient,
                       .reads = {.inputs = 1, .outputs = 1},
                       .attrs = &internal::kAttrsType<ReduceAttrs>};
constinit OpDef min_op{.key = op_name::Min,
                       .doc = "y = smallest element of x over axes; TensorFlow Min, ONNX ReduceMin",
                       .infer = infer_min,
                       .differentiable = Differentiability::rule,
                       .gradient = extreme_gradient,
                       .reads = {.inputs = 1, .outputs = 1},
                       .attrs = &internal::kAttrsType<ReduceAttrs>};
constinit OpDef argmax_op{.key = op_name::ArgMax,
                          .doc = "y = lowest index of the largest element of x along axis; TensorFlow ArgMax",
                          .infer = infer_argmax,
                          .differentiable = Differentiability::none,
                          .attrs = &internal::kAttrsType<ArgMaxAttrs>};
constinit OpDef count_op{.key = op_name::ReducedCount,
                         .doc = "y = number of elements of x that a reduction over axes makes into one",
                         .infer = infer_count,
                         .differentiable = Differentiability::none,
                         .attrs = &internal::kAttrsType<ReduceAttrs>,
                         .shape_inputs = 1};
/// A sum over no axes is a view of its operand.
int64_t view_of_same(AttrsView, const Shape& x, const Shape& y) { return x == y ? 0 : -1; }

constinit OpDef sum_to_op{.key = op_name::SumTo,
                          .doc = "y = x summed over the axes along which shape was broadcast; adjoint of BroadcastTo",
                          .infer = infer_sum_to_shape,
                          .differentiable = Differentiability::rule,
                          .gradient = sum_to_gradient,
                          .attrs = &internal::kAttrsType<SumToAttrs>,
                          .view = view_of_same};
constinit OpDef sum_to_like_op{.key = op_name::SumToLike,
                               .doc = "y = x summed over the axes along which like's shape was broadcast",
                               .min_inputs = 2,
                               .max_inputs = 2,
                               .infer = infer_sum_to_like,
                               .differentiable = Differentiability::rule,
                               .gradient = sum_to_gradient,
                               .view = view_of_same,
                               .shape_inputs = 2};

Tensor reduce(const OpDef& op, const Operand& x, const Axes& axes, ReduceOptions options) {
  return apply(op, {&x.resolve()}, ReduceAttrs{axes, options.keepdims}, x.where());
}

}  // namespace

Tensor sum(Operand x, Axes axes, ReduceOptions options) { return reduce(sum_op, x, axes, options); }
Tensor mean(Operand x, Axes axes, ReduceOptions options) { return reduce(mean_op, x, axes, options); }
Tensor max(Operand x, Axes axes, ReduceOptions options) { return reduce(max_op, x, axes, options); }
Tensor min(Operand x, Axes axes, ReduceOptions options) { return reduce(min_op, x, axes, options); }

Tensor argmax(Operand x, int64_t axis, ReduceOptions options) {
  return apply(argmax_op, {&x.resolve()}, ArgMaxAttrs{axis, options.keepdims}, x.where());
}

// The argmax of what reverses the order: -x, or for integers -1 - x, which neither overflows nor leaves the dtype.
Tensor argmin(Operand x, int64_t axis, ReduceOptions options) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  check_input("argmin", 0, t, x.where());
  return argmax(is_integer(t.dtype()) ? subtract(cast(zeros_like(t) - ones_like(t), t.dtype()), t) : negative(t), axis,
                options);
}

namespace {
void check_bool(const char* function, const Tensor& x, std::source_location where) {
  check_input(function, 0, x, where);
  if (x.dtype() != bool_)
    fail_at(where, function, Code::InvalidArgument,
            std::string(function) + "() takes a bool tensor, not " + std::string(name_of(x.dtype())),
            "tf::any(x != 0)");
}
}  // namespace

Tensor any(Operand x, Axes axes, ReduceOptions options) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  check_bool("any", t, x.where());
  return greater(max(cast(t, uint8), axes, options), 0);
}
Tensor all(Operand x, Axes axes, ReduceOptions options) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  check_bool("all", t, x.where());
  return greater(min(cast(t, uint8), axes, options), 0);
}

Tensor logsumexp(Operand x, Axes axes, ReduceOptions options) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  const Tensor most = stop_gradient(max(t, axes, {.keepdims = true}));
  const Tensor base = where(is_finite(most), most, 0);  // inf - inf would be NaN
  const Tensor total = sum(exp(t - base), axes, {.keepdims = true});
  const Tensor empty = equal(total, 0);  // all are -inf: then no gradient comes through the log
  const Tensor y = where(empty, -INFINITY, log(where(empty, 1, total)) + base);
  return options.keepdims ? y : sum(y, axes);
}

Tensor variance(Operand x, Axes axes, VarianceOptions options) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  if (!std::isfinite(options.correction))
    fail(Code::InvalidArgument, "variance() with a correction of " + print_field(options.correction));
  return internal::sum_of_squares(
      t - mean(t, axes, {.keepdims = true}),
      {.axes = axes, .keepdims = options.keepdims, .mean = true, .correction = options.correction});
}

Tensor norm(Operand x, Axes axes, ReduceOptions options) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  check_input("norm", 0, t, x.where());
  return internal::sum_of_squares(t, {.axes = axes, .keepdims = options.keepdims, .root = true});
}

Tensor internal::sum_of_squares(const Tensor& x, SumOfSquaresAttrs attrs, bool wide) {
  attrs.dtype = wide ? float64 : x.dtype();
  return apply(squares_op, {&x}, attrs, t_state.source);
}

Tensor sum_to_like(Operand x, Operand like) {
  const Tensor &from = x.resolve(), &to = like.resolve();
  check_input(sum_to_like_op.name, 1, to, x.where());
  if (!to.shape().is_known()) return apply(sum_to_like_op, {&from, &to}, x.where());
  return sum_to_shape(Operand(from, x.where()), to.shape());
}

// A tensor of its own in any case, as its gradient is: which tensor depends on which must not follow from whether a
// graph knows the shapes.
Tensor sum_to_shape(Operand x, Shape shape) {
  const Tensor& from = x.resolve();
  check_input(sum_to_op.name, 0, from, x.where());
  if (from.shape().is_known() && from.shape() == shape && from.dtype() != bool_)
    return reshape(Operand(from, x.where()), shape);
  return apply(sum_to_op, {&from}, SumToAttrs{shape}, x.where());
}

void register_reduce();
void register_reduce() {
  for (OpDef* op :
       {&sum_op, &mean_op, &max_op, &min_op, &argmax_op, &count_op, &squares_op, &sum_to_op, &sum_to_like_op})
    register_op(*op);
  reduced::register_prod();
}

}  // namespace twofold
