// Which launches must come after which, by the memory that they touch.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace twofold {

/// A piece of memory that a launch reads, or also writes.
struct Access {
  const void* at = nullptr;
  size_t bytes = 0;
  bool writes = false;
};

/// Takes launches in an order in which they give the right results, and tells which of them that depends on.
class AccessOrder {
 public:
  /// Adds a launch: the earlier ones, by number, that it must come after because one of the two writes what the other
  /// touches. Descending. Those that another of them comes after, and is not far from, are left out.
  std::vector<uint32_t> add(std::span<const Access> accesses);

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  static constexpr size_t kNear = 256;

  struct Piece {
    uintptr_t end = 0;
    uint32_t writer = kNone;
    std::vector<uint32_t> readers;  // since it was written
  };
  using Pieces = std::map<uintptr_t, Piece>;

  /// Cuts the piece that `at` lies in, if there is one, so that none crosses it.
  void cut(uintptr_t at);
  void read(uintptr_t begin, uintptr_t end);
  void write(uintptr_t begin, uintptr_t end);

  Pieces pieces_;                           // by beginning; disjoint
  std::vector<std::bitset<kNear>> before_;  // by launch: bit n says that it comes after the launch n before it
  std::vector<uint32_t> found_;             // what the launch being added must come after
};

}  // namespace twofold
