// Elements moved to another device.
#pragma once

#include <twofold/lib/op/opdef.h>

namespace twofold {

/// Where Transfer takes its input: Device::index.
struct TransferAttrs {
  int64_t device = 0;
  TWOFOLD_FIELDS(device)
};
extern OpDef transfer_op;  ///< output: input 0's elements, on another device

}  // namespace twofold
