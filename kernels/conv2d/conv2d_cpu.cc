#include <twofold/kernels/conv2d/columns_cpu.h>
#include <twofold/kernels/conv2d/taps_cpu.h>
#include <twofold/kernels/conv2d/winograd_cpu.h>
#include <twofold/kernels/matmul/gemm_cpu.h>

namespace twofold {
namespace {

// The output and the input's gradient are one computation, weights times patches: that of x, or that of dy, once for
// every phase of the stride.

struct PatchProduct {
  Patches patches;
  int64_t batch, channels;              ///< of one group of the result
  int64_t result_h, result_w;           ///< the result's full extents
  int64_t of_group, of_result, of_sum;  ///< steps in the weight: to the next group, result channel, summed channel
  int64_t kernel_h, kernel_w;

  static PatchProduct output(const Conv2dProblem& p) {
    const int64_t window = p.h.kernel * p.w.kernel, filter = p.in_channels * window;
    return {{p.format, p.groups, p.in_channels, Taps::of_output(p.h), Taps::of_output(p.w)},
            p.batch,
            p.out_channels,
            p.h.out,
            p.w.out,
            p.out_channels * filter,
            filter,
            window,
            p.h.kernel,
            p.w.kernel};
  }
  static PatchProduct input(const Conv2dProblem& p, int64_t phase_h, int64_t phase_w) {
    const int64_t window = p.h.kernel * p.w.kernel, filter = p.in_channels * window;
    return {{p.format, p.groups, p.out_channels, Taps::of_input(p.h, phase_h), Taps::of_input(p.w, phase_w)},
            p.batch,
            p.in_channels,
            p.h.in,
            p.w.in,
            p.out_channels * filter,
            window,
            filter,
            p.h.kernel,
            p.w.kernel};
  }
  bool nchw() const { return patches.format == DataFormat::nchw; }
  /// Whether the pixels computed are all of the result's.
  bool whole() const { return patches.h.spacing == 1 && patches.w.spacing == 1; }
  int64_t result_size() const { return batch * patches.groups * channels * result_h * result_w; }
};

template <class T>
class PatchProductRun {
  using Gemm = internal::PackedGemm<T>;
  using Size = BlockSize<T>;

 public:
  /// Bytes of the workspace, enough for every phase of the stride.
  static size_t workspace(const PatchProduct& p) {
    const int64_t depth = p.patches.channels * p.kernel_h * p.kernel_w;
    const int64_t blocks = ceil_div(depth, Size::kDepth) * ceil_div(p.channels, Size::kChannels) * p.patches.groups;
    return static_cast<size_t>(blocks * packed_weight(p)) * sizeof(T);
  }

  PatchProductRun(const PatchProduct& p, void* const* args, void* workspace)
      : p_(p),
        source_(static_cast<const T*>(args[0])),
        weight_(static_cast<const T*>(args[1])),
        packed_(static_cast<T*>(workspace)),
        depth_(Cut::evenly(p.patches.depth(), Size::kDepth)),
        channels_(Cut::evenly(p.channels, Size::kChannels)),
        tiles_(p.patches, p.batch) {}

  /// `bias`: added to each of the result's channels; null for none.
  void run(T* result, const T* bias, const KernelContext& ctx) const {
    ctx.parallel_for(p_.patches.groups * channels_.count * depth_.count, [&](int64_t i) {
      pack_weight(i / depth_.count / channels_.count, i / depth_.count % channels_.count, i % depth_.count);
    });
    const int64_t groups = p_.patches.groups;
    ctx.parallel_for(tiles_.count() * groups * channels_.count, [&](int64_t i) {
      const int64_t block = i / channels_.count;
      multiply(result, bias, tiles_[block / groups], block % groups, i % channels_.count);
    });
  }

 private:
  /// `channels` rounded up, with zeros, to the inner kernel's width: its remainder loops are slow.
  static int64_t filled(const PatchProduct& p, int64_t channels) {
    const int64_t width = p.nchw() ? Gemm::Traits::nr : Gemm::Traits::LhsProgress;
    return ceil_div(channels, width) * width;
  }
  static int64_t packed_weight(const PatchProduct& p) {
    return ceil_div(filled(p, std::min(p.channels, Size::kChannels)) * Size::kDepth, 16) * 16;
  }
  T* packed_weight(int64_t group, int64_t c, int64_t d) const {
    return packed_ + ((group * channels_.count + c) * depth_.count + d) * packed_weight(p_);
  }

