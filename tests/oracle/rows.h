// Rows of numbers that reductions and scans are tried with.
#pragma once

#include <string>
#include <type_traits>

#include "dual.h"

namespace oracle {

/// Rows of one length that hold what a reduction may stumble over.
template <class T>
std::vector<Reals> rows(size_t n) {
  using L = std::numeric_limits<T>;
  const real big = L::max(), small = L::min(), least = L::denorm_min();
  std::vector<Reals> all = {{0, -0.0L, 0},
                            {-0.0L, -0.0L, -0.0L},
                            {1, 2, 3},
                            {-1, -1, -3},
                            {kInf, 1, 2},
                            {-kInf, 1, 2},
                            {kInf, -kInf, 0},
                            {kNaN, 1, kInf},
                            {1, kNaN, -kInf},
                            {big, 0, 0},
                            {-big, 0, 0},
                            {big, -big, 0},
                            {least, least, -least},
                            {small, -least, 0},
                            {1, 1, 1},
                            {-kInf, -kInf, -kInf},
                            {kInf, kInf, 1},
                            {5, 5, 2},
                            {-7, 100, 1e-8L}};
  for (Reals& r : all) {
    for (real& x : r) x = static_cast<T>(x);
    r.resize(n, r.back());
  }
  return all;
}
inline Reals flat(const std::vector<Reals>& rows) {
  Reals all;
  for (const Reals& r : rows) all.insert(all.end(), r.begin(), r.end());
  return all;
}

/// Holds `call` to the reference, through dual numbers, at scales that the dtype holds.
template <class Reference>
void derivatives(const std::string& name, const std::function<Tensor(const Tensor&)>& call, const Reference& reference,
                 const std::vector<double>& scales = {1}, real eps = 8) {
  for_floating([&](auto, DType dtype) {
    for (const double scale : scales) {
      const Reals x = {0.5L, -1.25L, 2, 0.75L, -0.5L, 1.5L, 3, 1.125L, -2.5L, 0.25L, -0.875L, 1.75L};
      Reals scaled;
      for (const real v : x) scaled.push_back(v * static_cast<real>(scale));
      hold(
          name + " at " + std::to_string(scale), dtype, [&](const Tensors& in) { return call(in[0]); },
          [&](const auto& in) { return reference(in[0]); }, {{{3, 4}}, {scaled}}, eps);
    }
  });
}

/// Calls f with each row of 4.
inline constexpr auto by_rows = [](const auto& f) {
  return [f](const auto& x) {
    using R = typename std::remove_cvref_t<decltype(x)>::value_type;
    std::vector<R> y;
    for (size_t i = 0; i < x.size(); i += 4)
      for (const R& v : f(std::vector<R>(x.begin() + static_cast<std::ptrdiff_t>(i),
                                         x.begin() + static_cast<std::ptrdiff_t>(i + 4))))
        y.push_back(v);
    return y;
  };
};

}  // namespace oracle
