// CUDA top_k. Elements become unsigned keys, the larger the earlier in the result. A block finds the kth of its row's
// digit by digit, gathers what comes no later, and sorts that. Long rows are cut into parts, the best of which a second
// launch selects from; what is too much to sort for a block is sorted by the grid. Ties fall to the lower index, so
// that there is one result, in whatever order threads come.
#include <cub/block/block_scan.cuh>

#include <bit>
#include <cmath>
#include <type_traits>

#include <twofold/kernels/cuda/launch.h>
#include <twofold/kernels/layout/walk.h>
#include <twofold/kernels/top_k/top_k.h>

namespace twofold {
namespace {

using cuda::kThreads;

constexpr int64_t kBlocks = 1024;         ///< wanted in a grid: several for each multiprocessor
constexpr int64_t kSortedInBlock = 1024;  ///< the most elements that a block sorts
constexpr int kDigitBits = 8;
static_assert(1 << kDigitBits == kThreads);

template <class T>
struct Keys {
  using Key = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  static constexpr int kBits = 8 * sizeof(T);

  __device__ static Key of(T x) {
    constexpr Key kSign = Key{1} << (kBits - 1);
    if constexpr (std::is_floating_point_v<T>) {
      if (x != x) return ~Key{0};
      const Key bits = std::bit_cast<Key>(x == 0 ? T(0) : x);  // -0 is equal to 0
      return bits & kSign ? ~bits : bits | kSign;
    } else if constexpr (std::is_signed_v<T>) {
      return static_cast<Key>(x) ^ kSign;
    } else {
      return x;
    }
  }
};

template <class Key>
struct Item {
  Key key;
  int32_t index;

  static constexpr Item last() { return {0, INT32_MAX}; }
  __device__ bool before(const Item& b) const { return key > b.key || (key == b.key && index < b.index); }
};

/// Places i and i + stride of a step of a bitonic sort of n items, of which there are n / 2 pairs; n is a power of two.
template <class Key>
__device__ void exchange(Item<Key>* items, int64_t n, int64_t pair, int64_t size, int64_t stride) {
  const int64_t i = 2 * pair - (pair & (stride - 1));
  const bool forward = (i & (n - 1) & size) == 0;
  const Item<Key> a = items[i], b = items[i + stride];
  if (b.before(a) == forward) items[i] = b, items[i + stride] = a;
}

/// What a launch selects from: each row's n elements, or those that `candidates` names, in `parts`; k from each part.
struct Selection {
  int64_t extent, n, parts, k;
  int64_t sorted;             ///< k as a power of two
  const int32_t* candidates;  ///< n in each row, of equal ones the lower first; null: all
};

template <class T>
struct Results {
  T* values;                           ///< null if not wanted
  int32_t* indices;                    ///< k of each part
  Item<typename Keys<T>::Key>* items;  ///< if not null, `sorted` of each part in any order, in place of the others
};

template <class T>
__global__ void __launch_bounds__(kThreads) select(const T* x, Results<T> results, Selection s) {
  using Key = typename Keys<T>::Key;
  using Scan = cub::BlockScan<int, kThreads>;
  __shared__ typename Scan::TempStorage storage;
  __shared__ Item<Key> of_block[kSortedInBlock];
  __shared__ int counts[kThreads];
  __shared__ int found_digit, found_before, taken;

  const int thread = static_cast<int>(threadIdx.x);
  const int64_t row = blockIdx.x / s.parts, part = blockIdx.x % s.parts;
  const int64_t begin = s.n * part / s.parts, end = s.n * (part + 1) / s.parts;
  x += row * s.extent;
  const auto index_at = [&](int64_t i) { return s.candidates ? s.candidates[row * s.n + i] : static_cast<int32_t>(i); };

  // The kth key's leading digits, and how many elements to take of those that have them.
  Key prefix = 0, mask = 0;
  int wanted = static_cast<int>(s.k);
  for (int shift = Keys<T>::kBits - kDigitBits; shift >= 0; shift -= kDigitBits) {
    counts[thread] = 0;
    __syncthreads();
    for (int64_t i = begin + thread; i < end; i += kThreads) {
      const Key key = Keys<T>::of(x[index_at(i)]);
      if ((key & mask) == prefix) atomicAdd(&counts[key >> shift & (kThreads - 1)], 1);
    }
    __syncthreads();
    const int digit = kThreads - 1 - thread, count = counts[digit];
    int before;
    Scan(storage).ExclusiveSum(count, before);
    if (before < wanted && wanted <= before + count) found_digit = digit, found_before = before;
    __syncthreads();
    prefix |= static_cast<Key>(found_digit) << shift;
    mask |= static_cast<Key>(kThreads - 1) << shift;
    wanted -= found_before;
  }

  Item<Key>* items = results.items ? results.items + blockIdx.x * s.sorted : of_block;
  for (int64_t i = s.k + thread; i < s.sorted; i += kThreads) items[i] = Item<Key>::last();
  if (thread == 0) taken = 0;
  __syncthreads();
  int equal_before = 0;
  for (int64_t tile = begin; tile < end; tile += kThreads) {
    const int64_t i = tile + thread;
    const int32_t index = i < end ? index_at(i) : 0;
    const Key key = i < end ? Keys<T>::of(x[index]) : Key{0};
    const bool equal = i < end && key == prefix;
    int before, in_tile;
    Scan(storage).ExclusiveSum(static_cast<int>(equal), before, in_tile);
    if (i < end && key > prefix) items[atomicAdd(&taken, 1)] = {key, index};
    if (equal && equal_before + before < wanted) items[s.k - wanted + equal_before + before] = {key, index};
    equal_before += in_tile;
    __syncthreads();
  }
  if (results.items) return;

  for (int64_t size = 2; size <= s.sorted; size *= 2)
    for (int64_t stride = size / 2; stride > 0; stride /= 2) {
      for (int64_t pair = thread; pair < s.sorted / 2; pair += kThreads)
        exchange(of_block, s.sorted, pair, size, stride);
      __syncthreads();
    }
  for (int64_t i = thread; i < s.k; i += kThreads) {
    const int32_t index = of_block[i].index;
    results.indices[blockIdx.x * s.k + i] = index;
    if (results.values) results.values[blockIdx.x * s.k + i] = x[index];
  }
}

template <class Key>
__global__ void __launch_bounds__(kThreads)
    sort_step(Item<Key>* items, int64_t pairs, int64_t n, int64_t size, int64_t stride) {
  for (int64_t pair = int64_t{blockIdx.x} * kThreads + threadIdx.x; pair < pairs; pair += int64_t{gridDim.x} * kThreads)
    exchange(items, n, pair, size, stride);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    write_sorted(const T* x, const Item<typename Keys<T>::Key>* items, Results<T> results, Selection s, int64_t rows) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < rows * s.k; i += int64_t{gridDim.x} * kThreads) {
    const int32_t index = items[i / s.k * s.sorted + i % s.k].index;
    results.indices[i] = index;
    results.values[i] = x[i / s.k * s.extent + index];
  }
}

struct TopKParams {
  int64_t rows, extent, k, parts;
  int64_t sorted() const { return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(k))); }
};

