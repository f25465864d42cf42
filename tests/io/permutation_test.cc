// The order of shuffled epochs: as documented, and fair.
#include <twofold/kernels/random/philox.h>
#include <twofold/lib/io/permutation.h>

#include <utility>
#include <vector>

#include "../catch.h"

namespace tf = twofold;
namespace io = twofold::io;

TEST_CASE("A permutation is what its comment says") {
  CHECK(io::permutation(0, 1, 0).empty());
  CHECK(io::permutation(1, 1, 0) == std::vector<int64_t>{0});
  // From the definition, with the exact product by halves.
  const auto reference = [](uint64_t n, uint64_t seed, uint64_t epoch) {
    std::vector<int64_t> order(n);
    for (uint64_t i = 0; i < n; ++i) order[i] = static_cast<int64_t>(i);
    uint64_t count = 0;
    const auto word = [&] {
      const auto b = tf::random_block(seed, epoch, count / 2);
      const uint64_t h = count++ % 2;
      return b.word[2 * h] + (static_cast<uint64_t>(b.word[2 * h + 1]) << 32);
    };
    for (uint64_t i = n - 1; i >= 1; --i) {
      const uint64_t w = word();  // no word is rejected here: the chance is below 2^-50
      const uint64_t low = (w & 0xffffffff) * (i + 1), high = (w >> 32) * (i + 1) + (low >> 32);
      std::swap(order[i], order[high >> 32]);
    }
    return order;
  };
  CHECK(io::permutation(1000, 7, 3) == reference(1000, 7, 3));
  CHECK(io::permutation(10, ~uint64_t{0}, 0) == reference(10, ~uint64_t{0}, 0));
  CHECK(io::permutation(100, 1, 0) != io::permutation(100, 1, 1));
  CHECK(io::permutation(100, 1, 0) != io::permutation(100, 2, 0));
  // Kept: it is the same on every platform, and in the next version.
  const std::vector<int64_t> kept = {0, 9, 1, 7, 5, 6, 8, 2, 3, 4};
  CHECK(io::permutation(10, 42, 0) == kept);
}

TEST_CASE("Every permutation is equally likely") {
  std::vector<int> counts(24);
  for (int epoch = 0; epoch < 24000; ++epoch) {
    const auto p = io::permutation(4, 5, epoch);
    int rank = 0;
    for (size_t i = 0; i < 4; ++i) {
      int smaller = 0;
      for (size_t j = i + 1; j < 4; ++j) smaller += p[j] < p[i];
      rank = rank * static_cast<int>(4 - i) + smaller;
    }
    ++counts[static_cast<size_t>(rank)];
  }
  double chi2 = 0;  // 23 degrees of freedom: above 50 with a chance of 0.001
  for (const int c : counts) chi2 += (c - 1000.) * (c - 1000.) / 1000.;
  CHECK(chi2 < 50);
}
