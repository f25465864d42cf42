// The arithmetic of running statistics. Freestanding, so that kernels of any device can compile this text.
#pragma once

#include <algorithm>

#include <twofold/kernels/batch_norm/batch_norm.h>
#include <twofold/kernels/host_device.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

template <class T>
struct RunningUpdate {
  int64_t channels;
  T rest, momentum;  ///< the shares of what was there and of the batch
  T unbiased;        ///< by which a biased variance is multiplied

  explicit RunningUpdate(const Signature& s) : channels(s.inputs[0].shape[0]) {
    const auto& attrs = s.attrs_as<RunningStatisticsAttrs>();
    const auto n = static_cast<double>(BatchNormLayout(s.inputs[4].shape, attrs.axis).count());
    rest = static_cast<T>(1 - attrs.momentum), momentum = static_cast<T>(attrs.momentum);
    unbiased = static_cast<T>(n / std::max(n - 1, 1.0));
  }
  TWOFOLD_DEVICE T mean(T running, T batch) const { return running * rest + batch * momentum; }
  TWOFOLD_DEVICE T variance(T running, T batch) const { return running * rest + batch * unbiased * momentum; }
};

/// Channel by channel all inputs are read before an output is written: new statistics may lie over the old ones.
template <class T>
struct RunningOperands {
  const T *running_mean, *running_var, *mean, *variance;
  T *new_mean, *new_var;

  explicit RunningOperands(void* const* args)
      : running_mean(static_cast<const T*>(args[0])),
        running_var(static_cast<const T*>(args[1])),
        mean(static_cast<const T*>(args[2])),
        variance(static_cast<const T*>(args[3])),
        new_mean(static_cast<T*>(args[5])),
        new_var(static_cast<T*>(args[6])) {}

  TWOFOLD_DEVICE void advance(const RunningUpdate<T>& update, int64_t channel) const {
    const T m = update.mean(running_mean[channel], mean[channel]);
    const T v = update.variance(running_var[channel], variance[channel]);
    new_mean[channel] = m, new_var[channel] = v;
  }
  TWOFOLD_DEVICE void keep(int64_t channel) const {
    const T m = running_mean[channel], v = running_var[channel];
    new_mean[channel] = m, new_var[channel] = v;
  }
};

}  // namespace twofold
