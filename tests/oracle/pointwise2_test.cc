// The elementwise functions of two operands, over all pairs of extremes; integers exactly.
#include <algorithm>

#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/pointwise/record.h>

#include "elementwise.h"

using namespace oracle;

namespace {

bool either_nan(real a, real b) { return std::isnan(a) || std::isnan(b); }

/// The remainder that has b's sign, as Python's.
real modulo(real a, real b) {
  const real rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(real(0), b);
  return std::signbit(rest) == std::signbit(b) || std::isnan(rest) ? rest : rest + b;
}
real floor_quotient(real a, real b) {
  if (std::isnan(a) || std::isnan(b)) return kNaN;
  if (b == 0) return a / b;
  if (std::isinf(a)) return kNaN;
  if (std::isinf(b)) return a == 0 || std::signbit(a) == std::signbit(b) ? a / b : real(-1);
  const real q = (a - modulo(a, b)) / b;
  return q == 0 ? a / b < 0 ? real(-0.0) : std::copysign(real(0), a / b) : std::nearbyint(q);
}
template <int share_a>  // 1: of the lesser, -1: of the greater
real share(real a, real b) {
  if (either_nan(a, b)) return kAnything;
  return a == b ? real(0.5) : real((share_a > 0 ? a < b : a > b));
}

const Binary kFunctions[] = {
    {"add",
     [](real a, real b) { return a + b; },
     [](real, real) { return real(1); },
     [](real, real) { return real(1); },
     zero2,
     zero2,
     zero2,
     {.ulps = 0.5}},
    {"subtract",
     [](real a, real b) { return a - b; },
     [](real, real) { return real(1); },
     [](real, real) { return real(-1); },
     zero2,
     zero2,
     zero2,
     {.ulps = 0.5}},
    {"multiply",
     [](real a, real b) { return a * b; },
     [](real, real b) { return b; },
     [](real a, real) { return a; },
     zero2,
     [](real, real) { return real(1); },
     zero2,
     {.ulps = 0.5}},
    {"divide",
     [](real a, real b) { return a / b; },
     [](real, real b) { return 1 / b; },
     [](real a, real b) { return -a / b / b; },
     zero2,
     [](real, real b) { return -1 / b / b; },
     [](real a, real b) { return 2 * a / b / b / b; },
     {.ulps = 0.5},
     {.ulps = 3, .zero_sign = false},
     {.ulps = 16, .zero_sign = false},  // a quotient of quotients of quotients
     true},
    {"multiply_no_nan",
     [](real a, real b) { return b == 0 ? 0 : a * b; },
     [](real, real b) { return b; },
     [](real a, real) { return a; },
     zero2,
     [](real, real) { return real(1); },
     zero2,
     {.ulps = 0.5, .zero_sign = false}},
    {"minimum",
     [](real a, real b) { return either_nan(a, b) ? kNaN : std::fmin(a, b); },
     share<1>,
     [](real a, real b) { return share<1>(b, a); },
     zero2,
     zero2,
     zero2,
     {.zero_sign = false}},
    {"maximum",
     [](real a, real b) { return either_nan(a, b) ? kNaN : std::fmax(a, b); },
     share<-1>,
     [](real a, real b) { return share<-1>(b, a); },
     zero2,
     zero2,
     zero2,
     {.zero_sign = false}},
    {"squared_difference",
     [](real a, real b) { return (a - b) * (a - b); },
     [](real a, real b) { return 2 * (a - b); },
     [](real a, real b) { return 2 * (b - a); },
     [](real, real) { return real(2); },
     [](real, real) { return real(-2); },
     [](real, real) { return real(2); },
     {.ulps = 2}},
    {"floor_divide", floor_quotient, zero2, zero2, zero2, zero2, zero2, {.ulps = 1, .zero_sign = false}},
    {"mod",
     modulo,
     [](real, real) { return real(1); },
     [](real a, real b) { return -floor_quotient(a, b); },
     zero2,
     zero2,
     zero2,
     {.ulps = 0.5}},
    {"relu_grad", [](real a, real b) { return b > 0 || std::isnan(b) ? a : 0; },
     [](real, real b) { return real(b > 0 || std::isnan(b)); }, zero2},
};

const tf::PointwiseRecord& record(const std::string& function) {
  for (const auto& r : tf::pointwise_records())
    if (function == r.function) return r;
  throw std::logic_error("no op " + function);
}

using Wide = __int128;
template <class T>
T wrapped(Wide v) {
  return static_cast<T>(static_cast<uint64_t>(v));
}

/// Holds `call` to `f`, which is exact, over all pairs of ends.
template <class T, class Function>
void exactly(const char* name, DType dtype, Function f) {
  const auto [a, b] = pairs(integers<T>());
  const Tensor got =
      everyway1([&](const Tensors& in) { return record(name).binary(in[0], in[1]); }, {tf::tensor(a), tf::tensor(b)});
  Reals wanted;
  for (size_t i = 0; i < a.size(); ++i) wanted.push_back(static_cast<real>(f(Wide(a[i]), Wide(b[i]))));
  INFO(name);
  CHECK(off_list(got, dtype, wanted) == "");
}
template <class T, class Function>
void exactly1(const char* name, DType dtype, Function f) {
  const std::vector<T> x = integers<T>();
  const Tensor got = everyway1([&](const Tensors& in) { return record(name).unary(in[0]); }, {tf::tensor(x)});
  Reals wanted;
  for (const T v : x) wanted.push_back(static_cast<real>(f(Wide(v))));
  INFO(name);
  CHECK(off_list(got, dtype, wanted) == "");
}

Wide floor_div(Wide a, Wide b) { return b == 0 ? 0 : a / b - ((a % b != 0) && ((a < 0) != (b < 0))); }

}  // namespace

