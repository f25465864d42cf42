#include <twofold/kernels/random/random.h>

#include <cmath>

#include <twofold/kernels/gather/gather.h>
#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/layout/shapes.h>
#include <twofold/kernels/shape_check/shape_check.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/random_key.h>

namespace twofold {
namespace {

/// The shape to draw in: the operand's if there is one, else the attribute's.
Shape drawn_shape(InferContext& c, const Shape& attribute) {
  bool known = true;
  const Shape shape = c.num_inputs() == 0 ? attribute : layout::shape_operand(c, 0, known);
  if (known && !shape.is_known()) c.fail("The shape of random numbers must be fully known, but is " + shape.str());
  return shape;
}

void infer(InferContext& c) {
  const auto& attrs = c.attrs<RandomAttrs>();
  if (!is_floating(attrs.dtype))
    c.fail("Random numbers of " + std::string(name_of(attrs.dtype)) + " are not supported",
           "tf::random_uniform_int(shape, 0, 10)");
  c.output(attrs.dtype, drawn_shape(c, attrs.shape));
}

/// Whether `dtype` holds v as a finite number.
bool finite_in(DType dtype, double v) { return std::isfinite(dtype == float32 ? static_cast<float>(v) : v); }

void infer_normal(InferContext& c) {
  const auto& attrs = c.attrs<RandomAttrs>();
  if (!finite_in(attrs.dtype, attrs.a) || !finite_in(attrs.dtype, attrs.b) || attrs.b < 0)
    c.fail("mean and stddev must be finite and stddev not negative, but are " + print_field(attrs.a) + " and " +
           print_field(attrs.b));
  infer(c);
}

void infer_uniform(InferContext& c) {
  const auto& attrs = c.attrs<RandomAttrs>();
  const bool finite = finite_in(attrs.dtype, attrs.a) && finite_in(attrs.dtype, attrs.b);
  if (!finite || !std::isfinite(attrs.b - attrs.a) || attrs.a > attrs.b)
    c.fail("low, high and high - low must be finite and low <= high, but are " + print_field(attrs.a) + " and " +
           print_field(attrs.b));
  infer(c);
}

void infer_int(InferContext& c) {
  const auto& attrs = c.attrs<RandomIntAttrs>();
  if (attrs.dtype != int32 && attrs.dtype != int64)
    c.fail("Random integers are int32 or int64, not " + std::string(name_of(attrs.dtype)),
           "tf::cast(tf::random_uniform_int(shape, 0, 10), dtype)");
  if (attrs.low >= attrs.high)
    c.fail("Need low < high, got " + std::to_string(attrs.low) + " >= " + std::to_string(attrs.high));
  if (attrs.dtype == int32 && (attrs.low < INT32_MIN || attrs.high > int64_t{INT32_MAX} + 1))
    c.fail("low and high must be within int32, but are " + std::to_string(attrs.low) + " and " +
               std::to_string(attrs.high),
           "{.dtype = tf::int64}");
  c.output(attrs.dtype, drawn_shape(c, attrs.shape));
}

void infer_permutation(InferContext& c) {
  const Shape n = drawn_shape(c, c.attrs<RandomPermutationAttrs>().shape);
  if (n.has_rank() && (n.rank() != 1 || n.extent(0) > INT32_MAX))
    c.fail("Expected the number of numbers, within int32, got " + n.str());
  c.output(int32, n.has_rank() ? n : Shape{-1});
}

/// A random op; of all of them the shape may be an operand.
template <class Attrs>
constexpr OpDef random_op(OpName name, const char* node_name, const char* doc, InferFn infer) {
  return {.key = name,
          .node_name = node_name,
          .doc = doc,
          .min_inputs = 0,
          .max_inputs = 1,
          .infer = infer,
          .differentiable = Differentiability::none,
          .flags = {.random = true},
          .attrs = &internal::kAttrsType<Attrs>,
          .host_inputs = 1};
}

constinit OpDef random_normal_op =
    random_op<RandomAttrs>(op_name::RandomNormal, "random_normal",
                           "mean + stddev * a standard normal number; TensorFlow RandomStandardNormal", infer_normal);
constinit OpDef truncated_normal_op = random_op<RandomAttrs>(
    op_name::TruncatedNormal, "truncated_normal",
    "mean + stddev * a standard normal number within [-2, 2]; TensorFlow TruncatedNormal", infer_normal);
constinit OpDef random_uniform_op =
    random_op<RandomAttrs>(op_name::RandomUniform, "random_uniform",
                           "a number uniform in [low, high); TensorFlow RandomUniform", infer_uniform);
constinit OpDef random_uniform_int_op =
    random_op<RandomIntAttrs>(op_name::RandomUniformInt, "random_uniform_int",
                              "an integer uniform in [low, high); TensorFlow RandomUniformInt", infer_int);
constinit OpDef random_permutation_op =
    random_op<RandomPermutationAttrs>(op_name::RandomPermutation, "random_permutation",
                                      "the numbers below n in a random order; PyTorch randperm", infer_permutation);

/// Draws in `shape`. If that is known the op takes no input and so is a source: while a graph is built it is a node,
/// even if some extent is a value.
template <class Attrs>
Tensor draw(const OpDef& op, Attrs attrs, const Extents& shape, std::source_location where) {
  if (const auto known = shape.shape()) {
    attrs.shape = *known;
    return apply(op, {}, attrs, where);
  }
  const SourceScope source_scope(where);
  const Tensor operand = shape.tensor();
  return apply(op, {&operand}, attrs, where);
}

Tensor draw_like(const OpDef& op, const RandomAttrs& attrs, const Tensor& x, std::source_location where) {
  return draw(op, attrs, x.is_symbolic() ? Extents(shape(x)) : Extents(x.shape()), where);
}

RandomAttrs attrs_of(const RandomNormalOptions& o) { return {next_random_key(o.seed), o.dtype, {}, o.mean, o.stddev}; }
RandomAttrs attrs_of(const RandomUniformOptions& o) {
  return {next_random_key(o.seed), o.dtype, {}, o.low.value(), o.high.value()};
}

/// low and high of options that ask for integers.
std::pair<int64_t, int64_t> whole_bounds(const RandomUniformOptions& o, std::source_location where) {
  if (o.low == 0 && o.high == 1)
    fail_at(where, random_uniform_op.name, Code::InvalidArgument,
            "Must specify high for integer dtype " + std::string(name_of(o.dtype)), "{.high = 10, .dtype = tf::int32}");
  if (!o.low.fits(int64) || !o.high.fits(int64))
    fail_at(where, random_uniform_op.name, Code::InvalidArgument,
            "Integers cannot be drawn from [" + print_field(o.low) + ", " + print_field(o.high) + ")");
  return {o.low.as<int64_t>(), o.high.as<int64_t>()};
}

}  // namespace

Tensor random_normal(const Extents& shape, RandomNormalOptions o, std::source_location where) {
  return draw(random_normal_op, attrs_of(o), shape, where);
}
Tensor random_normal_like(Operand x, RandomNormalLikeOptions o) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  check_input("random_normal_like", 0, t, x.where());
  const RandomNormalOptions options{
      .mean = o.mean, .stddev = o.stddev, .dtype = o.dtype.value_or(t.dtype()), .seed = o.seed};
  return draw_like(random_normal_op, attrs_of(options), t, x.where());
}

