#include <algorithm>

#include <twofold/kernels/optimizer/rules.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

Prepared prepare_sgd_rows(const Signature& s);

namespace {

template <class T, template <class> class Rule>
void update(const void* params, void* const* args, KernelContext& ctx) noexcept {
  constexpr int kMaxState = Rule<T>::kMaxState;
  constexpr int64_t kTask = 16 * 1024, kBlock = 256;  // elements
  const auto& p = *static_cast<const UpdateParams<T, Rule>*>(params);
  const UpdateOperands<T, Rule> o(p, args);
  const int64_t count = o.next_count();
  if (p.has_count) *o.new_count = count;
  T c[Rule<T>::kCoefficients];
  p.rule.coefficients(*o.lr, count, c);
  ctx.parallel_for((p.size + kTask - 1) / kTask, [&](int64_t task) {
    const int64_t end = std::min(p.size, (task + 1) * kTask);
    // Local buffers alias nothing, so that compilers vectorise the loop.
    alignas(64) T value[kBlock], gradient[kBlock], state[kMaxState][kBlock] = {};
    for (int64_t begin = task * kTask; begin < end; begin += kBlock) {
      const int64_t n = std::min(kBlock, end - begin);
      std::copy_n(o.p + begin, n, value);
      std::copy_n(o.g + begin, n, gradient);
      for (int k = 0; k < p.num_state; ++k) std::copy_n(o.state[k] + begin, n, state[k]);
      for (int64_t i = 0; i < n; ++i) {
        T s[kMaxState];
        for (int k = 0; k < kMaxState; ++k) s[k] = state[k][i];
        value[i] = p.rule.step(value[i], gradient[i], s, c);
        for (int k = 0; k < kMaxState; ++k) state[k][i] = s[k];
      }
      std::copy_n(value, n, o.new_p + begin);
      for (int k = 0; k < p.num_state; ++k) std::copy_n(state[k], n, o.new_state[k] + begin);
    }
  });
}

template <template <class> class Rule>
Prepared prepare(const Signature& s) {
  const auto& attrs = s.attrs_as<typename Rule<float>::Attrs>();
  const int64_t size = s.inputs[0].shape.num_elements();
  if (s.inputs[0].dtype == float32) return {update<float, Rule>, UpdateParams<float, Rule>(attrs, size)};
  if (s.inputs[0].dtype == float64) return {update<double, Rule>, UpdateParams<double, Rule>(attrs, size)};
  return {};
}

constexpr KernelEntry kKernels[] = {
    {op_name::SGDUpdate, prepare<SGDRule>},         {op_name::AdamUpdate, prepare<AdamRule>},
    {op_name::RMSPropUpdate, prepare<RMSPropRule>}, {op_name::AdagradUpdate, prepare<AdagradRule>},
    {op_name::SGDRowsUpdate, prepare_sgd_rows},
};

}  // namespace

std::span<const KernelEntry> cpu_kernels_optimizer();
std::span<const KernelEntry> cpu_kernels_optimizer() { return kKernels; }

}  // namespace twofold
