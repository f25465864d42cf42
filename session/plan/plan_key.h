// Keys of plans: what makes two runs of a graph share one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <twofold/lib/core/small_vector.h>
#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/value.h>

namespace twofold {

/// A key while it is looked up.
using KeyWords = SmallVector<uint64_t, 24>;

inline uint64_t hash_of(std::span<const uint64_t> words) {
  uint64_t h = words.size();
  for (uint64_t w : words) h = mix(h, w);
  return h;
}

/// A key that is kept.
struct PlanKey {
  explicit PlanKey(std::span<const uint64_t> w) : words(w.begin(), w.end()), hash(hash_of(w)) {}

  std::vector<uint64_t> words;
  uint64_t hash;

  friend bool operator==(const PlanKey& a, const PlanKey& b) { return a.hash == b.hash && a.words == b.words; }
};
struct PlanKeyHash {
  size_t operator()(const PlanKey& k) const { return k.hash; }
};

/// What a plan is made for of a fed value: where it lies, its dtype, its shape.
inline void add_value(KeyWords& words, const Tensor& value) {
  const Shape& s = value.shape();
  words.push_back(static_cast<uint64_t>(value.value()->device().index) << 16 |
                  static_cast<uint64_t>(value.dtype()) << 8 | static_cast<uint64_t>(s.rank()));
  for (int64_t d : s) words.push_back(static_cast<uint64_t>(d));
}

}  // namespace twofold
