#include <twofold/lib/io/permutation.h>

#include <cstddef>
#include <numeric>
#include <utility>

#include <twofold/kernels/random/philox.h>

namespace twofold::io {
namespace {

class Words {
 public:
  Words(uint64_t seed, int64_t epoch) : seed_(seed), epoch_(static_cast<uint64_t>(epoch)) {}
  uint64_t next() {
    const uint64_t i = count_++;
    if (i % 2 == 0) block_ = random_block(seed_, epoch_, i / 2);
    const uint32_t* half = block_.word + i % 2 * 2;
    return uint64_t{half[1]} << 32 | half[0];
  }
  /// Uniform on 0 ... n - 1.
  uint64_t below(uint64_t n) {
    __extension__ using Wide = unsigned __int128;
    const uint64_t rejected = (0 - n) % n;  // 2^64 mod n
    Wide product;
    do product = Wide{next()} * n;
    while (static_cast<uint64_t>(product) < rejected);
    return static_cast<uint64_t>(product >> 64);
  }

 private:
  uint64_t seed_, epoch_, count_ = 0;
  PhiloxBlock block_{};
};

}  // namespace

std::vector<int64_t> permutation(int64_t n, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  Words words(seed, epoch);
  for (size_t i = order.size(); i-- > 1;) std::swap(order[i], order[words.below(i + 1)]);
  return order;
}

}  // namespace twofold::io