  void pack_weight(int64_t group, int64_t c, int64_t d) const {
    const Patches& s = p_.patches;
    alignas(64) T block[Size::kChannels * Size::kDepth];
    const int64_t depth = depth_.size(d), channels = channels_.size(c), rows = filled(p_, channels);
    Patches::Element e = s.element(depth_.begin(d));
    for (int64_t k = 0; k < depth; ++k, s.to_next(e)) {
      const T* from = weight_ + group * p_.of_group + channels_.begin(c) * p_.of_result + e.channel * p_.of_sum +
                      (s.h.kernel + e.tap_h * s.h.kernel_step) * p_.kernel_w + s.w.kernel + e.tap_w * s.w.kernel_step;
      for (int64_t m = 0; m < rows; ++m) block[m * depth + k] = m < channels ? from[m * p_.of_result] : T(0);
    }
    T* to = packed_weight(group, c, d);
    p_.nchw() ? Gemm::pack_a(to, block, depth, false, depth, rows) : Gemm::pack_b(to, block, depth, true, depth, rows);
  }

  void multiply(T* result, const T* bias, const typename PixelTiles<T>::Tile& tile, int64_t group, int64_t c) const {
    const Patches& s = p_.patches;
    const int64_t p0 = tile.begin, count = tile.count;
    const int64_t channels = channels_.size(c), rows = filled(p_, channels);
    const int64_t plane = p_.result_h * p_.result_w, all = s.groups * p_.channels;
    const int64_t channel = group * p_.channels + channels_.begin(c);
    T* to = result + tile.image * all * plane + channel * (p_.nchw() ? plane : 1);
    alignas(64) T buffer[Size::kDepth * Size::kPixels + Patches::kSlack], packed[Size::kDepth * Size::kPixels],
        local[Size::kChannels * Size::kPixels];
    const bool together = !p_.nchw() || p0 + count <= plane;  // whether the tile's pixels are contiguous in the result
    const bool in_place = p_.whole() && rows == channels && depth_.count > 0 && together;
    T* product = !in_place ? local : to + p0 * (p_.nchw() ? 1 : all);
    const int64_t stride = !in_place ? (p_.nchw() ? count : rows) : p_.nchw() ? plane : all;
    if (depth_.count == 0) std::fill_n(local, std::size(local), T(0));  // a sum of nothing
    for (int64_t d = 0; d < depth_.count; ++d) {
      const int64_t depth = depth_.size(d);
      const auto block = s.block(source_, tile.image, group, depth_.begin(d), depth, p0, count, buffer);
      const T* weight = packed_weight(group, c, d);
      if (p_.nchw()) {
        Gemm::pack_b(packed, block.data, block.stride, s.by_pixel, depth, count);
        Gemm::multiply(product, stride, weight, packed, rows, depth, count, d == 0);
      } else {
        Gemm::pack_a(packed, block.data, block.stride, false, depth, count);
        Gemm::multiply(product, stride, packed, weight, count, depth, rows, d == 0);
      }
    }
    if (bias) add_bias(product, stride, bias + channel, count, channels);
    if (!in_place) scatter(local, stride, to, p0, count, channels);
  }

  void add_bias(T* product, int64_t stride, const T* bias, int64_t count, int64_t channels) const {
    if (p_.nchw())
      for (int64_t m = 0; m < channels; ++m)
        for (int64_t i = 0; i < count; ++i) product[m * stride + i] += bias[m];
    else
      for (int64_t i = 0; i < count; ++i)
        for (int64_t m = 0; m < channels; ++m) product[i * stride + m] += bias[m];
  }

