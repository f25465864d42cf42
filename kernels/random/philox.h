// Random numbers that depend on nothing but their place. Freestanding: the CPU's and the GPU's kernels compile this
// text.
#pragma once

#include <cstdint>

#include <twofold/kernels/host_device.h>

namespace twofold {

struct PhiloxBlock {
  uint32_t word[4];
};

/// Philox4x32 with 10 rounds: 128 random bits from a counter and a key. Source: Salmon, Moraes, Dror, Shaw, "Parallel
/// Random Numbers: As Easy as 1, 2, 3" (2011); checked against the vectors of the authors' Random123.
TWOFOLD_DEVICE inline PhiloxBlock philox(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * counter.word[0], p1 = uint64_t{0xCD9E8D57} * counter.word[2];
    counter = {{static_cast<uint32_t>(p1 >> 32) ^ counter.word[1] ^ key0, static_cast<uint32_t>(p1),
                static_cast<uint32_t>(p0 >> 32) ^ counter.word[3] ^ key1, static_cast<uint32_t>(p0)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// Block `block` of execution `execution` of the op with `key`.
TWOFOLD_DEVICE inline PhiloxBlock random_block(uint64_t key, uint64_t execution, uint64_t block) {
  return philox({{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), static_cast<uint32_t>(execution),
                  static_cast<uint32_t>(execution >> 32)}},
                static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32));
}

}  // namespace twofold
