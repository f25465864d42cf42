// Convolutions by cuDNN, those of 3x3 also by kernels of our own, and all by simple ones where cuDNN has nothing to
// offer: for tensors without elements, and beyond its limits.
#include <cuda_runtime.h>

#include <twofold/kernels/conv2d/choice_gpu.h>
#include <twofold/kernels/conv2d/direct3x3_gpu.h>
#include <twofold/kernels/conv2d/filter3x3_gpu.h>
#include <twofold/kernels/conv2d/problem.h>
#include <twofold/kernels/cuda/aligned.h>
#include <twofold/kernels/cuda/launch.h>

namespace twofold {
namespace {

using cuda::blocks_for;
using cuda::check_launch;
using cuda::kThreads;
using cuda::stream_of;
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

/// A tensor of images: extents, and the steps to the next element along each axis.
struct Images {
  int64_t channels, h, w;
  int64_t n_step, c_step, h_step, w_step;

  Images(DataFormat f, int64_t channels, int64_t h, int64_t w)
      : channels(channels), h(h), w(w), n_step(channels * h * w) {
    const bool last = f == DataFormat::nhwc;
    c_step = last ? 1 : h * w, w_step = last ? channels : 1, h_step = w * w_step;
  }
};

struct Params {
  Pass pass;
  Places at;
  bool bias;  ///< whether args[2] is added to y
  int64_t batch, groups, in_channels, out_channels;
  Images x, y;
  int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left;
  cudnn::Handle* handle = nullptr;
  const cudnn::Plan* plan = nullptr;

  Params(Pass pass, const Conv2dProblem& p, size_t inputs)
      : pass(pass),
        at(pass, inputs),
        bias(pass == Pass::output && inputs == 3),
        batch(p.batch),
        groups(p.groups),
        in_channels(p.in_channels),
        out_channels(p.out_channels),
        x(p.format, p.groups * p.in_channels, p.h.in, p.w.in),
        y(p.format, p.groups * p.out_channels, p.h.out, p.w.out),
        kernel_h(p.h.kernel),
        kernel_w(p.w.kernel),
        stride_h(p.h.stride),
        stride_w(p.w.stride),
        dilation_h(p.h.dilation),
        dilation_w(p.w.dilation),
        top(p.h.pad()),
        left(p.w.pad()) {}

  int64_t x_size() const { return batch * x.n_step; }
  int64_t y_size() const { return batch * y.n_step; }
  int64_t weight_size() const { return y.channels * in_channels * kernel_h * kernel_w; }
};

/// y[e] += bias[e / inner % channels]
template <class T, class Index>
__global__ void add_bias(T* y, const T* bias, Index n, Index channels, Index inner) {
  const Index step = Index{gridDim.x} * blockDim.x;
  for (Index e = Index{blockIdx.x} * blockDim.x + threadIdx.x; e < n; e += step) y[e] += bias[e / inner % channels];
}

// One thread an element of the result, sums in float64.

template <class T>
__global__ void output(Params p, const T* x, const T* weight, const T* bias, T* y) {
  const int64_t n = p.batch * p.y.n_step, step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t e = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; e < n; e += step) {
    const int64_t j = e % p.y.w, i = e / p.y.w % p.y.h, o = e / p.y.w / p.y.h % p.y.channels, image = e / p.y.n_step;
    double sum = 0;
    for (int64_t c = 0; c < p.in_channels; ++c)
      for (int64_t k = 0; k < p.kernel_h; ++k)
        for (int64_t l = 0; l < p.kernel_w; ++l) {
          const int64_t row = i * p.stride_h + k * p.dilation_h - p.top;
          const int64_t column = j * p.stride_w + l * p.dilation_w - p.left;
          if (row < 0 || row >= p.x.h || column < 0 || column >= p.x.w) continue;
          const int64_t channel = o / p.out_channels * p.in_channels + c;
          sum += static_cast<double>(
                     x[image * p.x.n_step + channel * p.x.c_step + row * p.x.h_step + column * p.x.w_step]) *
                 static_cast<double>(weight[((o * p.in_channels + c) * p.kernel_h + k) * p.kernel_w + l]);
        }
    const T result = static_cast<T>(sum);
    y[image * p.y.n_step + o * p.y.c_step + i * p.y.h_step + j * p.y.w_step] = bias ? result + bias[o] : result;
  }
}

template <class T>
__global__ void input_gradient(Params p, const T* dy, const T* weight, T* dx) {
  const int64_t n = p.batch * p.x.n_step, step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t e = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; e < n; e += step) {
    const int64_t column = e % p.x.w, row = e / p.x.w % p.x.h, channel = e / p.x.w / p.x.h % p.x.channels;
    const int64_t image = e / p.x.n_step, group = channel / p.in_channels, c = channel % p.in_channels;
    double sum = 0;
    for (int64_t o = group * p.out_channels; o < (group + 1) * p.out_channels; ++o)
      for (int64_t k = 0; k < p.kernel_h; ++k)
        for (int64_t l = 0; l < p.kernel_w; ++l) {
          const int64_t v = row + p.top - k * p.dilation_h, h = column + p.left - l * p.dilation_w;
          if (v < 0 || h < 0 || v % p.stride_h != 0 || h % p.stride_w != 0) continue;
          const int64_t i = v / p.stride_h, j = h / p.stride_w;
          if (i >= p.y.h || j >= p.y.w) continue;
          sum += static_cast<double>(dy[image * p.y.n_step + o * p.y.c_step + i * p.y.h_step + j * p.y.w_step]) *
                 static_cast<double>(weight[((o * p.in_channels + c) * p.kernel_h + k) * p.kernel_w + l]);
        }
    dx[image * p.x.n_step + channel * p.x.c_step + row * p.x.h_step + column * p.x.w_step] = static_cast<T>(sum);
  }
}

