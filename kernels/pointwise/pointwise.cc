#include <twofold/kernels/pointwise/pointwise.h>

#include <fmt/format.h>
#include <math.h>

#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include <twofold/kernels/pointwise/if_arrived.h>
#include <twofold/kernels/tensor_array/tensor_list_ops.h>
#include <twofold/kernels/pointwise/known.h>
#include <twofold/kernels/pointwise/operand_pair.h>
#include <twofold/kernels/pointwise/ops.h>
#include <twofold/kernels/pointwise/record.h>
#include <twofold/kernels/pointwise/scalar.h>
#include <twofold/kernels/pointwise/shapes.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/small.h>

namespace twofold {

void register_pointwise();
void register_fused();

namespace {

// ---- Gradient rules ----

/// The gradient of an op whose derivative is zero or undefined everywhere.
struct None {};
[[maybe_unused]] constexpr None none;

enum : uint32_t { X = 1, A = 1, B = 2, Y = 4 };
constexpr Reads reads_of(uint32_t bits) { return {.inputs = bits & (A | B), .outputs = bits / Y}; }

/// x limited to [-most, most]: for factors of what is 0 beyond, where an infinite x would make NaN.
Tensor bounded(const Tensor& x, double most) { return minimum(maximum(x, -most), most); }

/// a / b^2, where b^2 may overflow.
Tensor divided_twice(const Tensor& a, const Tensor& b) { return a / b / b; }

/// y log(a), 0 where a <= 0 or y = a^b is 0.
Tensor pow_slope_by_b(const Tensor& a, const Tensor& y) {
  const Tensor power = where(less_equal(a, 0), 0, y);
  return power * log(where(equal(power, 0), 1, a));
}

inline void set_dx(Backward& b, int i, Tensor t) { b.dx(i, std::move(t)); }
inline void set_dx(Backward&, int, None) {}

/// The formulas of one op's record, as functions of Tensors.
template <class F>
struct Rule;

#define TWOFOLD_UNARY(function, Op, dtypes, gradient, ...)                               \
  template <>                                                                            \
  struct Rule<functor::Op> {                                                             \
    static auto of_x([[maybe_unused]] const Tensor& x, [[maybe_unused]] const Tensor& y, \
                     [[maybe_unused]] const Tensor& dy) {                                \
      return gradient;                                                                   \
    }                                                                                    \
  };
#define TWOFOLD_BINARY(function, Op, node, dtypes, gradient_a, gradient_b, ...)             \
  template <>                                                                               \
  struct Rule<functor::Op> {                                                                \
    static auto of_a([[maybe_unused]] const Tensor& a, [[maybe_unused]] const Tensor& b,    \
                     [[maybe_unused]] const Tensor& y, [[maybe_unused]] const Tensor& dy) { \
      return gradient_a;                                                                    \
    }                                                                                       \
    static auto of_b([[maybe_unused]] const Tensor& a, [[maybe_unused]] const Tensor& b,    \
                     [[maybe_unused]] const Tensor& y, [[maybe_unused]] const Tensor& dy) { \
      return gradient_b;                                                                    \
    }                                                                                       \
  };
#include <twofold/kernels/pointwise/ops.def>

template <class F, int kArity>
void gradient(Backward& b) {
  if constexpr (kArity == 1) {
    set_dx(b, 0, Rule<F>::of_x(b.input(0), b.output(), b.dy()));
  } else {
    if (b.needs(0)) set_dx(b, 0, Rule<F>::of_a(b.input(0), b.input(1), b.output(), b.dy()));
    if (b.needs(1)) set_dx(b, 1, Rule<F>::of_b(b.input(0), b.input(1), b.output(), b.dy()));
  }
}
template <class F, int kArity>
constexpr bool differentiable() {
  const Tensor* t = nullptr;
  if constexpr (kArity == 1)
    return !std::is_same_v<decltype(Rule<F>::of_x(*t, *t, *t)), None>;
  else
    return !std::is_same_v<decltype(Rule<F>::of_a(*t, *t, *t, *t)), None>;
}

void select_gradient(Backward& b) {
  const Tensor& condition = b.input(0);
  if (b.needs(1)) b.dx(1, where(condition, b.dy(), 0));
  if (b.needs(2)) b.dx(2, where(condition, 0, b.dy()));
}

void if_arrived_gradient(Backward& b) {
  const Tensor& arrived = b.input(0);
  if (arrived.is_concrete())  // in eager mode `arrived` is always true
    b.dx_conditional(1, b.dy());
  else
    b.dx(1, b.dy(), b.arrived().defined() ? logical_and(arrived, b.arrived()) : arrived);
}

void cast_gradient(Backward& b) {
  if (is_floating(b.input(0).dtype()) && is_floating(b.attrs<CastAttrs>().to))
    b.dx(0, cast(b.dy(), b.input(0).dtype()));
}

// ---- Ops ----

template <class F>
constexpr bool kCommutative = kIsOneOf<F, functor::Add, functor::Mul, functor::Minimum, functor::Maximum,
                                       functor::Equal, functor::NotEqual, functor::LogicalAnd, functor::LogicalOr>;

template <class F, DTypeClass kClass, int kArity>
constexpr OpDef define(OpName name, const char* node_name, uint32_t reads, const char* doc) {
  constexpr bool kDifferentiable = differentiable<F, kArity>();
  return {.key = name,
          .node_name = node_name,
          .doc = doc,
          .min_inputs = kArity,
          .max_inputs = kArity,
          .infer = pointwise::infer<kClass, kArity, pointwise::makes_bool<F, kClass, kArity>()>,
          .differentiable = kDifferentiable ? Differentiability::rule : Differentiability::none,
          .gradient = kDifferentiable ? gradient<F, kArity> : nullptr,
          .reads = reads_of(reads),
          .flags = {.pointwise = true, .commutative = kCommutative<F>},
          .known = kArity == 2 ? known_binary<F> : nullptr};
}

}  // namespace

#define TWOFOLD_UNARY(function, Op, dtypes, gradient, reads, samples, example, doc) \
  constinit OpDef function##_op = define<functor::Op, DTypeClass::dtypes, 1>(op_name::Op, #Op, reads, doc);
#define TWOFOLD_BINARY(function, Op, node, dtypes, gradient_a, gradient_b, reads, samples_a, samples_b, example, doc) \
  constinit OpDef function##_op = define<functor::Op, DTypeClass::dtypes, 2>(op_name::Op, node, reads, doc);
#include <twofold/kernels/pointwise/ops.def>

constinit OpDef select_op{.key = op_name::Select,
                          .doc = "a where the condition is true, else b. TensorFlow SelectV2, PyTorch where.",
                          .min_inputs = 3,
                          .max_inputs = 3,
                          .infer = pointwise::infer_select,
                          .differentiable = Differentiability::rule,
                          .gradient = select_gradient,
                          .reads = {.inputs = 1},
                          .flags = {.pointwise = true}};

constinit OpDef if_arrived_op{.key = op_name::IfArrived,
                              .node_name = "if_arrived",
                              .doc = "x where the scalar is true, else a constant; then x gets no gradient at all.",
                              .min_inputs = 3,
                              .max_inputs = 3,
                              .infer = pointwise::infer_select,
                              .differentiable = Differentiability::rule,
                              .gradient = if_arrived_gradient,
                              .reads = {.inputs = 1},
                              .flags = {.pointwise = true}};

constinit OpDef cast_op{.key = op_name::Cast,
                        .doc = "x in another dtype; to integers truncates and saturates. TensorFlow Cast.",
                        .infer = [](InferContext& c) { c.output(c.attrs<CastAttrs>().to, c.shape(0)); },
                        .differentiable = Differentiability::rule,
                        .gradient = cast_gradient,
                        .flags = {.pointwise = true},
                        .attrs = &internal::kAttrsType<CastAttrs>,
                        .known = [](const KnownContext& c) { return c.values(0); }};

// ---- Functions ----

namespace {

Tensor unary(const OpDef& op, const Operand& x) {
  const Tensor& operand = x.resolve();
  if (Tensor y; apply_small(op, operand, operand, y)) return y;
  return apply(op, {&operand}, x.where());
}

template <DTypeClass kClass>
Tensor binary(const OpDef& op, const Operand& a, const Operand& b) {
  if (Tensor y; a.tensor() && b.tensor() && apply_small(op, *a.tensor(), *b.tensor(), y)) return y;
  const OperandPair pair(a, b, op.name);
  if constexpr (kClass == DTypeClass::quotient) {
    if (is_integer(pair.a->dtype())) {
      const Tensor fa = cast(Operand(*pair.a, a.where()), float32), fb = cast(Operand(*pair.b, a.where()), float32);
      return apply(op, {&fa, &fb}, a.where());
    }
  }
  return apply(op, {pair.a, pair.b}, a.where());
}

}  // namespace

#define TWOFOLD_UNARY(function, Op, ...) \
  Tensor function(Operand x) { return unary(function##_op, x); }
#define TWOFOLD_BINARY(function, Op, node, dtypes, ...) \
  Tensor function(Operand a, Operand b) { return binary<DTypeClass::dtypes>(function##_op, a, b); }
#include <twofold/kernels/pointwise/ops.def>

Tensor where(Operand condition, Operand a, Operand b) {
  const OperandPair pair(a, b, select_op.name, 1);
  return apply(select_op, {&condition.resolve(), pair.a, pair.b}, condition.where());
}

Tensor if_arrived(const Tensor& arrived, const Tensor& x, double otherwise) {
  if (x.dtype() == DType::list) return apply(list_if_arrived_op, {&arrived, &x}, t_state.source);
  const OperandPair pair(x, otherwise, if_arrived_op.name, 1);
  return apply(if_arrived_op, {&arrived, pair.a, pair.b}, t_state.source);
}

Tensor cast(Operand x, DType to) {
  const Tensor& t = x.resolve();
  check_input(cast_op.name, 0, t, x.where());
  if (t.dtype() == to) return t;
  if (static_cast<int>(to) >= kDTypeCount)
    fail(Code::InvalidArgument, fmt::format("{} is the number of no dtype", static_cast<int>(to)),
         "tf::cast(x, tf::float32)");
  return apply(cast_op, {&t}, CastAttrs{.to = to}, x.where());
}

Tensor clip(Operand x, Number low, Number high) {
  const SourceScope source_scope(x.where());
  const auto refuse = [&](std::string_view why) {
    fail(Code::InvalidArgument,
         fmt::format("clip() cannot be from {} to {}{}", print_field(low), print_field(high), why));
  };
  if (!(low <= high)) refuse("");
  const Tensor& t = x.resolve();
  check_input("clip", 0, t, x.where());
  const DType dtype = t.dtype();
  if (is_integer(dtype)) {
    for (const Number& bound : {low, high})
      if (!bound.is_whole() && std::isfinite(bound.value()))
        fail(Code::InvalidArgument,
             fmt::format("clip() from {} to {} of a tensor of dtype {}", print_field(low), print_field(high),
                         name_of(dtype)),
             "tf::cast(x, tf::float32)");
    dispatch(dtype, [&]<class T>(T) {
      const Number least = std::numeric_limits<T>::lowest(), most = std::numeric_limits<T>::max();
      if (low > most || high < least) refuse(fmt::format(", for {} has no such number", name_of(dtype)));
      if (low < least) low = least;
      if (high > most) high = most;
    });
  }
  const Literal lowest = low.literal(dtype), highest = high.literal(dtype);
  return where(less(t, lowest), lowest, where(greater(t, highest), highest, t));
}

Tensor leaky_relu(Operand x, double alpha) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  return where(greater(t, 0), t, t * alpha);
}

Tensor elu(Operand x, double alpha) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  const Tensor positive = greater(t, 0);
  return where(positive, t, expm1(where(positive, 0, t)) * alpha);
}

Tensor operator+(Operand a, Operand b) { return binary<DTypeClass::numeric>(add_op, a, b); }
Tensor operator-(Operand a, Operand b) { return binary<DTypeClass::numeric>(subtract_op, a, b); }
Tensor operator*(Operand a, Operand b) { return binary<DTypeClass::numeric>(multiply_op, a, b); }
Tensor operator/(Operand a, Operand b) { return binary<DTypeClass::quotient>(divide_op, a, b); }
Tensor operator-(Operand x) { return unary(negative_op, x); }
Tensor operator%(Operand a, Operand b) { return mod(a, b); }
Tensor operator&(Operand a, Operand b) { return logical_and(a, b); }
Tensor operator|(Operand a, Operand b) { return logical_or(a, b); }
Tensor operator^(Operand a, Operand b) { return logical_xor(a, b); }
Tensor operator~(Operand x) { return logical_not(x); }
Tensor operator<(Operand a, Operand b) { return binary<DTypeClass::any>(less_op, a, b); }
Tensor operator<=(Operand a, Operand b) { return binary<DTypeClass::any>(less_equal_op, a, b); }
Tensor operator>(Operand a, Operand b) { return binary<DTypeClass::any>(greater_op, a, b); }
Tensor operator>=(Operand a, Operand b) { return binary<DTypeClass::any>(greater_equal_op, a, b); }

void register_pointwise() {
#define TWOFOLD_UNARY(function, ...) register_op(function##_op);
#define TWOFOLD_BINARY(function, ...) register_op(function##_op);
#include <twofold/kernels/pointwise/ops.def>
  register_op(select_op);
  register_op(if_arrived_op);
  register_op(cast_op);
  register_fused();
}

// ---- Records ----

namespace {

template <class F, DTypeClass kClass, int kArity>
double reference(double a, [[maybe_unused]] double b) {
  using T = std::conditional_t<kClass == DTypeClass::boolean, bool, double>;
  using V = Scalar<T>;
  if constexpr (kArity == 1)
    return static_cast<double>(stored(F()(V(a))));
  else
    return static_cast<double>(stored(F()(V(a), V(b))));
}

struct UnaryExample {
  double x, y;
};
struct BinaryExample {
  double a, b, y;
};

template <class F, DTypeClass kClass>
PointwiseRecord record(const char* op, const char* function, PointwiseRecord::Range samples, UnaryExample e,
                       const char* doc, Tensor (*call)(Operand)) {
  return {op,
          function,
          1,
          kClass,
          pointwise::makes_bool<F, kClass, 1>(),
          differentiable<F, 1>(),
          {samples, samples},
          {e.x, 0, e.y},
          doc,
          call,
          nullptr,
          reference<F, kClass, 1>};
}
template <class F, DTypeClass kClass>
PointwiseRecord record(const char* op, const char* function, PointwiseRecord::Range a, PointwiseRecord::Range b,
                       BinaryExample e, const char* doc, Tensor (*call)(Operand, Operand)) {
  return {op,
          function,
          2,
          kClass,
          pointwise::makes_bool<F, kClass, 2>(),
          differentiable<F, 2>(),
          {a, b},
          {e.a, e.b, e.y},
          doc,
          nullptr,
          call,
          reference<F, kClass, 2>};
}

}  // namespace

std::span<const PointwiseRecord> pointwise_records() {
  using Range = PointwiseRecord::Range;
  static const PointwiseRecord records[] = {
#define TWOFOLD_UNARY(function, Op, dtypes, gradient, reads, samples, example, doc) \
  record<functor::Op, DTypeClass::dtypes>(#Op, #function, Range samples, UnaryExample example, doc, function),
#define TWOFOLD_BINARY(function, Op, node, dtypes, gradient_a, gradient_b, reads, samples_a, samples_b, example, doc) \
  record<functor::Op, DTypeClass::dtypes>(#Op, #function, Range samples_a, Range samples_b, BinaryExample example,    \
                                          doc, function),
#include <twofold/kernels/pointwise/ops.def>
  };
  return records;
}

}  // namespace twofold
