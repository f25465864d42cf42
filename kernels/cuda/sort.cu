#include <twofold/kernels/cuda/sort.h>

#include <cub/device/device_radix_sort.cuh>

#include <twofold/kernels/cuda/launch.h>

namespace twofold::cuda {
namespace {

size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }
/// A workspace holds two arrays of keys, two of values, each so long, and the scratch.
size_t array_bytes(int64_t n) { return aligned(static_cast<size_t>(n) * sizeof(uint64_t)); }

template <class T>
T* array(void* workspace, int64_t n, size_t number) {
  return reinterpret_cast<T*>(static_cast<char*>(workspace) + number * array_bytes(n));
}

}  // namespace

PairSort::PairSort(int64_t n, int bits) : n_(n), bits_(bits) {
  cub::DoubleBuffer<uint64_t> keys;
  cub::DoubleBuffer<int64_t> values;
  cub::DeviceRadixSort::SortPairs(nullptr, scratch_, keys, values, n_, 0, bits_);
}

size_t PairSort::bytes() const { return 4 * array_bytes(n_) + aligned(scratch_); }

Pairs PairSort::input(void* workspace) const {
  return {array<uint64_t>(workspace, n_, 0), array<int64_t>(workspace, n_, 2)};
}

Pairs PairSort::run(void* workspace, KernelContext& ctx) const {
  cub::DoubleBuffer<uint64_t> keys(array<uint64_t>(workspace, n_, 0), array<uint64_t>(workspace, n_, 1));
  cub::DoubleBuffer<int64_t> values(array<int64_t>(workspace, n_, 2), array<int64_t>(workspace, n_, 3));
  size_t scratch = scratch_;
  const auto e = cub::DeviceRadixSort::SortPairs(array<char>(workspace, n_, 4), scratch, keys, values, n_, 0, bits_,
                                                 stream_of(ctx));
  if (e != cudaSuccess) ctx.fail(KernelError::device_failure, e);
  return {keys.Current(), values.Current()};
}

}  // namespace twofold::cuda