template <class T>
__global__ void weight_gradient(Params p, const T* x, const T* dy, T* dw) {
  const int64_t n = p.y.channels * p.in_channels * p.kernel_h * p.kernel_w, step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t e = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; e < n; e += step) {
    const int64_t l = e % p.kernel_w, k = e / p.kernel_w % p.kernel_h, oc = e / p.kernel_w / p.kernel_h;
    const int64_t o = oc / p.in_channels, channel = o / p.out_channels * p.in_channels + oc % p.in_channels;
    double sum = 0;
    for (int64_t image = 0; image < p.batch; ++image)
      for (int64_t i = 0; i < p.y.h; ++i)
        for (int64_t j = 0; j < p.y.w; ++j) {
          const int64_t row = i * p.stride_h + k * p.dilation_h - p.top;
          const int64_t column = j * p.stride_w + l * p.dilation_w - p.left;
          if (row < 0 || row >= p.x.h || column < 0 || column >= p.x.w) continue;
          sum += static_cast<double>(
                     x[image * p.x.n_step + channel * p.x.c_step + row * p.x.h_step + column * p.x.w_step]) *
                 static_cast<double>(dy[image * p.y.n_step + o * p.y.c_step + i * p.y.h_step + j * p.y.w_step]);
        }
    dw[e] = static_cast<T>(sum);
  }
}

template <class T>
void direct(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Params& p = *static_cast<const Params*>(params);
  const int64_t n = p.pass == Pass::output ? p.y_size() : p.pass == Pass::input_gradient ? p.x_size() : p.weight_size();
  if (n == 0) return;
  T *x = static_cast<T*>(args[p.at.x]), *weight = static_cast<T*>(args[p.at.weight]),
    *y = static_cast<T*>(args[p.at.y]);
  const auto stream = stream_of(ctx);
  switch (p.pass) {
    case Pass::output:
      output<T><<<blocks_for(n), kThreads, 0, stream>>>(p, x, weight, p.bias ? static_cast<T*>(args[2]) : nullptr, y);
      break;
    case Pass::input_gradient: input_gradient<T><<<blocks_for(n), kThreads, 0, stream>>>(p, y, weight, x); break;
    case Pass::weight_gradient: weight_gradient<T><<<blocks_for(n), kThreads, 0, stream>>>(p, x, y, weight); break;
  }
  check_launch(ctx);
}

template <class T>
void planned(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Params& p = *static_cast<const Params*>(params);
  constexpr auto size = static_cast<int64_t>(sizeof(T));
  {
    const auto aligned = [&](size_t at, int64_t elements, Pass writer) {
      return cuda::Aligned(args[at], elements * size, cudnn::Plan::kAlignment, p.pass == writer, ctx);
    };
    const auto x = aligned(p.at.x, p.x_size(), Pass::input_gradient);
    const auto weight = aligned(p.at.weight, p.weight_size(), Pass::weight_gradient);
    const auto y = aligned(p.at.y, p.y_size(), Pass::output);
    if (ctx.error != KernelError::none) return;
    const cudnnStatus_t status = p.handle->with(stream_of(ctx), [&](cudnnHandle_t handle) {
      return p.plan->run(handle, x.get(), weight.get(), y.get(), ctx.workspace);
    });
    if (status != CUDNN_STATUS_SUCCESS) return ctx.fail(KernelError::device_failure, status);
  }
  if (!p.bias) return;
  const auto add = [&]<class Index>(Index n) {
    add_bias<<<blocks_for(p.y_size()), kThreads, 0, stream_of(ctx)>>>(
        static_cast<T*>(args[p.at.y]), static_cast<const T*>(args[2]), n, static_cast<Index>(p.y.channels),
        static_cast<Index>(p.y.c_step));
  };
  p.y_size() <= INT32_MAX ? add(static_cast<uint32_t>(p.y_size())) : add(static_cast<uint64_t>(p.y_size()));
  check_launch(ctx);
}

