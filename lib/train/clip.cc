#include <twofold/lib/train/clip.h>

#include <fmt/format.h>

#include <algorithm>

#include <twofold/kernels/array/array.h>
#include <twofold/kernels/pointwise/if_arrived.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/backward.h>

namespace twofold::train {
namespace {

void check_bound(const char* name, double bound) {
  if (!(bound >= 0)) fail(Code::InvalidArgument, fmt::format("Invalid {}: {}; it must not be negative", name, bound));
}

// f of each that there is. What control flow left out is told to be so again.
template <class F>
std::vector<Tensor> map_gradients(const std::vector<Tensor>& gradients, F f) {
  std::vector<Tensor> mapped;
  for (const Tensor& g : gradients) {
    const Tensor arrived = gradient_of(g).arrived;
    Tensor y = g.defined() ? f(g) : Tensor();
    if (arrived.defined()) y = if_arrived(arrived, y, 0);
    mapped.push_back(std::move(y));
  }
  return mapped;
}

}  // namespace

std::pair<std::vector<Tensor>, Tensor> clip_by_global_norm(const std::vector<Tensor>& gradients, double max_norm,
                                                           std::source_location where) {
  const SourceScope source_scope(where);
  check_bound("max_norm", max_norm);
  std::vector<Tensor> norms;
  for (const Tensor& g : gradients)
    if (g.defined()) norms.push_back(internal::sum_of_squares(g, {.root = true}, true));
  if (norms.empty()) fail(Code::InvalidArgument, "clip_by_global_norm was given no gradient that is defined");
  const Tensor norm = twofold::norm(stack(norms)), factor = minimum(max_norm / (norm + 1e-6), 1.);
  return {map_gradients(gradients, [&](const Tensor& g) { return g * cast(factor, g.dtype()); }), norm};
}

std::vector<Tensor> clip_by_value(const std::vector<Tensor>& gradients, double bound, std::source_location where) {
  const SourceScope source_scope(where);
  check_bound("bound", bound);
  return map_gradients(gradients, [&](const Tensor& g) { return clip(g, -bound, bound); });
}

}  // namespace twofold::train
