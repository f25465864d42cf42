// pow, over all pairs of extremes.
#include <algorithm>

#include "elementwise.h"

using namespace oracle;

namespace {

/// Whether what a derivative is made of, b^2, a^b, a^(b-1) and a^(b-2), stays within float32: elsewhere a factor that
/// overflows or underflows on the way may decide, as in PyTorch, and no more is promised than that values are right.
/// Nor is a sign where b - 1 is b.
bool moderate(real a, real b) {
  const auto small = [](real v) { return v == 0 || (std::fabs(v) < 1e30L && std::fabs(v) > 1e-30L); };
  return small(a) && small(b * b) && std::fabs(b) < 1e6L && small(std::pow(a, b)) && small(std::pow(a, b - 1)) &&
         small(std::pow(a, b - 2));
}
template <F2 f>
real where_moderate(real a, real b) {
  return moderate(a, b) ? f(a, b) : kAnything;
}

real pow_a(real a, real b) { return b == 0 ? 0 : b * std::pow(a, b - 1); }
real pow_b(real a, real b) { return a > 0 ? times(std::pow(a, b), std::log(a)) : 0; }

real pow_aa(real a, real b) { return b == 0 || b == 1 ? 0 : b * (b - 1) * std::pow(a, b - 2); }
real pow_ab(real a, real b) { return a > 0 ? std::pow(a, b - 1) + times(pow_a(a, b), std::log(a)) : kAnything; }
real pow_bb(real a, real b) { return a > 0 ? times(pow_b(a, b), std::log(a)) : 0; }

/// b - 1 is rounded, by half a place of 1 or of b, which a power makes |log(a)| or |b log(a)| times as much of; and the
/// mixed derivative has two terms.
template <F2 f>
real term(real a, real b) {
  const real l = a == 0 ? 0 : std::fabs(std::log(std::fabs(a)));
  return where_moderate<f>(a, b) == kAnything ? 0 : std::fabs(f(a, b)) * (1 + l * (1 + std::fabs(b)));
}
real pow_ab_sizes(real a, real b) { return std::pow(a, b - 1) * (1 + std::fabs(b * std::log(a))); }

}  // namespace

ORACLE(pow) {
  Binary o{"pow",
           [](real a, real b) { return std::pow(a, b); },
           where_moderate<pow_a>,
           where_moderate<pow_b>,
           where_moderate<pow_aa>,
           where_moderate<pow_ab>,
           where_moderate<pow_bb>,
           {.ulps = 2},
           {.ulps = 4, .zero_sign = false},
           {.ulps = 8, .zero_sign = false}};
  const F2 terms[] = {nullptr, term<pow_a>, term<pow_b>, term<pow_aa>, term<pow_ab_sizes>, term<pow_bb>};
  std::copy(std::begin(terms), std::end(terms), o.terms);
  check(o);
}

TEST_CASE("oracle: slopes of pow where one of its factors is infinite, zero or NaN") {
  for_floating([](auto, DType t) {
    const auto slopes = [&](real a, real b) {
      return everyway(
          [](const Tensors& in) {
            tf::GradientTape tape({.persistent = true});
            tape.watch(in[0]), tape.watch(in[1]);
            const Tensor y = tf::pow(in[0], in[1]);
            const Tensors first = tape.gradient(y, {in[0], in[1]});
            return Tensors{y, first[0], first[1], tape.gradient(first[0], in[1]), tape.gradient(first[1], in[0])};
          },
          {make(t, {1}, {a}), make(t, {1}, {b})});
    };
    // a, b, the slopes by a and by b. (b a^(b-1) of an infinite b is infinity times 0, as in PyTorch.)
    const Reals rows[] = {{kInf, -1, 0, 0},
                          {kInf, -2, 0, 0},
                          {kInf, -0.5L, 0, 0},
                          {kInf, 1, 1, kInf},
                          {kInf, 0.5L, 0, kInf},
                          {kInf, 0, 0, kInf},
                          {kInf, 2, kInf, kInf},
                          {0, 1, 1, 0},
                          {0, 2, 0, 0},
                          {0, 0.5L, kInf, 0},
                          {0, 0, 0, 0},
                          {0, -1, -kInf, 0},
                          {-0.0L, 2, 0, 0},
                          {-2, 3, 12, 0},
                          {-2, 0, 0, 0},
                          {-kInf, -1, 0, 0},
                          {kNaN, 2, kNaN, kNaN},
                          {2, kNaN, kNaN, kNaN},
                          {1, kNaN, kNaN, kAnything},
                          {2, -kInf, kAnything, 0}};
    for (const Reals& r : rows) {
      INFO("pow(" << static_cast<double>(r[0]) << ", " << static_cast<double>(r[1]) << ")");
      const Tensors got = slopes(r[0], r[1]);
      CHECK(off_list(got[1], t, {r[2]}, {.zero_sign = false}) == "");
      CHECK(off_list(got[2], t, {r[3]}, {.zero_sign = false}) == "");
    }
    // The derivative by a and b at b = 0 is 1 / a, in either order.
    for (const real a : {0.5L, 1.0L, 4.0L, 1e30L, 1e-30L}) {
      const Tensors got = slopes(a, 0);
      CHECK(off_list(got[3], t, {1 / a}, {.ulps = 2}) == "");
      CHECK(off_list(got[4], t, {1 / a}, {.ulps = 2}) == "");
    }
  });
}
