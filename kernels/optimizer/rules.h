// The optimisers' arithmetic for one element, and the operands of their kernels. Freestanding, so that kernels of any
// device can compile this text.
#pragma once

#include <cmath>

#include <twofold/kernels/host_device.h>
#include <twofold/kernels/optimizer/optimizer.h>

namespace twofold {

// A rule says how many tensors like the parameter the state has, `num_state()`, and whether a count of updates follows
// them, `has_count()`. `coefficients(lr, t, c)` is what update number t = 1, 2, ... has for all elements; without a
// count t is 0. `step(p, g, s, c)` is the new parameter from the old one and the gradient, with the state in s, which
// it changes.

template <class T>
struct SGDRule {
  using Attrs = SGDUpdateAttrs;
  static constexpr int kMaxState = 1, kCoefficients = 1;
  T momentum, weight_decay;
  bool nesterov;

  explicit SGDRule(const Attrs& a)
      : momentum(static_cast<T>(a.momentum)), weight_decay(static_cast<T>(a.weight_decay)), nesterov(a.nesterov) {}
  static int num_state(const Attrs& a) { return a.momentum != 0; }
  static bool has_count(const Attrs&) { return false; }

  TWOFOLD_DEVICE void coefficients(double lr, int64_t, T* c) const { c[0] = static_cast<T>(lr); }

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
  static constexpr int kMaxState = 2, kCoefficients = 3;
  Attrs attrs;
  T beta1, rest1, beta2, rest2, eps, weight_decay;

  explicit AdamRule(const Attrs& a)
      : attrs(a),
        beta1(static_cast<T>(a.beta1)),
        rest1(static_cast<T>(1 - a.beta1)),
        beta2(static_cast<T>(a.beta2)),
        rest2(static_cast<T>(1 - a.beta2)),
        eps(static_cast<T>(a.eps)),
        weight_decay(static_cast<T>(a.weight_decay)) {}
  static int num_state(const Attrs&) { return 2; }
  static bool has_count(const Attrs&) { return true; }

  /// The step's size, the correction of sqrt(v), and what decoupled decay leaves of the parameter.
  TWOFOLD_DEVICE void coefficients(double lr, int64_t t, T* c) const {
    const auto power = static_cast<double>(t);
    c[0] = static_cast<T>(lr / (1 - std::pow(attrs.beta1, power)));
    c[1] = static_cast<T>(std::sqrt(1 - std::pow(attrs.beta2, power)));
    c[2] = static_cast<T>(1 - lr * attrs.weight_decay);
  }

  TWOFOLD_DEVICE T step(T p, T g, T* s, const T* c) const {
    if (attrs.decoupled)
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
  static constexpr int kMaxState = 3, kCoefficients = 1;
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
  static bool has_count(const Attrs&) { return false; }

  TWOFOLD_DEVICE void coefficients(double lr, int64_t, T* c) const { c[0] = static_cast<T>(lr); }

  TWOFOLD_DEVICE T step(T p, T g, T* s, const T* c) const {
    if (weight_decay != 0) g = g + p * weight_decay;
    s[0] = s[0] * alpha + g * g * rest;
    T square = s[0];
    if (centered) {
      s[1] = s[1] * alpha + g * rest;
      square = square - s[1] * s[1];
      if (square < 0) square = 0;  // rounding, where gradients are nearly constant
    }
    T step = g / (std::sqrt(square) + eps);
    if (momentum != 0) {
      // By constant indices, so that compilers keep the state in registers.
      step = (centered ? s[2] : s[1]) * momentum + step;
      if (centered)
        s[2] = step;
      else
        s[1] = step;
    }
    return p - step * c[0];
  }
};

template <class T>
struct AdagradRule {
  using Attrs = AdagradUpdateAttrs;
  static constexpr int kMaxState = 1, kCoefficients = 1;
  double lr_decay;
  T weight_decay, eps;

  explicit AdagradRule(const Attrs& a)
      : lr_decay(a.lr_decay), weight_decay(static_cast<T>(a.weight_decay)), eps(static_cast<T>(a.eps)) {}
  static int num_state(const Attrs&) { return 1; }
  static bool has_count(const Attrs& a) { return a.lr_decay != 0; }

  TWOFOLD_DEVICE void coefficients(double lr, int64_t t, T* c) const {
    c[0] = static_cast<T>(lr_decay != 0 ? lr / ((static_cast<double>(t) - 1) * lr_decay + 1) : lr);
  }

  TWOFOLD_DEVICE T step(T p, T g, T* s, const T* c) const {
    if (weight_decay != 0) g = g + p * weight_decay;
    s[0] = s[0] + g * g;
    return p - c[0] * (g / (std::sqrt(s[0]) + eps));
  }
};

template <class T, template <class> class Rule>
struct UpdateParams {
  Rule<T> rule;
  int num_state;
  bool has_count;
  int64_t size;

  UpdateParams(const typename Rule<T>::Attrs& a, int64_t n)
      : rule(a), num_state(Rule<T>::num_state(a)), has_count(Rule<T>::has_count(a)), size(n) {}
};

/// A kernel's arguments. New values may lie over the old ones, but for the count's. Those that are not there are null.
template <class T, template <class> class Rule>
struct UpdateOperands {
  static constexpr int kMaxState = Rule<T>::kMaxState;
  const T *p, *g, *state[kMaxState] = {};
  const int64_t* count = nullptr;
  const double* lr;
  T *new_p, *new_state[kMaxState] = {};
  int64_t* new_count = nullptr;

  UpdateOperands(const UpdateParams<T, Rule>& params, void* const* args) {
    p = static_cast<const T*>(*args++), g = static_cast<const T*>(*args++);
    for (int k = 0; k < params.num_state; ++k) state[k] = static_cast<const T*>(*args++);
    if (params.has_count) count = static_cast<const int64_t*>(*args++);
    lr = static_cast<const double*>(*args++);
    new_p = static_cast<T*>(*args++);
    for (int k = 0; k < params.num_state; ++k) new_state[k] = static_cast<T*>(*args++);
    if (params.has_count) new_count = static_cast<int64_t*>(*args++);
  }

  /// The number of this update.
  TWOFOLD_DEVICE int64_t next_count() const {
    return count ? static_cast<int64_t>(static_cast<uint64_t>(*count) + 1) : 0;
  }
};

}  // namespace twofold