  /// Copies a tile's product to where its pixels lie in the result.
  void scatter(const T* product, int64_t stride, T* to, int64_t p0, int64_t count, int64_t channels) const {
    const Taps &h = p_.patches.h, &w = p_.patches.w;
    const int64_t plane = p_.result_h * p_.result_w, all = p_.patches.groups * p_.channels;
    const int64_t rows = p_.whole() ? 1 : h.outputs, columns = p_.whole() ? plane : w.outputs;
    int64_t row = p0 / columns, column = p0 % columns;
    for (int64_t i = 0; i < count; ++row, column = 0) {
      if (row == rows) row = 0, to += plane * all;
      const int64_t run = std::min(columns - column, count - i);
      const int64_t pixel = (h.first + row * h.spacing) * p_.result_w + w.first + column * w.spacing;
      if (p_.nchw() && w.spacing == 1)
        for (int64_t m = 0; m < channels; ++m) std::copy_n(product + m * stride + i, run, to + m * plane + pixel);
      else if (p_.nchw())
        for (int64_t m = 0; m < channels; ++m)
          for (int64_t j = 0; j < run; ++j) to[m * plane + pixel + j * w.spacing] = product[m * stride + i + j];
      else
        for (int64_t j = 0; j < run; ++j)
          std::copy_n(product + (i + j) * stride, channels, to + (pixel + j * w.spacing) * all);
      i += run;
    }
  }

  const PatchProduct& p_;
  const T *source_, *weight_;
  T* packed_;
  Cut depth_, channels_;
  PixelTiles<T> tiles_;
};

template <class T>
void zero(T* to, int64_t n, const KernelContext& ctx) {
  constexpr int64_t kChunk = 65536;
  ctx.parallel_for(ceil_div(n, kChunk),
                   [&](int64_t i) { std::fill_n(to + i * kChunk, std::min(kChunk, n - i * kChunk), T(0)); });
}

/// What the kernels of the output and of the input's gradient are told.
struct Params {
  Conv2dProblem problem;
  bool winograd;         ///< may be used, if the weights suit it
  bool columns = false;  ///< of the input's gradient: used if all taps take part
};

template <class T, bool with_bias>
void output(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& [problem, winograd, columns] = *static_cast<const Params*>(params);
  const auto* weight = static_cast<const T*>(args[1]);
  const T* bias = with_bias ? static_cast<const T*>(args[2]) : nullptr;
  T* y = static_cast<T*>(args[with_bias ? 3 : 2]);
  const UsedTaps used(problem, weight, ctx.workspace);
  void* workspace = static_cast<std::byte*>(ctx.workspace) + UsedTaps::workspace(problem);
  if constexpr (std::is_same_v<T, float>) {
    const auto product = winograd::Product::output(problem);
    if (winograd && used.all() && product.suits(weight))
      return product.run(static_cast<const T*>(args[0]), weight, bias, y, workspace, ctx);
  }
  auto p = PatchProduct::output(problem);
  used.restrict(p.patches);
  PatchProductRun<T>(p, args, workspace).run(y, bias, ctx);
}

/// `inputs`: the number of arguments before the result.
template <class T, int inputs>
void input_gradient(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& [problem, winograd, columns] = *static_cast<const Params*>(params);
  const auto* weight = static_cast<const T*>(args[1]);
  T* dx = static_cast<T*>(args[inputs]);
  const UsedTaps used(problem, weight, ctx.workspace);
  void* workspace = static_cast<std::byte*>(ctx.workspace) + UsedTaps::workspace(problem);
  if constexpr (std::is_same_v<T, float>) {
    const auto product = winograd::Product::input_gradient(problem);
    if (winograd && used.all() && product.suits(weight))
      return product.run(static_cast<const T*>(args[0]), weight, nullptr, dx, workspace, ctx);
  }
  if (columns && used.all())
    return InputGradientByColumns<T>(problem).run(static_cast<const T*>(args[0]), weight, dx, ctx);
  // Where strides pass over inputs, some phases meet no kernel element, and dx is 0.
  bool all_met = problem.out_channels > 0;
  for (const WindowAxis* a : {&problem.h, &problem.w})
    all_met = all_met && a->stride <= a->kernel && (a->stride == 1 || std::gcd(a->stride, a->dilation) == 1);
  if (!all_met) zero(dx, PatchProduct::input(problem, 0, 0).result_size(), ctx);
  if (problem.out_channels == 0) return;
  for (int64_t i = 0; i < std::min(problem.h.stride, problem.h.in); ++i) {
    if (Taps::of_input(problem.h, i).count == 0) continue;
    for (int64_t j = 0; j < std::min(problem.w.stride, problem.w.in); ++j) {
      auto p = PatchProduct::input(problem, i, j);
      if (p.patches.w.count == 0) continue;
      used.restrict(p.patches);
      PatchProductRun<T>(p, args, workspace).run(dx, nullptr, ctx);
    }
  }
}

/// dw[o, k] = sum over images and pixels of dy[o, pixel] * patch[k, pixel]: partial sums over fixed chunks of the
/// pixels of all images, added in order.
template <class T>
class WeightGradient {
  using Gemm = internal::PackedGemm<T>;
  using Size = BlockSize<T>;