/// Zeros behind the last input: as many as before the first where that gives as many outputs, for more engines know
/// even padding; else as few as can be.
int64_t padding_after(const WindowAxis& a) {
  const int64_t even = a.in + 2 * a.pad() - a.window();
  if (even >= 0 && even / a.stride + 1 == a.out) return a.pad();
  return std::max<int64_t>(0, (a.out - 1) * a.stride + a.window() - a.in - a.pad());
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
std::shared_ptr<const cudnn::Own> own_kernel(const Params& p, DataFormat format, bool tf32) {
  if (format != DataFormat::nchw || p.groups != 1 || p.kernel_h != 3 || p.kernel_w != 3 || p.stride_h != 1 ||
      p.stride_w != 1 || p.dilation_h != 1 || p.dilation_w != 1)
    return nullptr;
  const direct3x3::Convolution c{p.batch, p.x.channels, p.y.channels, p.x.h, p.x.w, p.y.h, p.y.w, p.top, p.left};
  const auto own = std::make_shared<cudnn::Own>();
  if (p.pass == Pass::weight_gradient) {
    const auto kernel = direct3x3::WeightGradient::of(c);
    if (!kernel) return nullptr;
    own->workspace = kernel->workspace();
    own->run = [k = *kernel](float* x, float* weight, const float*, float* y, void* workspace, cudaStream_t stream) {
      return k.run(x, y, weight, workspace, stream);
    };
    return own;
  }
  const bool gradient = p.pass == Pass::input_gradient;
  const auto kernel = gradient ? direct3x3::Filter::of_input_gradient(c, tf32) : direct3x3::Filter::of(c, tf32);
  if (!kernel) return nullptr;
  own->run = [k = *kernel, gradient](float* x, float* weight, const float* bias, float* y, void*, cudaStream_t stream) {
    return gradient ? k.run(y, weight, nullptr, x, stream) : k.run(x, weight, bias, y, stream);
  };
  return own;
}

template <class T>
Prepared choose(Pass pass, const Conv2dProblem& p, const Signature& s) {
  Params q(pass, p, s.inputs.size());
  if (q.x_size() == 0 || q.y_size() == 0 || q.weight_size() == 0) return {direct<T>, q};
  const bool is_float32 = sizeof(T) == sizeof(float), tf32 = is_float32 && s.math_mode == MathMode::tf32;
  const cudnn::Convolution c{pass,
                             !is_float32,
                             p.format == DataFormat::nhwc,
                             {p.batch, q.x.channels, q.x.h, q.x.w},
                             {q.y.channels, p.in_channels, q.kernel_h, q.kernel_w},
                             {p.batch, q.y.channels, q.y.h, q.y.w},
                             {q.top, q.left},
                             {padding_after(p.h), padding_after(p.w)},
                             {q.stride_h, q.stride_w},
                             {q.dilation_h, q.dilation_w}};
  const auto own = is_float32 ? own_kernel(q, p.format, tf32 && cudnn::is_large(c)) : nullptr;
  const auto plan = cudnn::choose_plan(c, {tf32, s.deterministic}, own.get());
  if (!plan && own) {
    Prepared prepared(run_own, OwnParams{q.at, q.bias, own.get()}, own->workspace);
    prepared.resource = own;
    return prepared;
  }
  if (!plan) return {direct<T>, q};
  q.handle = cudnn::Handle::of_current_device(), q.plan = plan.get();
  Prepared prepared(planned<T>, q, plan->workspace());
  prepared.resource = plan;
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

constexpr KernelEntry kKernels[] = {{"Conv2D", prepare<Pass::output>},
                                    {"Conv2DBackpropInput", prepare<Pass::input_gradient>},
                                    {"Conv2DBackpropFilter", prepare<Pass::weight_gradient>}};

}  // namespace

std::span<const KernelEntry> gpu_kernels_conv2d();
std::span<const KernelEntry> gpu_kernels_conv2d() { return kKernels; }

}  // namespace twofold
