// How an input that is broadcast reads in the order of the output: shared by the pointwise kernel and the fused one.
#pragma once

#include <cstring>

#include <twofold/lib/core/shape.h>

namespace twofold {

/// Elements that one call of a tile function takes when operands have to be gathered, and that one parallel chunk has.
/// Both are fixed by the problem alone, though no result could depend on them.
inline constexpr int64_t kGatherTile = 1024;
inline constexpr int64_t kPointwiseChunk = 32768;

/// An input's axes in the output's order, innermost first, merged as far as may be: they alternate between axes along
/// which the input advances and axes along which it is broadcast (stride 0).
class View {
 public:
  View() = default;
  /// `in` broadcasts to `out`; both known in full.
  View(const Shape& in, const Shape& out) {
    int64_t stride = 1;
    for (int k = out.rank() - 1, j = in.rank() - 1; k >= 0; --k, --j) {
      const int64_t extent = out[k], own = j >= 0 ? in[j] : 1;
      if (extent == 1) continue;
      const int64_t step = own == 1 ? 0 : stride;
      stride *= own;
      if (rank_ > 0 && (strides_[rank_ - 1] == 0) == (step == 0)) {
        extents_[rank_ - 1] *= extent;
      } else {
        extents_[rank_] = extent, strides_[rank_] = step, ++rank_;
      }
    }
  }

  /// True if the elements stand in the output's order.
  bool flat() const { return rank_ == 0 || (rank_ == 1 && strides_[0] != 0); }
  /// True if one element is used for all.
  bool scalar() const { return rank_ == 1 && strides_[0] == 0; }
  /// Elements of the output along which the input either advances steadily or stays.
  int64_t run() const { return extents_[0]; }

  /// Where elements start..start+n-1 of the output find theirs: in `data` itself where that can be (`*one` is then true
  /// if it is one element for all), else copied to `room`.
  const void* read(const void* data, size_t item, int64_t start, int64_t n, void* room, bool* one) const {
    *one = false;
    const char* from = static_cast<const char*>(data);
    if (flat()) return from + start * static_cast<int64_t>(item);
    if (scalar()) return *one = true, data;
    if (start % extents_[0] + n <= extents_[0]) {
      *one = strides_[0] == 0;
      return from + offset(start) * static_cast<int64_t>(item);
    }
    if (item == 1)
      gather<uint8_t>(from, start, n, room);
    else if (item == 4)
      gather<uint32_t>(from, start, n, room);
    else
      gather<uint64_t>(from, start, n, room);
    return room;
  }

 private:
  int64_t offset(int64_t index) const {
    int64_t sum = 0;
    for (int k = 0; k < rank_; ++k) {
      sum += index % extents_[k] * strides_[k];
      index /= extents_[k];
    }
    return sum;
  }

  template <class T>
  void gather(const char* data, int64_t start, int64_t n, void* room) const {
    int64_t at[kMaxRank], from = 0;  // the position along each axis, and the element it means
    for (int k = 0; k < rank_; ++k) {
      at[k] = start % extents_[k];
      start /= extents_[k];
      from += at[k] * strides_[k];
    }
    char* to = static_cast<char*>(room);
    if (rank_ == 2 && strides_[1] == 0) {  // one row over and over: write it once, then double what is there
      const int64_t row = extents_[0] < n ? extents_[0] : n;
      for (int64_t i = 0, j = at[0]; i < row; ++i) {
        std::memcpy(to + i * sizeof(T), data + j * sizeof(T), sizeof(T));
        if (++j == extents_[0]) j = 0;
      }
      for (int64_t done = row; done < n;) {
        const int64_t more = done < n - done ? done : n - done;
        std::memcpy(to + done * sizeof(T), to, static_cast<size_t>(more) * sizeof(T));
        done += more;
      }
      return;
    }
    while (n > 0) {
      const int64_t left = extents_[0] - at[0], m = n < left ? n : left;
      const char* source = data + from * static_cast<int64_t>(sizeof(T));
      if (strides_[0] != 0) {
        for (int64_t i = 0; i < m; ++i) std::memcpy(to + i * sizeof(T), source + i * sizeof(T), sizeof(T));
      } else {
        T value;
        std::memcpy(&value, source, sizeof(T));
        for (int64_t i = 0; i < m; ++i) std::memcpy(to + i * sizeof(T), &value, sizeof(T));
      }
      to += m * sizeof(T), n -= m;
      // To the start of the next run.
      from -= at[0] * strides_[0], at[0] = 0;
      for (int k = 1; k < rank_; ++k) {
        from += strides_[k];
        if (++at[k] < extents_[k]) break;
        from -= extents_[k] * strides_[k], at[k] = 0;
      }
    }
  }

  int64_t extents_[kMaxRank]{}, strides_[kMaxRank]{};
  int rank_ = 0;
};

}  // namespace twofold