 public:
  explicit WeightGradient(const Conv2dProblem& p)
      : p_(p),
        patches_{p.format, p.groups, p.in_channels, Taps::of_output(p.h), Taps::of_output(p.w)},
        outputs_(Patches::each(p.format, p.groups, p.out_channels, p.h.out * p.w.out, 0, p.h.out * p.w.out)),
        tiles_(patches_, p.batch),
        depth_(Cut::evenly(patches_.depth(), Size::kDepth)),
        channels_(Cut::evenly(p.out_channels, Size::kChannels)),
        chunks_(Cut::of_length(tiles_.count(), 1)) {
    // Few enough that the partial sums are small beside the work, and their memory is bounded.
    constexpr int64_t kMaxChunks = 32, kMinBlocks = 4, kMaxBytes = 64 << 20;
    const int64_t bytes = std::max<int64_t>(1, size() * static_cast<int64_t>(sizeof(T)));
    const int64_t most = std::clamp<int64_t>(kMaxBytes / bytes, 1, kMaxChunks);
    chunks_ = Cut::evenly(chunks_.extent, std::max(kMinBlocks, ceil_div(chunks_.extent, most)));
  }
  size_t workspace() const { return static_cast<size_t>(chunks_.count * size()) * sizeof(T); }

  void run(void* const* args, const KernelContext& ctx) const {
    T* partials = static_cast<T*>(ctx.workspace);
    const int64_t blocks = p_.groups * channels_.count * depth_.count;
    ctx.parallel_for(chunks_.count * blocks, [&](int64_t i) {
      const int64_t chunk = i / blocks, group = i % blocks / (channels_.count * depth_.count);
      multiply(static_cast<const T*>(args[0]), static_cast<const T*>(args[1]), partials + chunk * size(), chunk, group,
               i / depth_.count % channels_.count, i % depth_.count);
    });
    T* dw = static_cast<T*>(args[3]);
    ctx.parallel_for(p_.groups * p_.out_channels, [&](int64_t o) { add_up(dw, partials, o); });
  }

 private:
  int64_t size() const { return p_.groups * p_.out_channels * patches_.depth(); }

  void multiply(const T* x, const T* dy, T* partial, int64_t chunk, int64_t group, int64_t c, int64_t d) const {
    const int64_t cols = depth_.size(d), rows = channels_.size(c);
    const int64_t channel = group * p_.out_channels + channels_.begin(c);
    T* to = partial + channel * patches_.depth() + depth_.begin(d);
    alignas(64) T buffer[Size::kDepth * Size::kPixels + Patches::kSlack], packed_b[Size::kDepth * Size::kPixels],
        packed_a[Size::kPixels * Size::kChannels];
    static_assert(Size::kChannels <= Size::kDepth);
    const int64_t first = chunks_.begin(chunk);
    for (int64_t i = first; i < first + chunks_.size(chunk); ++i) {
      const auto [image, p0, count] = tiles_[i];
      const auto b = patches_.block(x, image, group, depth_.begin(d), cols, p0, count, buffer);
      Gemm::pack_b(packed_b, b.data, b.stride, !patches_.by_pixel, count, cols);
      const auto a = outputs_.block(dy, image, group, channels_.begin(c), rows, p0, count, buffer);
      Gemm::pack_a(packed_a, a.data, a.stride, outputs_.by_pixel, count, rows);
      Gemm::multiply(to, patches_.depth(), packed_a, packed_b, rows, count, cols, i == first);
    }
  }

