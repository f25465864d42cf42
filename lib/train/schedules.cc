#include <twofold/lib/train/schedules.h>

#include <fmt/format.h>

#include <numbers>

#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/lib/core/error.h>

namespace twofold::train {

static double checked(const char* schedule, int64_t steps, std::source_location where) {
  if (steps < 1)
    fail_at(where, "", Code::InvalidArgument, fmt::format("{} over {} steps; it needs one at least", schedule, steps));
  return static_cast<double>(steps);
}

Schedule step_decay(int64_t size, double gamma, std::source_location where) {
  return [n = checked("step_decay", size, where), gamma](const Tensor& step) { return pow(gamma, floor(step / n)); };
}

Schedule exponential_decay(double gamma) {
  return [gamma](const Tensor& step) { return pow(gamma, step); };
}

Schedule cosine_decay(int64_t steps, double end, std::source_location where) {
  return [n = checked("cosine_decay", steps, where), end](const Tensor& step) {
    return (cos(minimum(step, n) * (std::numbers::pi / n)) + 1.) * ((1 - end) / 2) + end;
  };
}

Schedule warmup(int64_t steps, Schedule then, std::source_location where) {
  return [n = checked("warmup", steps, where), then = std::move(then)](const Tensor& step) {
    const Tensor rise = minimum((step + 1.) / n, 1.);
    return then ? rise * then(step) : rise;
  };
}

}  // namespace twofold::train
