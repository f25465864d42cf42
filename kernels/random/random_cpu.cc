#include <twofold/kernels/random/random.h>

#include <algorithm>

#include <twofold/kernels/random/transform.h>
#include <twofold/lib/op/kernel.h>

namespace twofold {
namespace {

struct Params {
  uint64_t key;
  int64_t size;
  double a, b, last;
  int64_t output;  ///< place of the output among the arguments: behind the shape, if that is an operand
};

/// f(block index's PhiloxBlock, out) for every block; whole blocks are written, and the last one cut.
template <class T, class Block>
void fill(const Params& p, T* out, const KernelContext& ctx, const Block& f) {
  constexpr int64_t kBatch = 64, kTask = 256 * kBatch;  // in blocks
  const int64_t blocks = (p.size + kPerBlock<T> - 1) / kPerBlock<T>;
  ctx.parallel_for((blocks + kTask - 1) / kTask, [&](int64_t task) {
    const int64_t end = std::min(blocks, (task + 1) * kTask);
    for (int64_t first = task * kTask; first < end; first += kBatch) {
      // Whole batches, so that compilers can work on several blocks at once.
      T numbers[kBatch * kPerBlock<T>];
      PhiloxBlock bits[kBatch];
      for (int64_t i = 0; i < kBatch; ++i)
        bits[i] = random_block(p.key, ctx.random_counter, static_cast<uint64_t>(first + i));
      for (int64_t i = 0; i < kBatch; ++i) f(bits[i], numbers + i * kPerBlock<T>);
      const int64_t begin = first * kPerBlock<T>;
      std::copy_n(numbers, std::min(p.size - begin, kBatch * kPerBlock<T>), out + begin);
    }
  });
}

template <class T>
void normal(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Params& p = *static_cast<const Params*>(params);
  fill(p, static_cast<T*>(args[p.output]), ctx,
       [&](const PhiloxBlock& bits, T* out) { normal_block(bits, p.a, p.b, out); });
}

template <class T>
void uniform(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Params& p = *static_cast<const Params*>(params);
  fill(p, static_cast<T*>(args[p.output]), ctx,
       [&](const PhiloxBlock& bits, T* out) { uniform_block(bits, p.a, p.b, static_cast<T>(p.last), out); });
}

template <bool kNormal>
Prepared prepare(const Signature& s) {
  const auto& attrs = s.attrs_as<RandomAttrs>();
  Params p{attrs.key, s.outputs[0].shape.num_elements(), attrs.a, attrs.b, 0, static_cast<int64_t>(s.inputs.size())};
  if (attrs.dtype == float32) {
    p.last = last_below<float>(attrs.a, attrs.b);
    return {kNormal ? normal<float> : uniform<float>, p};
  }
  if (attrs.dtype == float64) {
    p.last = last_below<double>(attrs.a, attrs.b);
    return {kNormal ? normal<double> : uniform<double>, p};
  }
  return {};
}

constexpr KernelEntry kKernels[] = {{"RandomNormal", prepare<true>}, {"RandomUniform", prepare<false>}};

}  // namespace

std::span<const KernelEntry> cpu_kernels_random();
std::span<const KernelEntry> cpu_kernels_random() { return kKernels; }

}  // namespace twofold