template <class T>
void top_k_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  using Key = typename Keys<T>::Key;
  const auto& p = *static_cast<const TopKParams*>(params);
  if (p.rows == 0 || p.k == 0) return;
  const auto* x = static_cast<const T*>(args[0]);
  const cudaStream_t stream = cuda::stream_of(ctx);
  Results<T> results{static_cast<T*>(args[1]), static_cast<int32_t*>(args[2]), nullptr};
  Selection s{p.extent, p.extent, 1, p.k, p.sorted(), nullptr};
  if (p.parts > 1) {
    auto* candidates = static_cast<int32_t*>(ctx.workspace);
    s.parts = p.parts;
    select<T><<<static_cast<unsigned>(p.rows * p.parts), kThreads, 0, stream>>>(x, {nullptr, candidates, nullptr}, s);
    s.parts = 1, s.n = p.parts * p.k, s.candidates = candidates;
  } else if (p.k > kSortedInBlock) {
    results.items = static_cast<Item<Key>*>(ctx.workspace);
  }
  select<T><<<static_cast<unsigned>(p.rows), kThreads, 0, stream>>>(x, results, s);
  if (results.items) {
    const int64_t pairs = p.rows * s.sorted / 2;
    for (int64_t size = 2; size <= s.sorted; size *= 2)
      for (int64_t stride = size / 2; stride > 0; stride /= 2)
        sort_step<<<cuda::blocks_for(pairs), kThreads, 0, stream>>>(results.items, pairs, s.sorted, size, stride);
    write_sorted<<<cuda::blocks_for(p.rows * p.k), kThreads, 0, stream>>>(x, results.items, results, s, p.rows);
  }
  cuda::check_launch(ctx);
}

Prepared prepare_top_k(const Signature& s) {
  const Shape& x = s.inputs[0].shape;
  TopKParams p{1, x[x.rank() - 1], s.attrs_as<TopKAttrs>().k, 1};
  for (int i = 0; i < x.rank() - 1; ++i) p.rows *= x[i];
  if (p.rows > 0 && p.k > 0 && p.k <= kSortedInBlock) {
    // The most parts at which the second launch has no more to read in a block than the first.
    const auto even = static_cast<int64_t>(std::sqrt(static_cast<double>(p.extent) / static_cast<double>(p.k)));
    constexpr int64_t kFewest = 4, kWorthABlock = 1024;
    const int64_t parts = std::min({kBlocks / p.rows, p.extent / kWorthABlock, even});
    if (parts >= kFewest) p.parts = parts;
  }
  return dispatch(s.inputs[0].dtype, [&]<class T>(T) {
    if constexpr (std::is_same_v<T, bool>) {
      return Prepared{};
    } else {
      size_t workspace = 0;
      if (p.parts > 1) workspace = static_cast<size_t>(p.rows * p.parts * p.k) * sizeof(int32_t);
      if (p.k > kSortedInBlock)
        workspace = static_cast<size_t>(p.rows * p.sorted()) * sizeof(Item<typename Keys<T>::Key>);
      return Prepared(top_k_kernel<T>, p, workspace);
    }
  });
}

constexpr KernelEntry kKernels[] = {{op_name::TopK, prepare_top_k}};

}  // namespace

std::span<const KernelEntry> gpu_kernels_top_k();
std::span<const KernelEntry> gpu_kernels_top_k() { return kKernels; }

}  // namespace twofold
