// Gradients of control flow held to central differences, to second order.
#pragma once

#include <twofold/twofold.h>

#include <cmath>
#include <functional>
#include <vector>

#include "both_modes.h"

namespace testing {

/// Of a vector of three and a variable like it.
using Function = std::function<twofold::Tensor(const twofold::Tensor& x, const twofold::Variable& w)>;

inline const std::vector<double> kX{1.5, 0.25, -0.75}, kW{0.3, -0.7, 1.1};

inline twofold::Tensor zero_if_none(const twofold::Tensor& t, const twofold::Tensor& like) {
  return t.defined() ? t : twofold::zeros_like(like);
}

// The projection by which first gradients become one number, so that they can be differentiated in turn.
inline twofold::Tensor projected(const twofold::Tensor& dx, const twofold::Tensor& dw) {
  return twofold::sum(dx * twofold::constant(std::vector{0.9, -0.4, 0.6})) +
         twofold::sum(dw * dw * twofold::constant(std::vector{0.2, 0.7, -0.3}));
}

// f, df/dx, df/dw; with `second`, the gradients of their projection too.
inline std::vector<twofold::Tensor> derivatives(const Function& f, bool second) {
  const twofold::Tensor x = twofold::constant(kX);
  const twofold::Variable w(kW);
  twofold::GradientTape outer;
  twofold::GradientTape inner;
  outer.watch(x);
  inner.watch(x);
  const twofold::Tensor y = f(x, w);
  const auto d = inner.gradient(y, {x, w});
  std::vector<twofold::Tensor> all{y, zero_if_none(d[0], x), zero_if_none(d[1], x)};
  if (!second) return all;
  const auto dd = outer.gradient(projected(all[1], all[2]), {x, w});
  all.push_back(zero_if_none(dd[0], x));
  all.push_back(zero_if_none(dd[1], x));
  return all;
}

// The same by central differences of `value` at kX (or kW) with one coordinate moved.
inline std::vector<double> differences(
    const std::function<double(const std::vector<double>&, const std::vector<double>&)>& value, bool by_x) {
  constexpr double h = 1e-5;
  std::vector<double> slopes;
  for (size_t i = 0; i < kX.size(); ++i) {
    std::vector<double> up = by_x ? kX : kW, down = up;
    up[i] += h;
    down[i] -= h;
    slopes.push_back(((by_x ? value(up, kW) : value(kX, up)) - (by_x ? value(down, kW) : value(kX, down))) / (2 * h));
  }
  return slopes;
}

inline void check_near(const std::vector<double>& exact, const std::vector<double>& approximate) {
  REQUIRE(exact.size() == approximate.size());
  for (size_t i = 0; i < exact.size(); ++i) {
    INFO("element " << i << ": " << exact[i] << " against differences " << approximate[i]);
    CHECK(std::abs(exact[i] - approximate[i]) <= 2e-8 * (1 + std::abs(exact[i])));
  }
}

// Equal to the bit in both modes, and right: first and second derivatives of `f`.
inline void check_gradients(const Function& f) {
  const auto d = in_both_modes([&] { return derivatives(f, true); });
  const auto value = [&](const std::vector<double>& x, const std::vector<double>& w) {
    return twofold::eagerly([&] { return f(twofold::tensor(x), twofold::Variable(w)).item<double>(); });
  };
  {
    INFO("first derivatives");
    check_near(doubles(d[1]), differences(value, true));
    check_near(doubles(d[2]), differences(value, false));
  }
  const auto slope = [&](const std::vector<double>& at_x, const std::vector<double>& at_w) {
    const twofold::EagerMode eager;
    const twofold::Tensor x = twofold::tensor(at_x);
    const twofold::Variable w(at_w);
    twofold::GradientTape tape;
    tape.watch(x);
    const auto first = tape.gradient(f(x, w), {x, w});
    return projected(zero_if_none(first[0], x), zero_if_none(first[1], x)).item<double>();
  };
  check_near(doubles(d[3]), differences(slope, true));
  check_near(doubles(d[4]), differences(slope, false));
}

}  // namespace testing