  /// The gradient of output channel `o`, whose elements lie in the patches' order in the partial sums.
  void add_up(T* dw, const T* partials, int64_t o) const {
    const int64_t depth = patches_.depth(), taps = p_.h.kernel * p_.w.kernel, of_chunk = size();
    const bool nchw = p_.format == DataFormat::nchw;
    alignas(64) T sum[Size::kDepth];
    for (int64_t k0 = 0; k0 < depth; k0 += Size::kDepth) {
      const int64_t n = std::min(Size::kDepth, depth - k0);
      std::fill_n(sum, n, T(0));
      for (int64_t chunk = 0; chunk < chunks_.count; ++chunk)
        for (int64_t k = 0; k < n; ++k) sum[k] += partials[chunk * of_chunk + o * depth + k0 + k];
      if (nchw)
        std::copy_n(sum, n, dw + o * depth + k0);
      else
        for (int64_t k = 0; k < n; ++k)
          dw[o * depth + (k0 + k) % p_.in_channels * taps + (k0 + k) / p_.in_channels] = sum[k];
    }
  }

  Conv2dProblem p_;
  Patches patches_, outputs_;  ///< of x, and dy itself
  PixelTiles<T> tiles_;
  Cut depth_, channels_, chunks_;
};

template <class T>
void weight_gradient(const void* params, void* const* args, KernelContext& ctx) noexcept {
  WeightGradient<T>(*static_cast<const Conv2dProblem*>(params)).run(args, ctx);
}

/// Whether Winograd's algorithm may be used, by dtype, mode and shapes. The weights must suit it, too: a run looks.
template <class T>
bool may_transform(const Conv2dProblem& p, MathMode mode) {
  return std::is_same_v<T, float> && mode != MathMode::pedantic && winograd::fits(p);
}

/// Bytes for a run of `p`, or of `product` where that may be done instead.
template <class T>
size_t workspace(const Params& params, const PatchProduct& p, const winograd::Product& product) {
  const size_t patches = PatchProductRun<T>::workspace(p), tiles = params.winograd ? product.workspace() : 0;
  return UsedTaps::workspace(params.problem) + std::max(patches, tiles);
}

template <class T>
Prepared choose_output(const Signature& s) {
  const Conv2dProblem p(s.attrs_as<Conv2dOptions>(), s.inputs[0].shape, s.inputs[1].shape, s.outputs[0].shape);
  const Params params{p, may_transform<T>(p, s.math_mode)};
  return {s.inputs.size() == 3 ? output<T, true> : output<T, false>, params,
          workspace<T>(params, PatchProduct::output(p), winograd::Product::output(p))};
}
template <class T>
Prepared choose_input_gradient(const Signature& s) {
  const Conv2dProblem p(s.attrs_as<Conv2dTransposeOptions>(), s.outputs[0].shape, s.inputs[1].shape, s.inputs[0].shape);
  const InputGradientByColumns<T> by_columns(p);
  const bool winograd = may_transform<T>(p, s.math_mode), columns = !winograd && by_columns.cheaper();
  const Params params{p, winograd, columns};
  const size_t bytes = workspace<T>(params, PatchProduct::input(p, 0, 0), winograd::Product::input_gradient(p));
  return {s.inputs.size() == 3 ? input_gradient<T, 3> : input_gradient<T, 2>, params,
          columns ? std::max(bytes, by_columns.workspace()) : bytes};
}
template <class T>
Prepared choose_weight_gradient(const Signature& s) {
  const Conv2dProblem p(s.attrs_as<Conv2dOptions>(), s.inputs[0].shape, s.outputs[0].shape, s.inputs[1].shape);
  if (may_transform<T>(p, s.math_mode)) return winograd::weight_gradient(p);
  return {weight_gradient<T>, p, WeightGradient<T>(p).workspace()};
}

template <PrepareFn for_float, PrepareFn for_double>
Prepared prepare(const Signature& s) {
  if (s.inputs[0].dtype == float32) return for_float(s);
  if (s.inputs[0].dtype == float64) return for_double(s);
  return {};
}

constexpr KernelEntry kKernels[] = {
    {op_name::Conv2D, prepare<choose_output<float>, choose_output<double>>},
    {op_name::Conv2DBackpropInput, prepare<choose_input_gradient<float>, choose_input_gradient<double>>},
    {op_name::Conv2DBackpropFilter, prepare<choose_weight_gradient<float>, choose_weight_gradient<double>>}};

}  // namespace

std::span<const KernelEntry> cpu_kernels_conv2d();
std::span<const KernelEntry> cpu_kernels_conv2d() { return kKernels; }

}  // namespace twofold
