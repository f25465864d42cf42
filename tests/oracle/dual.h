// Derivatives of references: numbers that carry those of the first and the second order.
#pragma once

#include <algorithm>

#include "oracle.h"

namespace oracle {

/// a + b e1 + c e2 + d e1 e2 with e1^2 = e2^2 = 0: of f(x + e1 u + e2 v), b is the derivative along u and d that of b
/// along v.
struct Dual {
  real a = 0, b = 0, c = 0, d = 0;

  Dual() = default;
  Dual(real value) : a(value) {}
  Dual(real value, real along_u, real along_v) : a(value), b(along_u), c(along_v) {}
  /// f of it, from f, f' and f'' at a.
  Dual through(real f, real f1, real f2) const {
    Dual y(f, f1 * b, f1 * c);
    y.d = f1 * d + f2 * b * c;
    return y;
  }
  friend Dual operator+(const Dual& x, const Dual& y) {
    Dual z(x.a + y.a, x.b + y.b, x.c + y.c);
    z.d = x.d + y.d;
    return z;
  }
  friend Dual operator*(const Dual& x, const Dual& y) {
    Dual z(x.a * y.a, x.a * y.b + x.b * y.a, x.a * y.c + x.c * y.a);
    z.d = x.a * y.d + x.b * y.c + x.c * y.b + x.d * y.a;
    return z;
  }
  Dual operator-() const { return *this * Dual(-1); }
  friend Dual operator-(const Dual& x, const Dual& y) { return x + -y; }
  friend Dual operator/(const Dual& x, const Dual& y) {
    return x * y.through(1 / y.a, -1 / (y.a * y.a), 2 / (y.a * y.a * y.a));
  }
  friend bool operator<(const Dual& x, const Dual& y) { return x.a < y.a; }
  friend bool operator>(const Dual& x, const Dual& y) { return x.a > y.a; }
};
inline Dual exp(const Dual& x) { return x.through(std::exp(x.a), std::exp(x.a), std::exp(x.a)); }
inline Dual log(const Dual& x) { return x.through(std::log(x.a), 1 / x.a, -1 / (x.a * x.a)); }
inline Dual sqrt(const Dual& x) {
  const real r = std::sqrt(x.a);
  return x.through(r, 1 / (2 * r), -1 / (4 * r * r * r));
}
inline Dual expm1(const Dual& x) { return x.through(std::expm1(x.a), std::exp(x.a), std::exp(x.a)); }

template <class R>
using Lists = std::vector<std::vector<R>>;

/// A function of tensors of one floating dtype, as the library has it and as a reference: a generic lambda from lists
/// of numbers (real or Dual) to the list of the result's.
struct Arguments {
  std::vector<Shape> shapes;
  Lists<real> values;
  std::vector<size_t> by = {};  ///< the arguments it is differentiated by; all if empty
};

/// Holds the value of `call`, its gradients and the gradients of those to `reference`. Each within `eps` of the dtype's
/// epsilon times the largest of the reference's magnitudes there; a gradient within 4 times that, and one of the second
/// order, whose terms are as large as slopes by arguments and may cancel, within 16 times.
template <class Reference>
void hold(const std::string& name, DType dtype, const std::function<Tensor(const Tensors&)>& call,
          const Reference& reference, Arguments args, real eps = 8) {
  Tensors in;
  for (size_t k = 0; k < args.shapes.size(); ++k) {
    in.push_back(make(dtype, args.shapes[k], args.values[k]));
    args.values[k] = values_of(in.back());
  }
  if (args.by.empty())
    for (size_t k = 0; k < in.size(); ++k) args.by.push_back(k);
  const auto weight = [](size_t i, size_t of) {
    return real(0.75) + real(0.125) * static_cast<real>((i * 5 + of * 3) % 7);
  };
  const auto largest = [](const Reals& v) {
    real m = 0;
    for (const real x : v)
      if (std::isfinite(x)) m = std::max(m, std::fabs(x));
    return m;
  };

  const Reals y = reference(args.values);
  Reals w;
  for (size_t i = 0; i < y.size(); ++i) w.push_back(weight(i, 11));
  Lists<real> v;
  for (size_t k = 0; k < in.size(); ++k) {
    v.emplace_back();
    for (size_t i = 0; i < args.values[k].size(); ++i) v.back().push_back(weight(i, k));
  }

  const auto program = [&](const Tensors& xs) -> Tensors {
    tf::GradientTape tape({.persistent = true});
    std::vector<tf::Differentiable> by;
    for (const size_t k : args.by) tape.watch(xs[k]), by.emplace_back(xs[k]);
    const Tensor result = call(xs);
    Tensors all{result};
    const Tensor flat = tf::sum(tf::reshape(result, {-1}) * make(dtype, w));
    const Tensors first = tape.gradient(flat, by);
    Tensor slope = tf::zeros({}, dtype);
    for (size_t n = 0; n < first.size(); ++n)
      if (first[n].defined()) slope = slope + tf::sum(tf::reshape(first[n], {-1}) * make(dtype, v[args.by[n]]));
    const Tensors second = tape.gradient(slope, by);
    for (const Tensors& some : {first, second})
      for (size_t n = 0; n < some.size(); ++n)
        all.push_back(some[n].defined() ? some[n] : tf::zeros_like(xs[args.by[n]]));
    return all;
  };
  const Tensors got = everyway(program, in);
  INFO(name << " of " << dtype);
  CHECK(off_list(tf::reshape(got[0], {-1}), dtype, y, {.size = eps * largest(y), .zero_sign = false}) == "");

  real least = kInf;  // of the sizes of the arguments
  for (const size_t k : args.by)
    if (const real l = largest(args.values[k]); l > 0) least = std::min(least, l);

  // The derivatives along each element of each argument.
  for (size_t n = 0; n < args.by.size(); ++n) {
    const size_t k = args.by[n];
    Reals first, second;
    for (size_t e = 0; e < args.values[k].size(); ++e) {
      Lists<Dual> at;
      for (size_t j = 0; j < args.values.size(); ++j) {
        at.emplace_back();
        const bool moves = std::find(args.by.begin(), args.by.end(), j) != args.by.end();
        for (size_t i = 0; i < args.values[j].size(); ++i)
          at.back().emplace_back(args.values[j][i], real(j == k && i == e), moves ? v[j][i] : 0);
      }
      const std::vector<Dual> ys = reference(at);
      Dual total;
      for (size_t i = 0; i < ys.size(); ++i) total = total + ys[i] * Dual(w[i]);
      first.push_back(total.b), second.push_back(total.d);
    }
    INFO("by argument " << k);
    CHECK(off_list(tf::reshape(got[1 + n], {-1}), dtype, first,
                   {.size = eps * 4 * largest(first), .zero_sign = false}) == "");
    INFO("of the second order");
    CHECK(off_list(tf::reshape(got[1 + args.by.size() + n], {-1}), dtype, second,
                   {.size = eps * 16 * std::max(largest(second), largest(first) / least), .zero_sign = false}) == "");
  }
}

}  // namespace oracle
