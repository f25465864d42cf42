#include <twofold/kernels/random/random.h>

#include <algorithm>

#include <twofold/kernels/random/transform.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

struct Params {
  uint64_t key;
  int64_t size;
  double a, b, last;
  int64_t output;  ///< place of the output among the arguments: behind the shape, if that is an operand
};

/// f(PhiloxBlock, its number, out) for every block, each of which gives kPer numbers; whole blocks are written, and the
/// last one cut.
template <class T, int kPer = kPerBlock<T>, class Block>
void fill(uint64_t key, int64_t size, T* out, const KernelContext& ctx, const Block& f) {
  constexpr int64_t kBatch = 64, kTask = 256 * kBatch;  // in blocks
  const int64_t blocks = (size + kPer - 1) / kPer;
  ctx.parallel_for((blocks + kTask - 1) / kTask, [&](int64_t task) {
    const int64_t end = std::min(blocks, (task + 1) * kTask);
    for (int64_t first = task * kTask; first < end; first += kBatch) {
      // Whole batches, so that compilers can work on several blocks at once.
      T numbers[kBatch * kPer];
      PhiloxBlock bits[kBatch];
      for (int64_t i = 0; i < kBatch; ++i)
        bits[i] = random_block(key, ctx.random_counter, static_cast<uint64_t>(first + i));
      for (int64_t i = 0; i < kBatch; ++i) f(bits[i], static_cast<uint64_t>(first + i), numbers + i * kPer);
      const int64_t begin = first * kPer;
      std::copy_n(numbers, std::min(size - begin, kBatch * kPer), out + begin);
    }
  });
}

template <class T>
void normal(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Params& p = *static_cast<const Params*>(params);
  fill(p.key, p.size, static_cast<T*>(args[p.output]), ctx,
       [&](const PhiloxBlock& bits, uint64_t, T* out) { normal_block(bits, p.a, p.b, out); });
}

template <class T>
void truncated_normal(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Params& p = *static_cast<const Params*>(params);
  fill(p.key, p.size, static_cast<T*>(args[p.output]), ctx, [&](const PhiloxBlock& bits, uint64_t index, T* out) {
    truncated_normal_block(p.key, ctx.random_counter, index, bits, p.a, p.b, out);
  });
}

template <class T>
void uniform(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Params& p = *static_cast<const Params*>(params);
  fill(p.key, p.size, static_cast<T*>(args[p.output]), ctx,
       [&](const PhiloxBlock& bits, uint64_t, T* out) { uniform_block(bits, p.a, p.b, static_cast<T>(p.last), out); });
}

template <class T>
Params params_of(const Signature& s) {
  const auto& attrs = s.attrs_as<RandomAttrs>();
  return {attrs.key,
          s.outputs[0].shape.num_elements(),
          attrs.a,
          attrs.b,
          static_cast<double>(last_below<T>(attrs.a, attrs.b)),
          static_cast<int64_t>(s.inputs.size())};
}
template <template <class> class K>
Prepared prepare(const Signature& s) {
  switch (s.attrs_as<RandomAttrs>().dtype) {
    case DType::float32: return {K<float>::kFn, params_of<float>(s)};
    case DType::float64: return {K<double>::kFn, params_of<double>(s)};
    default: return {};
  }
}
template <class T>
struct Normal {
  static constexpr KernelFn kFn = normal<T>;
};
template <class T>
struct TruncatedNormal {
  static constexpr KernelFn kFn = truncated_normal<T>;
};
template <class T>
struct Uniform {
  static constexpr KernelFn kFn = uniform<T>;
};

struct IntParams {
  uint64_t key;
  int64_t size, low;
  uint64_t range;
  int64_t output;
};

template <class T>
void uniform_int(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const IntParams*>(params);
  fill<T, 2>(p.key, p.size, static_cast<T*>(args[p.output]), ctx,
             [&](const PhiloxBlock& bits, uint64_t, T* out) { uniform_int_block(bits, p.low, p.range, out); });
}

Prepared prepare_uniform_int(const Signature& s) {
  const auto& attrs = s.attrs_as<RandomIntAttrs>();
  const IntParams p{attrs.key, s.outputs[0].shape.num_elements(), attrs.low,
                    static_cast<uint64_t>(attrs.high) - static_cast<uint64_t>(attrs.low),
                    static_cast<int64_t>(s.inputs.size())};
  if (attrs.dtype == int32) return {uniform_int<int32_t>, p};
  if (attrs.dtype == int64) return {uniform_int<int64_t>, p};
  return {};
}

struct PermutationParams {
  uint64_t key;
  int64_t size, output;
};
/// A place and the number that it is sorted by.
struct Ticket {
  uint64_t number;
  int64_t place;
  friend bool operator<(const Ticket& a, const Ticket& b) {
    return a.number != b.number ? a.number < b.number : a.place < b.place;
  }
};

void permutation(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const PermutationParams*>(params);
  auto* y = static_cast<int32_t*>(args[p.output]);
  auto* tickets = static_cast<Ticket*>(ctx.workspace);
  fill<Ticket, 2>(p.key, p.size, tickets, ctx, [](const PhiloxBlock& bits, uint64_t index, Ticket* out) {
    for (int i = 0; i < 2; ++i)
      out[i] = {internal::join(bits.word[2 * i], bits.word[2 * i + 1]), static_cast<int64_t>(2 * index) + i};
  });
  std::sort(tickets, tickets + p.size);
  for (int64_t i = 0; i < p.size; ++i) y[i] = static_cast<int32_t>(tickets[i].place);
}

Prepared prepare_permutation(const Signature& s) {
  const PermutationParams p{s.attrs_as<RandomPermutationAttrs>().key, s.outputs[0].shape.num_elements(),
                            static_cast<int64_t>(s.inputs.size())};
  return {permutation, p, static_cast<size_t>(p.size) * sizeof(Ticket)};
}

constexpr KernelEntry kKernels[] = {{op_name::RandomNormal, prepare<Normal>},
                                    {op_name::RandomUniform, prepare<Uniform>},
                                    {op_name::TruncatedNormal, prepare<TruncatedNormal>},
                                    {op_name::RandomUniformInt, prepare_uniform_int},
                                    {op_name::RandomPermutation, prepare_permutation}};

}  // namespace

std::span<const KernelEntry> cpu_kernels_random();
std::span<const KernelEntry> cpu_kernels_random() { return kKernels; }

}  // namespace twofold
