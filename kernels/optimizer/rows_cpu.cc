// CPU kernel of SGDRowsUpdate. The positions of the indices are sorted by row, each row's in their order; which rows
// are summed by which task changes no sum.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include <twofold/kernels/layout/walk.h>
#include <twofold/kernels/optimizer/rows.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

Prepared prepare_sgd_rows(const Signature& s);

namespace {

constexpr int64_t kTaskElements = 16 * 1024;  ///< about how many elements of `rows` one task reads
constexpr int64_t kColumns = 256;             ///< of a row that are summed at a time
constexpr int64_t kShortSum = 64;             ///< as ScatterAdd: longer sums of float32 are made in float64

struct Position {
  int64_t row, at;
};

/// Whether positions are sorted by counting, which looks at every row of the table, and not by comparisons.
bool counts(const RowsUpdateParams& p) { return p.count >= p.extent / 16; }
size_t workspace_of(const RowsUpdateParams& p) {
  return static_cast<size_t>(p.count) * sizeof(Position) +
         (counts(p) ? static_cast<size_t>(p.extent + 1) * sizeof(int64_t) : 0);
}

template <class I>
const Position* sorted(const RowsUpdateParams& p, const I* indices, void* workspace) {
  auto* positions = static_cast<Position*>(workspace);
  if (!counts(p)) {
    for (int64_t i = 0; i < p.count; ++i) positions[i] = {indices[i], i};
    std::sort(positions, positions + p.count,
              [](const Position& a, const Position& b) { return a.row != b.row ? a.row < b.row : a.at < b.at; });
    return positions;
  }
  auto* next = reinterpret_cast<int64_t*>(positions + p.count);  // where a row's next position goes
  std::fill_n(next, p.extent + 1, 0);
  for (int64_t i = 0; i < p.count; ++i) ++next[static_cast<int64_t>(indices[i]) + 1];
  for (int64_t r = 0; r < p.extent; ++r) next[r + 1] += next[r];
  for (int64_t i = 0; i < p.count; ++i) positions[next[indices[i]]++] = {indices[i], i};
  return positions;
}

/// The sum of `width` columns of the `rows` at positions [first, last), which go to one row of the parameter.
template <class T>
void sum_rows(const Position* first, const Position* last, const T* rows, int64_t inner, int64_t width, T* sum) {
  const auto add_to = [&](auto* to) {
    std::fill_n(to, width, 0);
    for (const Position* i = first; i != last; ++i) {
      const T* from = rows + i->at * inner;
      for (int64_t k = 0; k < width; ++k) to[k] += from[k];
    }
  };
  if (std::is_same_v<T, float> && last - first > kShortSum) {
    double exact[kColumns];
    add_to(exact);
    for (int64_t k = 0; k < width; ++k) sum[k] = static_cast<T>(exact[k]);
  } else {
    add_to(sum);
  }
}

template <class T, class I>
void update(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const RowsUpdateParams*>(params);
  const auto* old = static_cast<const T*>(args[0]);
  const auto* rows = static_cast<const T*>(args[1]);
  const auto* indices = static_cast<const I*>(args[2]);
  const auto lr = static_cast<T>(*static_cast<const double*>(args[3]));
  auto* to = static_cast<T*>(args[4]);
  const Position* const positions = sorted(p, indices, ctx.workspace);
  if (!std::isfinite(lr)) {  // 0 * lr is NaN: every element changes
    const Position* next = positions;
    for (int64_t r = 0; r < p.extent; ++r) {
      while (next != positions + p.count && next->row < r) ++next;
      if (next != positions + p.count && next->row == r) continue;
      for (int64_t k = r * p.inner; k < (r + 1) * p.inner; ++k) to[k] = sgd_step(old[k], T(0), lr);
    }
  } else if (to != old) {
    const int64_t n = p.extent * p.inner;
    ctx.parallel_for(ceil_div(n, kTaskElements), [&](int64_t task) {
      const int64_t first = task * kTaskElements;
      std::copy_n(old + first, std::min(kTaskElements, n - first), to + first);
    });
  }
  const int64_t group = std::max<int64_t>(1, kTaskElements / (p.inner + 1));
  ctx.parallel_for(ceil_div(p.count, group), [&](int64_t task) {
    const Position *end = positions + p.count, *begin = positions + task * group;
    const Position* behind = std::min(end, begin + group);
    if (task > 0)  // the row that began before is another task's
      while (begin != behind && begin->row == begin[-1].row) ++begin;
    T sum[kColumns];
    while (begin < behind) {
      const int64_t row = begin->row;
      const Position* last = begin + 1;
      while (last != end && last->row == row) ++last;
      for (int64_t c = 0; c < p.inner; c += kColumns) {
        const int64_t width = std::min(kColumns, p.inner - c), at = row * p.inner + c;
        sum_rows(begin, last, rows + c, p.inner, width, sum);
        for (int64_t k = 0; k < width; ++k) to[at + k] = sgd_step(old[at + k], sum[k], lr);
      }
      begin = last;
    }
  });
}

template <class T>
Prepared prepare(const Signature& s) {
  const RowsUpdateParams p(s);
  return {p.wide ? update<T, int64_t> : update<T, int32_t>, p, workspace_of(p)};
}

}  // namespace

Prepared prepare_sgd_rows(const Signature& s) {
  if (s.inputs[0].dtype == float32) return prepare<float>(s);
  if (s.inputs[0].dtype == float64) return prepare<double>(s);
  return {};
}

}  // namespace twofold
