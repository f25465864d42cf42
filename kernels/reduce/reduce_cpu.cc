// CPU reductions. Axes merge into groups, kept and reduced by turns, of which the innermost decides the kernel: rows
// (contiguous elements are reduced to one) or columns (elements a stride apart are). Either way blocks of a fixed size
// are reduced in the element type, and their results are joined in index order in a wider one (float64 for floating
// dtypes); which blocks belong to one task follows from the shape alone.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include <twofold/kernels/layout/walk.h>
#include <twofold/kernels/reduce/groups.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/kernels/reduce/reducers_cpu.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

using namespace reducers;

constexpr int64_t kBlock = 1024;          ///< elements of a row reduced in the element type
constexpr int64_t kRowsAtOnce = 8;        ///< rows whose columns are reduced in the element type
constexpr int64_t kColumns = 1024;        ///< columns of one task
constexpr int64_t kTaskElements = 32768;  ///< about how much one task reads
constexpr int64_t kMaxSplits = 256;       ///< of one output's elements among tasks

struct ReduceParams {
  Walk kept, reduced;  ///< groups outside the innermost one
  int64_t run = 1;     ///< extent of the innermost group
  Finish finish;       ///< the divisor of means and squares
  int64_t units = 0;   ///< rows: outputs; columns: tiles of outputs
  int64_t steps = 0;   ///< per unit. rows: blocks; columns: rows
  int64_t splits = 1;  ///< of a unit's steps among tasks
  int64_t group = 1;   ///< units per task where splits == 1
  int output = 1;      ///< place of the output among the arguments
};

/// The tasks of `p`: all splits of a unit, or groups of units.
template <class F>
void for_each_share(const ReduceParams& p, KernelContext& ctx, F&& share) {
  const int64_t steps = ceil_div(p.steps, p.splits);
  if (p.splits > 1) {
    ctx.parallel_for(p.units * p.splits, [&](int64_t task) {
      const int64_t first = std::min(p.steps, task % p.splits * steps);
      share(task / p.splits, task % p.splits, first, std::min(p.steps, first + steps));
    });
  } else {
    ctx.parallel_for(ceil_div(p.units, p.group), [&](int64_t task) {
      for (int64_t u = task * p.group; u < std::min(p.units, (task + 1) * p.group); ++u) share(u, 0, 0, p.steps);
    });
  }
}

template <class R>
void reduce_rows(const void* params, void* const* args, KernelContext& ctx) noexcept {
  using Total = typename R::Total;
  const auto& p = *static_cast<const ReduceParams*>(params);
  const auto* x = static_cast<const typename R::Element*>(args[0]);
  auto* y = static_cast<typename R::Result*>(args[p.output]);
  auto* partial = static_cast<Total*>(ctx.workspace);
  const int64_t blocks = ceil_div(p.run, kBlock);
  for_each_share(p, ctx, [&](int64_t output, int64_t split, int64_t first, int64_t last) {
    Total total = R::kNothing;
    if (first < last) {
      const auto* base = x + Cursor(p.kept, output).offset();
      Cursor row(p.reduced, first / blocks);
      int64_t block = first % blocks;
      for (int64_t step = first; step < last; ++step) {
        const int64_t begin = block * kBlock;
        total = R::join(total, R::block(base + row.offset() + begin, std::min(kBlock, p.run - begin)));
        if (++block == blocks) {
          block = 0;
          row.next();
        }
      }
    }
    if (p.splits > 1)
      partial[output * p.splits + split] = total;
    else
      y[output] = R::result(total, p.finish);
  });
  if (p.splits == 1) return;
  for (int64_t output = 0; output < p.units; ++output) {
    Total total = R::kNothing;
    for (int64_t split = 0; split < p.splits; ++split) total = R::join(total, partial[output * p.splits + split]);
    y[output] = R::result(total, p.finish);
  }
}

/// Joins `width` columns of up to kRowsAtOnce rows to `totals`, each column by itself.
template <class R>
void add_rows(const typename R::Element* const* rows, int64_t n, int64_t width, typename R::Total* totals) {
  using Partial = typename R::Partial;
  using Total = typename R::Total;
  if (n == kRowsAtOnce) {
    Partial partial[kColumns];
    const auto *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3], *r4 = rows[4], *r5 = rows[5], *r6 = rows[6],
               *r7 = rows[7];
    const auto pair = [](auto a, auto b) { return R::pair(static_cast<Partial>(a), static_cast<Partial>(b)); };
    for (int64_t j = 0; j < width; ++j)
      partial[j] = pair(pair(pair(r0[j], r1[j]), pair(r2[j], r3[j])), pair(pair(r4[j], r5[j]), pair(r6[j], r7[j])));
    for (int64_t j = 0; j < width; ++j) totals[j] = R::join(totals[j], static_cast<Total>(partial[j]));
    return;
  }
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < width; ++j) totals[j] = R::join(totals[j], static_cast<Total>(rows[i][j]));
}