Tensor truncated_normal(const Extents& shape, RandomNormalOptions o, std::source_location where) {
  return draw(truncated_normal_op, attrs_of(o), shape, where);
}

Tensor random_uniform(const Extents& shape, RandomUniformOptions o, std::source_location where) {
  if (!is_integer(o.dtype)) return draw(random_uniform_op, attrs_of(o), shape, where);
  const auto [low, high] = whole_bounds(o, where);
  return random_uniform_int(shape, low, high, {.dtype = o.dtype, .seed = o.seed}, where);
}
Tensor random_uniform_like(Operand x, RandomUniformLikeOptions o) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  check_input("random_uniform_like", 0, t, x.where());
  const RandomUniformOptions options{
      .low = o.low, .high = o.high, .dtype = o.dtype.value_or(t.dtype()), .seed = o.seed};
  return draw_like(random_uniform_op, attrs_of(options), t, x.where());
}

Tensor random_uniform_int(const Extents& shape, int64_t low, int64_t high, RandomIntOptions o,
                          std::source_location where) {
  return draw(random_uniform_int_op, RandomIntAttrs{next_random_key(o.seed), o.dtype, {}, low, high}, shape, where);
}

Tensor random_permutation(Extent n, RandomShuffleOptions o, std::source_location where) {
  if (n.known() && *n.known() < 0)
    fail_at(where, random_permutation_op.name, Code::InvalidArgument,
            "random_permutation() of " + std::to_string(*n.known()) + " numbers");
  return draw(random_permutation_op, RandomPermutationAttrs{next_random_key(o.seed), {}}, {n}, where);
}

Tensor random_shuffle(Operand x, RandomShuffleOptions o) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  check_input("random_shuffle", 0, t, x.where());
  const Tensor checked =
      internal::shape_checked({&t}, {.what = ShapeCheck::has_axes, .words = "random_shuffle"}, x.where());
  const RandomPermutationAttrs attrs{next_random_key(o.seed), {}};
  const Extents n = t.is_symbolic() ? Extents(slice(shape(checked), 0, 1)) : Extents{t.dim(0)};
  return gather(checked, draw(random_permutation_op, attrs, n, x.where()));
}

void register_random() {
  for (OpDef* op :
       {&random_normal_op, &truncated_normal_op, &random_uniform_op, &random_uniform_int_op, &random_permutation_op})
    register_op(*op);
}

}  // namespace twofold
