// 3x3 convolutions as 16 matrix products of transformed tiles, summed over channels before they are transformed back;
// see winograd_transforms_cpu.h.
#include <algorithm>
#include <cstring>

#include <twofold/kernels/conv2d/winograd_cpu.h>
#include <twofold/kernels/conv2d/winograd_transforms_cpu.h>
#include <twofold/kernels/matmul/gemm_cpu.h>

namespace twofold::winograd {
namespace {

using Gemm = internal::PackedGemm<float>;

constexpr int64_t kTiles = 48;                ///< of a block
constexpr int64_t kStride = kTiles + kLanes;  ///< between rows of blocks: transforms write whole lanes
constexpr int64_t kChannels = 32;             ///< of a block
constexpr int64_t kWide = 64;                 ///< of a block of the result's channels in the weight's gradient

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Transformed tiles: an element for each place, channel and tile.
template <int64_t channels>
struct Block {
  /// To the next place: of an odd number of cache lines, so that the places of a tile fall into different sets.
  static constexpr int64_t kStep = channels * kStride + 16;
  alignas(64) float values[kPlaces * kStep];

  float* at(int place, int64_t channel, int64_t tile) { return values + place * kStep + channel * kStride + tile; }
};

/// The tiles of all images, one after another.
struct Tiles {
  int64_t batch, rows, columns;

  Tiles(int64_t images, int64_t h, int64_t w) : batch(images), rows(ceil_div(h, 2)), columns(ceil_div(w, 2)) {}
  int64_t count() const { return batch * rows * columns; }
  int64_t blocks() const { return ceil_div(count(), kTiles); }
  int64_t in_block(int64_t block) const { return std::min(kTiles, count() - block * kTiles); }

  /// Neighbours in a block: `n` <= kLanes tiles from `place` in it on. Row and column are those of their first result.
  struct Run {
    int64_t place, image, row, column, n;
  };
  struct Runs {
    Run all[kTiles];
    int count = 0;
    const Run* begin() const { return all; }
    const Run* end() const { return all + count; }
  };
  Runs runs(int64_t block) const {
    Runs r;
    const int64_t begin = block * kTiles, end = begin + in_block(block);
    for (int64_t tile = begin; tile < end; tile += r.all[r.count++].n) {
      const int64_t column = tile % columns, row = tile / columns;
      r.all[r.count] = {tile - begin, row / rows, 2 * (row % rows), 2 * column,
                        std::min({int64_t{kLanes}, columns - column, end - tile})};
    }
    return r;
  }
};

int64_t part(int64_t all, int64_t block, int64_t size) { return std::min(size, all - block * size); }

int64_t blocks(int64_t channels) { return ceil_div(channels, kChannels); }

class ProductRun {
 public:
  ProductRun(const Product& p, const float* source, const float* weight, void* workspace)
      : p_(p), source_(source), weight_(weight), packed_(static_cast<float*>(workspace)) {}

  void run(float* result, const float* bias, const KernelContext& ctx) const {
    ctx.parallel_for(p_.groups * to_blocks_ * from_blocks_, [&](int64_t i) {
      pack_weight(i / from_blocks_ / to_blocks_, i / from_blocks_ % to_blocks_, i % from_blocks_);
    });
    const int64_t n = tiles_.blocks();
    ctx.parallel_for(p_.groups * n, [&](int64_t i) { compute(result, bias, i / n, i % n); });
  }

 private:
  static int64_t filled(int64_t channels) { return ceil_div(channels, Gemm::Traits::nr) * Gemm::Traits::nr; }
  float* packed_weight(int64_t group, int64_t to, int64_t from, int place) const {
    return packed_ + (((group * to_blocks_ + to) * from_blocks_ + from) * kPlaces + place) * kChannels * kChannels;
  }

  void pack_weight(int64_t group, int64_t to, int64_t from) const {
    const int64_t m = part(p_.to_channels, to, kChannels), k = part(p_.from_channels, from, kChannels);
    alignas(64) float transformed[kPlaces][kChannels * kChannels] = {};
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < k; ++j) {
        float u[kPlaces];
        transform_kernel(weight_ + group * p_.of_group + (to * kChannels + i) * p_.of_result +
                             (from * kChannels + j) * p_.of_sum + p_.first_tap,
                         p_.step_h, p_.step_w, u);
        for (int place = 0; place < kPlaces; ++place) transformed[place][i * k + j] = u[place];
      }
    for (int place = 0; place < kPlaces; ++place)
      Gemm::pack_a(packed_weight(group, to, from, place), transformed[place], k, false, k, filled(m));
  }

  void compute(float* result, const float* bias, int64_t group, int64_t block) const {
    Block<kChannels> product;
    alignas(64) float packed[kPlaces][kChannels * kTiles];
    const int64_t tiles = tiles_.in_block(block);
    for (int64_t to = 0; to < to_blocks_; ++to) {
      for (int64_t from = 0; from < from_blocks_; ++from) {
        const int64_t k = part(p_.from_channels, from, kChannels);
        if (to == 0 || from_blocks_ > 1) pack_source(group, block, from, packed);
        for (int place = 0; place < kPlaces; ++place)
          Gemm::multiply(product.at(place, 0, 0), kStride, packed_weight(group, to, from, place), packed[place],
                         filled(part(p_.to_channels, to, kChannels)), k, tiles, from == 0);
      }
      write(result, bias, group, block, to, product);
    }
  }

