// CPU gradient of products. The product of x[j] + d_1[j] e_1 + ... + d_r[j] e_r, where every e_s is a number whose
// square is 0, has the derivatives along the directions as its coefficients, one for each set of the e_s. The
// coefficients of the elements before one and of those behind it, multiplied, are those of all others.
#include <algorithm>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/layout/walk.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

constexpr int64_t kTaskElements = 8192;  ///< about how much one task reads
constexpr int kMostDirections = internal::kMostProdDirections;

struct Params {
  Walk kept, reduced;
  int directions = 0;
};

/// The coefficients of a product, by set: bit s says that e_s is in it.
struct Coefficients {
  int directions;
  double of[1 << kMostDirections];

  explicit Coefficients(int r) : directions(r) {
    std::fill_n(of, sets(), 0.0);
    of[0] = 1;
  }
  int sets() const { return 1 << directions; }
  void multiply(double x, const double* d) {
    for (int set = sets(); set-- > 0;) {  // from the last on, as each is made of earlier ones
      double sum = of[set] * x;
      for (int s = 0; s < directions; ++s)
        if (set >> s & 1) sum += of[set ^ (1 << s)] * d[s];
      of[set] = sum;
    }
  }
};

template <class T>
void prod_grad_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const Params*>(params);
  const int r = p.directions;
  auto* y = static_cast<T*>(args[r + 1]);
  const auto input = [&](int k, int64_t at) { return static_cast<double>(static_cast<const T*>(args[k])[at]); };
  const auto include = [&](Coefficients& c, int64_t at) {
    double d[kMostDirections];
    for (int s = 0; s < r; ++s) d[s] = input(s + 1, at);
    c.multiply(input(0, at), d);
  };
  const int64_t units = p.kept.size(), count = p.reduced.size(), sets = int64_t{1} << r;
  if (count == 0) return;  // a Cursor needs at least one element
  const int64_t group = std::max<int64_t>(1, kTaskElements / (count + 1));
  ctx.parallel_for(ceil_div(units, group), [&](int64_t task) {
    for (int64_t u = task * group; u < std::min(units, (task + 1) * group); ++u) {
      const int64_t base = Cursor(p.kept, u).offset();
      double* saved = static_cast<double*>(ctx.workspace) + u * count * sets;
      Coefficients before(r), behind(r);
      Cursor place(p.reduced, 0);
      for (int64_t i = 0; i < count; ++i, place.next()) {
        std::copy_n(before.of, sets, saved + i * sets);
        include(before, base + place.offset());
      }
      for (int64_t i = count; i-- > 0;) {
        const int64_t at = base + Cursor(p.reduced, i).offset();
        double sum = 0;
        for (int64_t set = 0; set < sets; ++set) sum += saved[i * sets + set] * behind.of[sets - 1 - set];
        y[at] = static_cast<T>(sum);
        include(behind, at);
      }
    }
  });
}

}  // namespace

Prepared prepare_prod_grad(const Signature& s);
Prepared prepare_prod_grad(const Signature& s) {
  const Shape& x = s.inputs[0].shape;
  const Axes& axes = s.attrs_as<AxesAttrs>().axes;
  Params p;
  p.directions = static_cast<int>(s.inputs.size()) - 1;
  int64_t strides[kMaxRank] = {}, step = 1;
  for (int i = x.rank(); i-- > 0; step *= x[i]) strides[i] = step;
  for (int i = 0; i < x.rank(); ++i) {
    const bool reduced = axes.empty() || std::any_of(axes.begin(), axes.end(),
                                                     [&](int64_t a) { return i == (a < 0 ? a + x.rank() : a); });
    (reduced ? p.reduced : p.kept).push(x[i], strides[i]);
  }
  const size_t workspace = static_cast<size_t>(x.num_elements()) * sizeof(double) << p.directions;
  if (s.inputs[0].dtype == float32) return {prod_grad_kernel<float>, p, workspace};
  if (s.inputs[0].dtype == float64) return {prod_grad_kernel<double>, p, workspace};
  return {};
}

}  // namespace twofold
