// The order of a shuffled epoch. Not installed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace twofold::io {

/// A permutation of 0 ... n - 1, each of the n! equally likely, that depends on nothing but n, seed and epoch. Source:
/// Knuth, The Art of Computer Programming 2, 3.4.2, Algorithm P: for i from n - 1 down to 1, element i changes places
/// with element j, uniform on 0 ... i. Each j comes from the next words w of 64 bits by Lemire, "Fast Random Integer
/// Generation in an Interval" (2019): the upper half of w (i + 1), unless the lower half is below 2^64 mod (i + 1),
/// which takes another w. Words are the halves of `random_block(seed, epoch, 0)`, `random_block(seed, epoch, 1)`, ...
std::vector<int64_t> permutation(int64_t n, uint64_t seed, int64_t epoch);

}  // namespace twofold::io
