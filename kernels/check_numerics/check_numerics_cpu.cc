// CPU check for NaNs and infinities, by the exponents' bits.
#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>

#include <twofold/kernels/check_numerics/check_numerics.h>
#include <twofold/kernels/layout/walk.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

constexpr int64_t kTaskElements = 32768;

struct Params {
  int64_t size;
};

template <class T>
void check_numerics_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  constexpr Bits kMagnitude = ~Bits{0} >> 1, kInfinity = std::bit_cast<Bits>(std::numeric_limits<T>::infinity());
  const int64_t n = static_cast<const Params*>(params)->size;
  const auto* x = static_cast<const T*>(args[0]);
  auto* y = static_cast<T*>(args[1]);
  auto* found = static_cast<uint8_t*>(ctx.workspace);
  const int64_t tasks = ceil_div(n, kTaskElements);
  ctx.parallel_for(tasks, [&](int64_t task) {
    const int64_t first = task * kTaskElements, last = std::min(n, first + kTaskElements);
    Bits infinities = 0, nans = 0;
    for (int64_t i = first; i < last; ++i) {
      const Bits magnitude = std::bit_cast<Bits>(x[i]) & kMagnitude;
      infinities |= magnitude == kInfinity, nans |= magnitude > kInfinity;
      y[i] = x[i];
    }
    found[task] = static_cast<uint8_t>(infinities | nans << 1);
  });
  int64_t all = 0;
  for (int64_t task = 0; task < tasks; ++task) all |= found[task];
  if (all) ctx.fail(KernelError::refused, all);
}

Prepared prepare_check_numerics(const Signature& s) {
  const Params p{s.inputs[0].shape.num_elements()};
  const auto workspace = static_cast<size_t>(ceil_div(p.size, kTaskElements));
  if (s.inputs[0].dtype == float32) return {check_numerics_kernel<float>, p, workspace};
  if (s.inputs[0].dtype == float64) return {check_numerics_kernel<double>, p, workspace};
  return {};
}

}  // namespace

std::span<const KernelEntry> cpu_kernels_check_numerics();
std::span<const KernelEntry> cpu_kernels_check_numerics() {
  static constexpr KernelEntry kTable[] = {{op_name::CheckNumerics, prepare_check_numerics}};
  return kTable;
}

}  // namespace twofold
