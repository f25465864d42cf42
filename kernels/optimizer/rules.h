// The optimisers' arithmetic for one element. Freestanding, so that kernels of any device can compile this text.
#pragma once

#include <cmath>

#include <twofold/kernels/optimizer/optimizer.h>

#ifdef __CUDACC__
#define TWOFOLD_DEVICE __host__ __device__
#else
#define TWOFOLD_DEVICE
#endif

namespace twofold {

// A rule has kMaxState and kScalars, `num_state()`, and `step(p, g, s, c)`: the new parameter from the old one and the
// gradient, with the state in s, which it changes, and the scalars in c.

template <class T>
struct SGDRule {
  using Attrs = SGDUpdateAttrs;
  static constexpr int kMaxState = 1, kScalars = 1;
  T momentum, weight_decay;
  bool nesterov;

  explicit SGDRule(const Attrs& a)
      : momentum(static_cast<T>(a.momentum)), weight_decay(static_cast<T>(a.weight_decay)), nesterov(a.nesterov) {}
  static int num_state(const Attrs& a) { return a.momentum != 0; }

  TWOFOLD_DEVICE T step(T p, T g, T* s, const T* c) const {
    if (weight_decay != 0) g = g + p * weight_decay;
    if (momentum != 0) {
      s[0] = s[0] * momentum + g;
      g = nesterov ? g + s[0] * momentum : s[0];
    }
    return p - g * c[0];
  }
};

template <class T>
struct AdamRule {
  using Attrs = AdamUpdateAttrs;
  static constexpr int kMaxState = 2, kScalars = 3;
  T beta1, rest1, beta2, rest2, eps, weight_decay;
  bool decoupled;

  explicit AdamRule(const Attrs& a)
      : beta1(static_cast<T>(a.beta1)),
        rest1(static_cast<T>(1 - a.beta1)),
        beta2(static_cast<T>(a.beta2)),
        rest2(static_cast<T>(1 - a.beta2)),
        eps(static_cast<T>(a.eps)),
        weight_decay(static_cast<T>(a.weight_decay)),
        decoupled(a.decoupled) {}
  static int num_state(const Attrs&) { return 2; }

  /// c: step_size, correction, shrink.
  TWOFOLD_DEVICE T step(T p, T g, T* s, const T* c) const {
    if (decoupled)
      p = p * c[2];
    else if (weight_decay != 0)
      g = g + p * weight_decay;
    s[0] = s[0] * beta1 + g * rest1;
    s[1] = s[1] * beta2 + g * g * rest2;
    return p - c[0] * (s[0] / (std::sqrt(s[1]) / c[1] + eps));
  }
};

template <class T>
struct RMSPropRule {
  using Attrs = RMSPropUpdateAttrs;
  static constexpr int kMaxState = 3, kScalars = 1;
  T alpha, rest, eps, weight_decay, momentum;
  bool centered;

  explicit RMSPropRule(const Attrs& a)
      : alpha(static_cast<T>(a.alpha)),
        rest(static_cast<T>(1 - a.alpha)),
        eps(static_cast<T>(a.eps)),
        weight_decay(static_cast<T>(a.weight_decay)),
        momentum(static_cast<T>(a.momentum)),
        centered(a.centered) {}
  static int num_state(const Attrs& a) { return 1 + a.centered + (a.momentum != 0); }

  TWOFOLD_DEVICE T step(T p, T g, T* s, const T* c) const {
    if (weight_decay != 0) g = g + p * weight_decay;
    s[0] = s[0] * alpha + g * g * rest;
    T square = s[0];
    if (centered) {
      s[1] = s[1] * alpha + g * rest;
      square = square - s[1] * s[1];
    }
    T step = g / (std::sqrt(square) + eps);
    if (momentum != 0) {
      T& b = s[centered ? 2 : 1];
      step = b = b * momentum + step;
    }
    return p - step * c[0];
  }
};

template <class T>
struct AdagradRule {
  using Attrs = AdagradUpdateAttrs;
  static constexpr int kMaxState = 1, kScalars = 1;
  T weight_decay, eps;

  explicit AdagradRule(const Attrs& a) : weight_decay(static_cast<T>(a.weight_decay)), eps(static_cast<T>(a.eps)) {}
  static int num_state(const Attrs&) { return 1; }

  TWOFOLD_DEVICE T step(T p, T g, T* s, const T* c) const {
    if (weight_decay != 0) g = g + p * weight_decay;
    s[0] = s[0] + g * g;
    return p - c[0] * (g / (std::sqrt(s[0]) + eps));
  }
};

}  // namespace twofold