ORACLE(add, subtract, multiply, multiply_no_nan, divide, minimum, maximum, squared_difference, floor_divide, mod, relu_grad) {
  for (const Binary& f : kFunctions) check(f);
}

TEST_CASE("oracle: integers wrap, and are divided by 0 to 0") {
  for_integers([&](auto zero, DType t) {
    using T = decltype(zero);
    exactly1<T>("negative", t, [](Wide a) { return wrapped<T>(-a); });
    exactly1<T>("abs", t, [](Wide a) { return wrapped<T>(a < 0 ? -a : a); });
    exactly1<T>("sign", t, [](Wide a) { return T((a > 0) - (a < 0)); });
    exactly1<T>("square", t, [](Wide a) { return wrapped<T>(a * a); });
    exactly1<T>("relu", t, [](Wide a) { return T(a > 0 ? a : 0); });
    exactly<T>("add", t, [](Wide a, Wide b) { return wrapped<T>(a + b); });
    exactly<T>("subtract", t, [](Wide a, Wide b) { return wrapped<T>(a - b); });
    exactly<T>("multiply", t, [](Wide a, Wide b) { return wrapped<T>(a * b); });
    exactly<T>("minimum", t, [](Wide a, Wide b) { return T(a < b ? a : b); });
    exactly<T>("maximum", t, [](Wide a, Wide b) { return T(a > b ? a : b); });
    exactly<T>("squared_difference", t,
               [](Wide a, Wide b) { return wrapped<T>(Wide(wrapped<T>(a - b)) * wrapped<T>(a - b)); });
    exactly<T>("floor_divide", t, [](Wide a, Wide b) { return wrapped<T>(floor_div(a, b)); });
    exactly<T>("mod", t, [](Wide a, Wide b) { return wrapped<T>(b == 0 ? 0 : a - floor_div(a, b) * b); });
    // Of whole numbers a quotient is one of float32.
    exactly<T>("divide", tf::float32,
               [](Wide a, Wide b) { return static_cast<float>(T(a)) / static_cast<float>(T(b)); });
  });
}

ORACLE(less, less_equal, greater, greater_equal, equal, not_equal, logical_and, logical_or, logical_xor) {
  const auto compare = [](DType dtype, const Tensor& a, const Tensor& b) {
    const Reals x = values_of(a), y = values_of(b);
    const std::pair<const char*, bool (*)(real, real)> all[] = {
        {"less", [](real p, real q) { return p < q; }},    {"less_equal", [](real p, real q) { return p <= q; }},
        {"greater", [](real p, real q) { return p > q; }}, {"greater_equal", [](real p, real q) { return p >= q; }},
        {"equal", [](real p, real q) { return p == q; }},  {"not_equal", [](real p, real q) { return p != q; }}};
    for (const auto& [name, f] : all) {
      Reals wanted;
      for (size_t i = 0; i < x.size(); ++i) wanted.push_back(f(x[i], y[i]));
      INFO(name << " of " << dtype);
      CHECK(off_list(everyway1([&](const Tensors& in) { return record(name).binary(in[0], in[1]); }, {a, b}), tf::bool_,
                     wanted) == "");
    }
  };
  for_floating([&](auto zero, DType dtype) {
    const auto [a, b] = pairs(extremes<decltype(zero)>());
    compare(dtype, make(dtype, a), make(dtype, b));
  });
  for_integers([&](auto zero, DType dtype) {
    const auto [a, b] = pairs(integers<decltype(zero)>());
    compare(dtype, tf::tensor(a), tf::tensor(b));
  });
  compare(tf::bool_, make(tf::bool_, {0, 0, 1, 1}), make(tf::bool_, {0, 1, 0, 1}));
  const Tensor p = make(tf::bool_, {0, 0, 1, 1}), q = make(tf::bool_, {0, 1, 0, 1});
  const auto got = everyway(
      [](const Tensors& in) {
        return Tensors{tf::logical_and(in[0], in[1]), tf::logical_or(in[0], in[1]), tf::logical_xor(in[0], in[1])};
      },
      {p, q});
  CHECK(off_list(got[0], tf::bool_, {0, 0, 0, 1}) == "");
  CHECK(off_list(got[1], tf::bool_, {0, 1, 1, 1}) == "");
  CHECK(off_list(got[2], tf::bool_, {0, 1, 1, 0}) == "");
  CHECK_ERROR(tf::logical_and(tf::tensor({1}), tf::tensor({1})), InvalidArgument, "bool");
}
