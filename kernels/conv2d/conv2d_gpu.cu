// Convolutions by cuDNN, those of 3x3 also by kernels of our own, and all by a plain one where cuDNN has nothing to
// offer: for tensors without elements, and beyond its limits.
#include <cuda_runtime.h>

#include <type_traits>

#include <twofold/kernels/conv2d/choice_gpu.h>
#include <twofold/kernels/conv2d/direct3x3_gpu.h>
#include <twofold/kernels/conv2d/filter3x3_gpu.h>
#include <twofold/kernels/conv2d/problem.h>
#include <twofold/kernels/conv2d/terms_gpu.h>
#include <twofold/kernels/cuda/aligned.h>
#include <twofold/kernels/cuda/launch.h>
#include <twofold/kernels/cuda/words.h>

namespace twofold {
namespace {

using cuda::blocks_for;
using cuda::check_launch;
using cuda::kThreads;
using cuda::stream_of;
using cudnn::elements;
using cudnn::Pass;

/// Which arguments are the image, the weight and the result of the convolution in question.
struct Places {
  size_t x, weight, y;

  Places(Pass pass, size_t inputs)
      : x(pass == Pass::input_gradient ? inputs : 0),
        weight(pass == Pass::weight_gradient ? inputs : 1),
        y(pass == Pass::output            ? inputs
          : pass == Pass::weight_gradient ? 1
                                          : 0) {}
};

struct PlannedParams {
  Places at;
  bool bias;  ///< whether args[2] is added to y
  cudnn::Convolution c;
  cudnn::Handle* handle;
  const cudnn::Plan* plan;
};

/// y[e] += bias[e / inner % channels]
template <class T, class Index>
__global__ void add_bias(T* y, const T* bias, Index n, Index channels, Index inner) {
  const Index step = Index{gridDim.x} * blockDim.x;
  for (Index e = Index{blockIdx.x} * blockDim.x + threadIdx.x; e < n; e += step) y[e] += bias[e / inner % channels];
}

struct PlainParams {
  cudnn::Terms terms;
  bool bias;      ///< whether args[2] is added to the result
  size_t result;  ///< which argument that is
};

/// One thread for each element of the result, sums in float64. `bias` may be null.
template <class T>
__global__ void sum_terms(cudnn::Terms terms, int64_t n, const T* a, const T* b, const T* bias, T* result) {
  for (int64_t e = cuda::first_element(); e < n; e += cuda::element_step()) {
    const auto element = terms.element(e);
    double sum = 0;
    terms.for_each(element, 0, 1, [&](int64_t at_a, int64_t at_b) {
      sum += static_cast<double>(a[at_a]) * static_cast<double>(b[at_b]);
    });
    const T rounded = static_cast<T>(sum);
    result[element.offset] = bias ? rounded + bias[element.at[1]] : rounded;
  }
}

template <class T>
void plain(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const PlainParams*>(params);
  const int64_t n = p.terms.elements();
  if (n == 0) return;
  const auto at = [&](size_t i) { return static_cast<T*>(args[i]); };
  sum_terms<T><<<blocks_for(n), kThreads, 0, stream_of(ctx)>>>(p.terms, n, at(0), at(1), p.bias ? at(2) : nullptr,
                                                               at(p.result));
  check_launch(ctx);
}

template <class T>
void planned(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const PlannedParams*>(params);
  constexpr auto size = static_cast<int64_t>(sizeof(T));
  {
    const auto aligned = [&](size_t at, const auto& extents, Pass writer) {
      return cuda::Aligned(args[at], elements(extents) * size, cudnn::Plan::kAlignment, p.c.pass == writer, ctx);
    };
    const auto x = aligned(p.at.x, p.c.x, Pass::input_gradient);
    const auto weight = aligned(p.at.weight, p.c.weight, Pass::weight_gradient);
    const auto y = aligned(p.at.y, p.c.y, Pass::output);
    if (ctx.error != KernelError::none) return;
    const cudnnStatus_t status = p.handle->with(stream_of(ctx), [&](cudnnHandle_t handle) {
      return p.plan->run(handle, x.get(), weight.get(), y.get(), ctx.workspace);
    });
    if (status != CUDNN_STATUS_SUCCESS) return ctx.fail(KernelError::device_failure, status);
  }
  if (!p.bias) return;
  const int64_t y_size = elements(p.c.y), inner = p.c.channels_last ? 1 : p.c.y[2] * p.c.y[3];
  const auto add = [&]<class Index>(Index n) {
    add_bias<<<blocks_for(y_size), kThreads, 0, stream_of(ctx)>>>(
        static_cast<T*>(args[p.at.y]), static_cast<const T*>(args[2]), n, static_cast<Index>(p.c.y[1]),
        static_cast<Index>(inner));
  };
  y_size <= INT32_MAX ? add(static_cast<uint32_t>(y_size)) : add(static_cast<uint64_t>(y_size));
  check_launch(ctx);
}

struct OwnParams {
  Places at;
  bool bias;  ///< whether args[2] is added to y
  const cudnn::Own* own;
};

void run_own(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const OwnParams*>(params);
  const auto at = [&](size_t i) { return static_cast<float*>(args[i]); };
  const auto e =
      p.own->run(at(p.at.x), at(p.at.weight), p.bias ? at(2) : nullptr, at(p.at.y), ctx.workspace, stream_of(ctx));
  if (e != cudaSuccess) ctx.fail(KernelError::device_failure, e);
}

/// Null where none applies.
std::shared_ptr<const cudnn::Own> own_kernel(const cudnn::Convolution& c, bool tf32) {
  constexpr std::array<int64_t, 2> kOnes{1, 1};
  if (c.float64 || c.channels_last || c.groups() != 1 || c.weight[2] != 3 || c.weight[3] != 3 || c.stride != kOnes ||
      c.dilation != kOnes)
    return nullptr;
  const direct3x3::Convolution own_c{c.x[0], c.x[1], c.y[1], c.x[2], c.x[3], c.y[2], c.y[3], c.before[0], c.before[1]};
  const auto own = std::make_shared<cudnn::Own>();
  if (c.pass == Pass::weight_gradient) {
    const auto kernel = direct3x3::WeightGradient::of(own_c);
    if (!kernel) return nullptr;
    own->workspace = kernel->workspace();
    own->run = [k = *kernel](float* x, float* weight, const float*, float* y, void* workspace, cudaStream_t stream) {
      return k.run(x, y, weight, workspace, stream);
    };
    return own;
  }
  const bool gradient = c.pass == Pass::input_gradient;
  const auto kernel = gradient ? direct3x3::Filter::of_input_gradient(own_c, tf32) : direct3x3::Filter::of(own_c, tf32);
  if (!kernel) return nullptr;
  own->run = [k = *kernel, gradient](float* x, float* weight, const float* bias, float* y, void*, cudaStream_t stream) {
    return gradient ? k.run(y, weight, nullptr, x, stream) : k.run(x, weight, bias, y, stream);
  };
  return own;
}

/// Zeros after the last input: as many as before the first if that gives the same number of outputs, as more engines
/// support even padding; else as few as possible.
int64_t padding_after(const WindowAxis& a) {
  const int64_t even = a.in + 2 * a.pad() - a.window();
  if (even >= 0 && even / a.stride + 1 == a.out) return a.pad();
  return std::max<int64_t>(0, (a.out - 1) * a.stride + a.window() - a.in - a.pad());
}

template <class T>
Prepared choose(Pass pass, const Conv2dProblem& p, const Signature& s) {
  constexpr bool is_float32 = std::is_same_v<T, float>;
  const int64_t in_channels = p.groups * p.in_channels, out_channels = p.groups * p.out_channels;
  const cudnn::Convolution c{pass,
                             !is_float32,
                             p.format == DataFormat::nhwc,
                             {p.batch, in_channels, p.h.in, p.w.in},
                             {out_channels, p.in_channels, p.h.kernel, p.w.kernel},
                             {p.batch, out_channels, p.h.out, p.w.out},
                             {p.h.pad(), p.w.pad()},
                             {padding_after(p.h), padding_after(p.w)},
                             {p.h.stride, p.w.stride},
                             {p.h.dilation, p.w.dilation}};
  const bool bias = pass == Pass::output && s.inputs.size() == 3;
  const Prepared by_plain{plain<T>, PlainParams{cudnn::Terms(c), bias, s.inputs.size()}};
  if (elements(c.x) == 0 || elements(c.y) == 0 || elements(c.weight) == 0) return by_plain;
  const Places at(pass, s.inputs.size());
  const bool tf32 = is_float32 && s.math_mode == MathMode::tf32;
  const auto own = own_kernel(c, tf32 && cudnn::is_large(c));
  bool untried = false;
  const auto plan = cudnn::choose_plan(c, {tf32, s.deterministic}, own.get(), untried);
  if (plan) {
    Prepared prepared(planned<T>, PlannedParams{at, bias, c, cudnn::Handle::of_current_device(), plan.get()},
                      plan->workspace());
    prepared.resource = plan;
    return prepared;
  }
  if (own) {
    Prepared prepared(run_own, OwnParams{at, bias, own.get()}, own->workspace);
    prepared.resource = own;
    prepared.provisional = untried;
    return prepared;
  }
  Prepared prepared = by_plain;
  prepared.provisional = untried;
  return prepared;
}

template <Pass pass>
Prepared prepare(const Signature& s) {
  const auto problem = [&] {
    const auto& in = s.inputs;
    const Shape& out = s.outputs[0].shape;
    if constexpr (pass == Pass::output)
      return Conv2dProblem(s.attrs_as<Conv2dOptions>(), in[0].shape, in[1].shape, out);
    else if constexpr (pass == Pass::input_gradient)
      return Conv2dProblem(s.attrs_as<Conv2dTransposeOptions>(), out, in[1].shape, in[0].shape);
    else
      return Conv2dProblem(s.attrs_as<Conv2dOptions>(), in[0].shape, out, in[1].shape);
  };
  if (s.inputs[0].dtype == float32) return choose<float>(pass, problem(), s);
  if (s.inputs[0].dtype == float64) return choose<double>(pass, problem(), s);
  return {};
}

constexpr KernelEntry kKernels[] = {{op_name::Conv2D, prepare<Pass::output>},
                                    {op_name::Conv2DBackpropInput, prepare<Pass::input_gradient>},
                                    {op_name::Conv2DBackpropFilter, prepare<Pass::weight_gradient>}};

}  // namespace

std::span<const KernelEntry> gpu_kernels_conv2d();
std::span<const KernelEntry> gpu_kernels_conv2d() { return kKernels; }

}  // namespace twofold
