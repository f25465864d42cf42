// CUDA gradient of products, as on the CPU: the coefficients of the elements before one and of those behind it,
// multiplied. The elements of an output are split among threads, which first find the coefficients of their own.
#include <algorithm>

#include <twofold/kernels/cuda/share.h>
#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/reduce/reduce.h>

namespace twofold {
namespace {

constexpr int kMostDirections = internal::kMostProdDirections;
constexpr int kThreads = 64;

struct ProdGradParams {
  Walk kept, reduced;
  int64_t units, count;   ///< the outputs, and the elements of each
  int64_t splits, chunk;  ///< of a unit's elements
  int directions;
};

template <class T>
struct Inputs {
  const T* of[1 + kMostDirections];  ///< x, then the directions
};

/// The coefficients of a product, by set: bit s says that e_s is in it.
class Coefficients {
 public:
  __device__ explicit Coefficients(int directions) : directions_(directions) {
    for (int set = 1; set < sets(); ++set) of_[set] = 0;
    of_[0] = 1;
  }
  __device__ int sets() const { return 1 << directions_; }
  __device__ double operator[](int set) const { return of_[set]; }

  template <class T>
  __device__ void include(const Inputs<T>& in, int64_t at) {
    const double x = static_cast<double>(in.of[0][at]);
    double d[kMostDirections];
    for (int s = 0; s < directions_; ++s) d[s] = static_cast<double>(in.of[s + 1][at]);
    for (int set = sets(); set-- > 0;) {  // from the last on, as each is made of earlier ones
      double sum = of_[set] * x;
      for (int s = 0; s < directions_; ++s)
        if (set >> s & 1) sum += of_[set ^ (1 << s)] * d[s];
      of_[set] = sum;
    }
  }
  /// Multiplies by another product, given its coefficients.
  __device__ void include(const double* other) {
    for (int set = sets(); set-- > 0;) {
      double sum = of_[set] * other[0];
      for (int part = set; part > 0; part = (part - 1) & set) sum += of_[set ^ part] * other[part];
      of_[set] = sum;
    }
  }

 private:
  int directions_;
  double of_[1 << kMostDirections];
};

/// Calls `f(unit, split, first, last)` for this thread's elements of a unit.
template <class F>
__device__ void for_share(const ProdGradParams& p, const F& f) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (thread >= p.units * p.splits) return;
  const int64_t split = thread % p.splits;
  f(thread / p.splits, split, split * p.chunk, std::min(p.count, (split + 1) * p.chunk));
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    split_products(Inputs<T> in, double* products, const __grid_constant__ ProdGradParams p) {
  for_share(p, [&](int64_t unit, int64_t split, int64_t first, int64_t last) {
    const int64_t base = cuda::offset_of(p.kept, unit);
    Coefficients c(p.directions);
    for (int64_t i = first; i < last; ++i) c.include(in, base + cuda::offset_of(p.reduced, i));
    for (int set = 0; set < c.sets(); ++set) products[(unit * p.splits + split) * c.sets() + set] = c[set];
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads) prod_grad_kernel(Inputs<T> in, T* y, const double* products, double* saved,
                                                             const __grid_constant__ ProdGradParams p) {
  for_share(p, [&](int64_t unit, int64_t split, int64_t first, int64_t last) {
    const int64_t base = cuda::offset_of(p.kept, unit);
    Coefficients before(p.directions), behind(p.directions);
    const int sets = before.sets();
    const double* of_split = products + unit * p.splits * sets;
    for (int64_t k = 0; k < split; ++k) before.include(of_split + k * sets);
    for (int64_t k = p.splits; --k > split;) behind.include(of_split + k * sets);
    saved += unit * p.count * sets;
    for (int64_t i = first; i < last; ++i) {
      for (int set = 0; set < sets; ++set) saved[i * sets + set] = before[set];
      before.include(in, base + cuda::offset_of(p.reduced, i));
    }
    for (int64_t i = last; i-- > first;) {
      const int64_t at = base + cuda::offset_of(p.reduced, i);
      double sum = 0;
      for (int set = 0; set < sets; ++set) sum += saved[i * sets + set] * behind[sets - 1 - set];
      y[at] = static_cast<T>(sum);
      behind.include(in, at);
    }
  });
}

template <class T>
void prod_grad(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const ProdGradParams*>(params);
  if (p.units * p.count == 0) return;
  Inputs<T> in{};
  for (int i = 0; i <= p.directions; ++i) in.of[i] = static_cast<const T*>(args[i]);
  auto* y = static_cast<T*>(args[p.directions + 1]);
  auto* saved = static_cast<double*>(ctx.workspace);
  double* products = saved + (p.units * p.count << p.directions);
  const auto blocks = static_cast<unsigned>(ceil_div(p.units * p.splits, kThreads));
  if (p.splits > 1) split_products<<<blocks, kThreads, 0, cuda::stream_of(ctx)>>>(in, products, p);
  prod_grad_kernel<<<blocks, kThreads, 0, cuda::stream_of(ctx)>>>(in, y, products, saved, p);
  cuda::check_launch(ctx);
}

}  // namespace

Prepared prepare_prod_grad(const Signature& s);
Prepared prepare_prod_grad(const Signature& s) {
  const Shape& x = s.inputs[0].shape;
  const Axes& axes = s.attrs_as<AxesAttrs>().axes;
  ProdGradParams p{};
  p.directions = static_cast<int>(s.inputs.size()) - 1;
  int64_t strides[kMaxRank] = {}, step = 1;
  for (int i = x.rank(); i-- > 0; step *= x[i]) strides[i] = step;
  for (int i = 0; i < x.rank(); ++i) {
    const bool reduced = axes.empty() || std::any_of(axes.begin(), axes.end(),
                                                     [&](int64_t a) { return i == (a < 0 ? a + x.rank() : a); });
    if (x[i] != 1) (reduced ? p.reduced : p.kept).push(x[i], strides[i]);
  }
  p.units = p.kept.size(), p.count = p.reduced.size();
  // A thread goes through all splits of its unit, with 3^directions steps each.
  constexpr int64_t kMostSplits = 1024, kWantedThreads = 65536, kFew = 8;
  const int64_t wanted =
      std::min({kMostSplits >> p.directions, kWantedThreads / std::max<int64_t>(1, p.units), p.count / kFew});
  p.chunk = ceil_div(p.count, std::max<int64_t>(1, wanted));
  p.splits = p.count > 0 ? ceil_div(p.count, p.chunk) : 1;
  const int64_t products = p.splits > 1 ? p.units * p.splits : 0;
  const size_t workspace = static_cast<size_t>(x.num_elements() + products) * sizeof(double) << p.directions;
  if (s.inputs[0].dtype == float32) return {prod_grad<float>, p, workspace};
  if (s.inputs[0].dtype == float64) return {prod_grad<double>, p, workspace};
  return {};
}

}  // namespace twofold