/// The rows first..last of a unit into `totals`, one per column.
template <class R>
void add_range(const ReduceParams& p, const typename R::Element* base, int64_t first, int64_t last, int64_t width,
               typename R::Total* totals) {
  const typename R::Element* rows[kRowsAtOnce];
  std::fill_n(totals, width, R::kNothing);
  if (first >= last) return;
  // Where narrow rows lie one behind another, several make one wide row, whose columns are folded at the end.
  const int64_t wide = kColumns / width;
  if (wide > 1 && p.reduced.rank == 1 && p.reduced.stride[0] == width) {
    std::fill_n(totals, width * wide, R::kNothing);
    int n = 0;
    for (; first + wide <= last; first += wide) {
      rows[n++] = base + first * width;
      if (n == kRowsAtOnce) add_rows<R>(rows, n, width * wide, totals), n = 0;
    }
    add_rows<R>(rows, n, width * wide, totals);
    rows[0] = base + first * width;
    if (first < last) add_rows<R>(rows, 1, (last - first) * width, totals);
    for (int64_t i = 1; i < wide; ++i)
      for (int64_t j = 0; j < width; ++j) totals[j] = R::join(totals[j], totals[i * width + j]);
    return;
  }
  Cursor row(p.reduced, first);
  for (int n = 0; first < last; ++first, row.next()) {
    rows[n++] = base + row.offset();
    if (n == kRowsAtOnce || first + 1 == last) add_rows<R>(rows, n, width, totals), n = 0;
  }
}

template <class R>
inline constexpr bool is_squares = false;
template <class T, class R, class S>
inline constexpr bool is_squares<SquaresOf<T, R, S>> = true;

/// add_range, but squares that may need scaling are summed without it first, which as a rule is accurate.
template <class R>
void add_totals(const ReduceParams& p, const typename R::Element* base, int64_t first, int64_t last, int64_t width,
                typename R::Total* totals) {
  if constexpr (is_squares<R>) {
    if constexpr (R::kScaled) {
      using Plain = SquaresOf<double, double, PlainSquares<double>>;
      Plain::Total plain[kColumns];
      add_range<Plain>(p, base, first, last, width, plain);
      const auto safe = [](const auto& total) { return ScaledSquares::is_safe(total.sum); };
      if (std::all_of(plain, plain + width, safe)) {
        for (int64_t j = 0; j < width; ++j) totals[j] = ScaledSquares::of_safe(plain[j].sum);
        return;
      }
    }
  }
  add_range<R>(p, base, first, last, width, totals);
}

template <class R>
void reduce_columns(const void* params, void* const* args, KernelContext& ctx) noexcept {
  using Total = typename R::Total;
  const auto& p = *static_cast<const ReduceParams*>(params);
  const auto* x = static_cast<const typename R::Element*>(args[0]);
  auto* y = static_cast<typename R::Result*>(args[p.output]);
  auto* partial = static_cast<Total*>(ctx.workspace);
  const int64_t tiles = ceil_div(p.run, kColumns);
  const auto width_of = [&](int64_t tile) { return std::min(kColumns, p.run - tile * kColumns); };
  const auto finish = [&](int64_t unit, const Total* totals) {
    const int64_t tile = unit % tiles;
    auto* out = y + unit / tiles * p.run + tile * kColumns;
    for (int64_t j = 0; j < width_of(tile); ++j) out[j] = R::result(totals[j], p.finish);
  };
  for_each_share(p, ctx, [&](int64_t unit, int64_t split, int64_t first, int64_t last) {
    const int64_t tile = unit % tiles, width = width_of(tile);
    Total totals[kColumns];
    const auto* base = first < last ? x + Cursor(p.kept, unit / tiles).offset() + tile * kColumns : nullptr;
    add_totals<R>(p, base, first, last, width, totals);
    if (p.splits > 1)
      std::copy_n(totals, width, partial + (unit * p.splits + split) * kColumns);
    else
      finish(unit, totals);
  });
  if (p.splits == 1) return;
  ctx.parallel_for(p.units, [&](int64_t unit) {
    const int64_t width = width_of(unit % tiles);
    Total totals[kColumns];
    std::fill_n(totals, width, R::kNothing);
    for (int64_t split = 0; split < p.splits; ++split)
      for (int64_t j = 0; j < width; ++j)
        totals[j] = R::join(totals[j], partial[(unit * p.splits + split) * kColumns + j]);
    finish(unit, totals);
  });
}

struct CopyParams {
  int64_t bytes;
  int output;
};

void copy_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const CopyParams*>(params);
  constexpr int64_t kPiece = kTaskElements * 4;
  ctx.parallel_for(ceil_div(p.bytes, kPiece), [&](int64_t i) {
    std::memcpy(static_cast<char*>(args[p.output]) + i * kPiece, static_cast<const char*>(args[0]) + i * kPiece,
                static_cast<size_t>(std::min(kPiece, p.bytes - i * kPiece)));
  });
}

