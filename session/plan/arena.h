// Laying values out in one block of memory, so that those that live at different times share.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

namespace twofold {

/// Offsets are multiples of 64, sizes are rounded up likewise. Values of up to 16 bytes lie four to a block of 64, so
/// that a graph of scalars walks through a quarter of the memory.
class Arena {
 public:
  /// The smallest free piece that is large enough, else new room at the end.
  size_t take(size_t bytes) {
    const size_t size = rounded(bytes);
    if (size == kSmall && !free_.contains(kSmall)) {
      const size_t block = take(kBlock);
      free_[kSmall] = {block + 3 * kSmall, block + 2 * kSmall, block + kSmall};
      return block;
    }
    const auto it = free_.lower_bound(size);
    if (it == free_.end()) {
      const size_t offset = top_;
      top_ += size;
      return offset;
    }
    const size_t offset = it->second.back();
    const size_t rest = it->first - size;
    it->second.pop_back();
    if (it->second.empty()) free_.erase(it);
    if (rest) free_[rest].push_back(offset + size);
    return offset;
  }
  /// New room at the end, shared with no value of any time.
  size_t take_apart(size_t bytes) {
    const size_t offset = top_;
    top_ += bytes ? rounded(bytes) : 0;
    return offset;
  }
  void release(size_t offset, size_t bytes) { free_[rounded(bytes)].push_back(offset); }
  size_t top() const { return top_; }

 private:
  static constexpr size_t kSmall = 16, kBlock = 64;
  static size_t rounded(size_t bytes) { return bytes <= kSmall ? kSmall : (bytes + kBlock - 1) / kBlock * kBlock; }
  std::map<size_t, std::vector<size_t>> free_;  // by size
  size_t top_ = 0;
};

}  // namespace twofold