  void pack_source(int64_t group, int64_t block, int64_t from, float (&packed)[kPlaces][kChannels * kTiles]) const {
    Block<kChannels> source;
    const int64_t k = part(p_.from_channels, from, kChannels), size = p_.from_h * p_.from_w;
    const Reader reader{source_, source_ + p_.batch * p_.groups * p_.from_channels * size, p_.from_h, p_.from_w};
    for (const Tiles::Run& run : tiles_.runs(block)) {
      const Window window(run.column - p_.pad_w, p_.from_w);
      const float* first = source_ + ((run.image * p_.groups + group) * p_.from_channels + from * kChannels) * size;
      for (int64_t c = 0; c < k; ++c)
        transform_source(reader, first + c * size, run.row - p_.pad_h, window, source.at(0, c, run.place),
                         source.kStep);
    }
    for (int place = 0; place < kPlaces; ++place)
      Gemm::pack_b(packed[place], source.at(place, 0, 0), kStride, false, k, tiles_.in_block(block));
  }

  void write(float* result, const float* bias, int64_t group, int64_t block, int64_t to,
             Block<kChannels>& product) const {
    const int64_t m = part(p_.to_channels, to, kChannels), size = p_.to_h * p_.to_w;
    for (const Tiles::Run& run : tiles_.runs(block)) {
      const int64_t channel = group * p_.to_channels + to * kChannels;
      float* first =
          result + (run.image * p_.groups * p_.to_channels + channel) * size + run.row * p_.to_w + run.column;
      const int64_t rows = std::min<int64_t>(2, p_.to_h - run.row), columns = std::min(2 * run.n, p_.to_w - run.column);
      for (int64_t c = 0; c < m; ++c) {
        float y[2][2 * kLanes];
        transform_result(product.at(0, c, run.place), product.kStep, bias ? bias[channel + c] : 0, y);
        for (int64_t r = 0; r < rows; ++r)
          std::memcpy(first + c * size + r * p_.to_w, y[r], static_cast<size_t>(columns) * sizeof(float));
      }
    }
  }

  const Product& p_;
  const Tiles tiles_{p_.batch, p_.to_h, p_.to_w};
  const int64_t to_blocks_ = blocks(p_.to_channels), from_blocks_ = blocks(p_.from_channels);
  const float *source_, *weight_;
  float* packed_;
};

/// The weight's gradient is the adjoint of the output: sums over tiles of (A dy A^T) . (B^T d B), of which each chunk
/// of the blocks makes a part; the parts are added in order.
class WeightGradientRun {
 public:
  explicit WeightGradientRun(const Conv2dProblem& p) : p_(p), tiles_(p.batch, p.h.out, p.w.out) {
    // Few enough that the parts are small beside the work, and their memory is bounded.
    constexpr int64_t kMaxChunks = 32, kMinBlocks = 8, kMaxBytes = 64 << 20;
    const int64_t bytes = size() * static_cast<int64_t>(sizeof(float));
    const int64_t most = std::clamp<int64_t>(kMaxBytes / bytes, 1, kMaxChunks);
    per_chunk_ = std::max(kMinBlocks, ceil_div(tiles_.blocks(), most));
  }
  size_t workspace() const { return static_cast<size_t>(chunks() * size()) * sizeof(float); }

  void run(void* const* args, const KernelContext& ctx) const {
    float* parts = static_cast<float*>(ctx.workspace);
    const int64_t pairs = outs() * ins();
    ctx.parallel_for(chunks() * p_.groups * pairs, [&](int64_t i) {
      add_chunk(static_cast<const float*>(args[0]), static_cast<const float*>(args[1]), parts, i / pairs / p_.groups,
                i / pairs % p_.groups, i % pairs / ins(), i % ins());
    });
    float* dw = static_cast<float*>(args[3]);
    ctx.parallel_for(p_.groups * p_.out_channels, [&](int64_t o) { finish(dw, parts, o); });
  }

 private:
  int64_t chunks() const { return ceil_div(tiles_.blocks(), per_chunk_); }
  int64_t outs() const { return ceil_div(p_.out_channels, kWide); }
  int64_t ins() const { return ceil_div(p_.in_channels, kChannels); }
  int64_t plane() const { return p_.groups * p_.out_channels * p_.in_channels; }
  int64_t size() const { return kPlaces * plane(); }