/// `axes`: bit i says that axis i of x is reduced.
template <class R>
Prepared prepare_with(const Signature& s, uint32_t axes, Finish finish = {}) {
  constexpr bool kCopies = !is_squares<R>;  // a single element is its own result
  const int output = static_cast<int>(s.inputs.size());
  reduced::Groups groups(s.inputs[0].shape, axes);
  if (!kCopies && groups.keep_all()) groups.reduce_one();
  if (groups.keep_all()) {
    const int64_t bytes = s.inputs[0].shape.num_elements() * static_cast<int64_t>(sizeof(typename R::Element));
    return {copy_kernel, CopyParams{bytes, output}};
  }

  ReduceParams p;
  p.output = output;
  p.finish = finish;
  for (int i = groups.n; i-- > 1;)
    (groups.of[i].reduced ? p.reduced : p.kept).push(groups.of[i].extent, groups.of[i].stride);
  p.run = groups.of[0].extent;
  const bool rows = groups.of[0].reduced;
  p.units = p.kept.size() * (rows ? 1 : ceil_div(p.run, kColumns));
  p.steps = p.reduced.size() * (rows ? ceil_div(p.run, kBlock) : 1);
  const int64_t elements = p.reduced.size() * (rows ? p.run : std::min(p.run, kColumns));  // of one unit
  if (elements >= 2 * kTaskElements) {
    const int64_t wanted = std::min(kMaxSplits, elements / kTaskElements);
    p.splits = ceil_div(p.steps, ceil_div(p.steps, wanted));
  } else {
    p.group = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, elements));
  }
  const int64_t partials = p.splits > 1 ? p.units * p.splits * (rows ? 1 : kColumns) : 0;
  return {rows ? reduce_rows<R> : reduce_columns<R>, p, static_cast<size_t>(partials) * sizeof(typename R::Total)};
}

template <template <class> class R>
Prepared prepare_numbers(const Signature& s, uint32_t axes) {
  return dispatch(s.inputs[0].dtype, [&]<class T>(T) {
    if constexpr (std::is_same_v<T, bool>)
      return Prepared{};
    else
      return prepare_with<R<T>>(s, axes);
  });
}

Prepared prepare_sum(const Signature& s) { return prepare_numbers<SumOf>(s, reduced::axes_of(s)); }
Prepared prepare_prod(const Signature& s) { return prepare_numbers<ProdOf>(s, reduced::axes_of(s)); }
Prepared prepare_max(const Signature& s) { return prepare_numbers<MaxOf>(s, reduced::axes_of(s)); }
Prepared prepare_min(const Signature& s) { return prepare_numbers<MinOf>(s, reduced::axes_of(s)); }
Prepared prepare_mean(const Signature& s) {
  const Finish finish{.divisor = reduced::count_of(s)};
  if (s.inputs[0].dtype == float32) return prepare_with<MeanOf<float>>(s, reduced::axes_of(s), finish);
  if (s.inputs[0].dtype == float64) return prepare_with<MeanOf<double>>(s, reduced::axes_of(s), finish);
  return {};
}
Prepared prepare_squares(const Signature& s) {
  const uint32_t axes = reduced::axes_of_squares(s);
  const Finish finish = reduced::finish_of_squares(s);
  if (s.inputs[0].dtype == float64) return prepare_with<SquaresOf<double, double>>(s, axes, finish);
  if (s.inputs[0].dtype != float32) return {};
  if (s.outputs[0].dtype == float64) return prepare_with<SquaresOf<float, double>>(s, axes, finish);
  return prepare_with<SquaresOf<float, float>>(s, axes, finish);
}

Prepared prepare_sum_to(const Signature& s) { return prepare_numbers<SumOf>(s, reduced::axes_to_output(s)); }

template <class T>
void count_kernel(const void* params, void* const* args, KernelContext&) noexcept {
  *static_cast<T*>(args[1]) = static_cast<T>(*static_cast<const double*>(params));
}
Prepared prepare_count(const Signature& s) {
  return dispatch(s.inputs[0].dtype, [&]<class T>(T) { return Prepared(count_kernel<T>, reduced::count_of(s)); });
}

}  // namespace

Prepared prepare_argmax(const Signature& s);
Prepared prepare_prod_grad(const Signature& s);

std::span<const KernelEntry> cpu_kernels_reduce();
std::span<const KernelEntry> cpu_kernels_reduce() {
  static constexpr KernelEntry kTable[] = {
      {op_name::Sum, prepare_sum},
      {op_name::Mean, prepare_mean},
      {op_name::Max, prepare_max},
      {op_name::Min, prepare_min},
      {op_name::ArgMax, prepare_argmax},
      {op_name::SumTo, prepare_sum_to},
      {op_name::SumToLike, prepare_sum_to},
      {op_name::ReducedCount, prepare_count},
      {op_name::Prod, prepare_prod},
      {op_name::ProdGrad, prepare_prod_grad},
      {op_name::SumOfSquares, prepare_squares},
  };
  return kTable;
}

}  // namespace twofold
