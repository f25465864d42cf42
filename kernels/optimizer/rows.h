// SGD of a table of which a step has read only some rows: what its kernels share.
#pragma once

#include <cmath>

#include <twofold/kernels/host_device.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

struct RowsUpdateParams {
  int64_t extent = 1;  ///< rows of the parameter
  int64_t inner = 1;   ///< elements of a row
  int64_t count = 1;   ///< indices
  bool wide = false;   ///< indices are int64

  explicit RowsUpdateParams(const Signature& s)
      : extent(s.inputs[0].shape[0]), count(s.inputs[2].shape.num_elements()), wide(s.inputs[2].dtype == int64) {
    for (int i = 1; i < s.inputs[0].shape.rank(); ++i) inner *= s.inputs[0].shape[i];
  }
};

/// The new value of an element with gradient `g`, as SGDRule computes it. A gradient of 0 leaves it as it is if the
/// rate is finite.
template <class T>
TWOFOLD_DEVICE T sgd_step(T p, T g, T lr) {
  return p - g * lr;
}

}  // namespace twofold