  void add_chunk(const float* x, const float* dy, float* parts, int64_t chunk, int64_t group, int64_t out,
                 int64_t in) const {
    const int64_t m = part(p_.out_channels, out, kWide), n = part(p_.in_channels, in, kChannels);
    const int64_t x_size = p_.h.in * p_.w.in, y_size = p_.h.out * p_.w.out;
    float* sums = parts + chunk * size() + (group * p_.out_channels + out * kWide) * p_.in_channels + in * kChannels;
    const Reader xs{x, x + p_.batch * p_.groups * p_.in_channels * x_size, p_.h.in, p_.w.in};
    const Reader dys{dy, dy + p_.batch * p_.groups * p_.out_channels * y_size, p_.h.out, p_.w.out};
    Block<kChannels> source;
    Block<kWide> gradient;
    alignas(64) float packed_a[kWide * kTiles], packed_b[kChannels * kTiles];
    const int64_t begin = chunk * per_chunk_, end = std::min(tiles_.blocks(), begin + per_chunk_);
    for (int64_t block = begin; block < end; ++block) {
      for (const Tiles::Run& run : tiles_.runs(block)) {
        const float* x0 = x + ((run.image * p_.groups + group) * p_.in_channels + in * kChannels) * x_size;
        const float* y0 = dy + ((run.image * p_.groups + group) * p_.out_channels + out * kWide) * y_size;
        const Window of_x(run.column - p_.w.pad(), p_.w.in), of_dy(run.column, p_.w.out);
        for (int64_t c = 0; c < n; ++c)
          transform_source(xs, x0 + c * x_size, run.row - p_.h.pad(), of_x, source.at(0, c, run.place), source.kStep);
        for (int64_t o = 0; o < m; ++o)
          transform_gradient(dys, y0 + o * y_size, run.row, of_dy, gradient.at(0, o, run.place), gradient.kStep);
      }
      const int64_t depth = tiles_.in_block(block);
      for (int place = 0; place < kPlaces; ++place) {
        Gemm::pack_a(packed_a, gradient.at(place, 0, 0), kStride, false, depth, m);
        Gemm::pack_b(packed_b, source.at(place, 0, 0), kStride, true, depth, n);
        Gemm::multiply(sums + place * plane(), p_.in_channels, packed_a, packed_b, m, depth, n, block == begin);
      }
    }
  }

  /// The gradient of output channel o of all groups.
  void finish(float* dw, const float* parts, int64_t o) const {
    for (int64_t c = 0; c < p_.in_channels; ++c) {
      float s[kPlaces] = {};
      for (int64_t chunk = 0; chunk < chunks(); ++chunk)
        for (int place = 0; place < kPlaces; ++place)
          s[place] += parts[chunk * size() + place * plane() + o * p_.in_channels + c];
      transform_sum(s, dw + (o * p_.in_channels + c) * 9);
    }
  }

  Conv2dProblem p_;
  Tiles tiles_;
  int64_t per_chunk_;
};

void weight_gradient_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  WeightGradientRun(*static_cast<const Conv2dProblem*>(params)).run(args, ctx);
}

}  // namespace

bool fits(const Conv2dProblem& p) {
  constexpr int64_t kFewChannels = 16, kFewResults = 8;
  const auto axis = [](const WindowAxis& a) {
    return a.kernel == 3 && a.stride == 1 && a.dilation == 1 && a.out >= kFewResults;
  };
  return p.format == DataFormat::nchw && axis(p.h) && axis(p.w) && p.in_channels >= kFewChannels &&
         p.out_channels >= kFewChannels && p.batch > 0;
}

Product Product::output(const Conv2dProblem& p) {
  return {p.batch,
          p.groups,
          p.in_channels,
          p.out_channels,
          p.h.in,
          p.w.in,
          p.h.out,
          p.w.out,
          p.h.pad(),
          p.w.pad(),
          p.out_channels * p.in_channels * 9,
          p.in_channels * 9,
          9,
          0,
          3,
          1};
}

Product Product::input_gradient(const Conv2dProblem& p) {
  return {p.batch,
          p.groups,
          p.out_channels,
          p.in_channels,
          p.h.out,
          p.w.out,
          p.h.in,
          p.w.in,
          2 - p.h.pad(),
          2 - p.w.pad(),
          p.out_channels * p.in_channels * 9,
          9,
          p.in_channels * 9,
          8,
          -3,
          -1};
}

size_t Product::workspace() const {
  const int64_t packed = groups * blocks(to_channels) * blocks(from_channels);
  return static_cast<size_t>(packed * kPlaces * kChannels * kChannels) * sizeof(float);
}

bool Product::suits(const float* weight) const {
  constexpr uint32_t kAll = (1 << 9) - 1;
  for (int64_t i = 0; i < groups * to_channels; ++i) {
    const float* kernel = weight + i / to_channels * of_group + i % to_channels * of_result;
    uint32_t taps = 0;
    for (int64_t c = 0; c < from_channels && taps != kAll; ++c, kernel += of_sum)
      for (int k = 0; k < 9; ++k) taps |= static_cast<uint32_t>(kernel[k] != 0) << k;
    if (taps != kAll && taps != 0) return false;
  }
  return true;
}

void Product::run(const float* source, const float* weight, const float* bias, float* result, void* workspace,
                  const KernelContext& ctx) const {
  ProductRun(*this, source, weight, workspace).run(result, bias, ctx);
}

Prepared weight_gradient(const Conv2dProblem& p) {
  return {weight_gradient_kernel, p, WeightGradientRun(p).workspace()};
}

}  // namespace twofold::winograd
