#include <twofold/kernels/conv2d/choice_gpu.h>

#include <limits>
#include <tuple>

#include <twofold/kernels/conv2d/accuracy_gpu.h>
#include <twofold/kernels/cuda/disk_cache.h>
#include <twofold/kernels/cuda/tuning.h>

namespace twofold::cudnn {
namespace {

constexpr size_t kCandidates = 8;
constexpr const char* kKind = "conv2d";  ///< in the cache on disk
constexpr int kRules = 2;                ///< version of the rules for engines: choices by others do not count
constexpr const char* kOwn = "own";      ///< in the cache, in place of an engine
constexpr double kManyProducts = 1 << 22;
/// The largest errors accepted, relative to the sum of the terms' magnitudes. In float32 most engines are within 2e-7;
/// one for weight gradients, which no numerical note of cuDNN sets apart, is off by 4e-7 to 1e-4.
constexpr float kMostError64 = 1e-14f, kMostError32 = 3e-7f, kMostErrorTf32 = 1e-3f;

size_t bytes(const std::array<int64_t, 4>& extents, const Convolution& c) {
  return static_cast<size_t>(elements(extents)) * (c.float64 ? sizeof(double) : sizeof(float));
}

/// What an engine may ask for: room for copies of all operands in another layout, and for small convolutions more.
size_t most_workspace(const Convolution& c) {
  return std::max(size_t{256} << 20, 2 * (bytes(c.x, c) + bytes(c.weight, c) + bytes(c.y, c)));
}

/// All that a choice depends on; empty if the GPU's model is not known.
std::string key_of(const Convolution& c, const Constraints& constraints, bool own) {
  std::string key = cuda::gpu_key();
  if (key.empty()) return key;
  const auto add = [&](const char* name, const auto&... values) { cuda::add_to_key(key, name, values...); };
  const auto add_all = [&](const char* name, const auto& values) {
    std::apply([&](const auto&... v) { add(name, v...); }, values);
  };
  add("rules", kRules);
  add("cuDNN", cudnnGetVersion());
  add("pass", static_cast<int>(c.pass));
  add("float64", c.float64);
  add("channels last", c.channels_last);
  add_all("x", c.x);
  add_all("weight", c.weight);
  add_all("y", c.y);
  add_all("before", c.before);
  add_all("after", c.after);
  add_all("stride", c.stride);
  add_all("dilation", c.dilation);
  add("tf32", constraints.tf32);
  add("deterministic", constraints.deterministic);
  add("own", own);
  return key;
}

/// Tries ways to do a convolution on operands of its own.
class PlanBench {
 public:
  PlanBench(const Convolution& c, const Constraints& constraints, Handle& handle)
      : handle_(handle),
        c_(c),
        most_error_(c.float64          ? kMostError64
                    : constraints.tf32 ? kMostErrorTf32
                                       : kMostError32) {
    const auto operand = [&](const auto& extents) { return bench_.operand(elements(extents), c.float64); };
    x_ = operand(c.x), weight_ = operand(c.weight), y_ = operand(c.y);
    error_ = static_cast<float*>(bench_.operand(1, false));
  }
  ~PlanBench() {
    handle_.with(nullptr, [](cudnnHandle_t) { return CUDNN_STATUS_SUCCESS; });  // so that the handle forgets the stream
  }
  PlanBench(const PlanBench&) = delete;

  bool good() const { return bench_.good(); }
  /// Milliseconds; none if they are not fewer than `most`, if the plan fails, or if its result is not accurate enough.
  std::optional<float> time(const Plan& plan, float most) {
    const auto ms = bench_.time(plan.workspace(), [&](auto... at) { return run(plan, at...); });
    return ms && *ms < most && is_accurate() ? ms : std::nullopt;
  }
  std::optional<float> time(const Own& own) {
    return bench_.time(own.workspace, [&](cudaStream_t stream, void* workspace) {
      return own.run(static_cast<float*>(x_), static_cast<float*>(weight_), nullptr, static_cast<float*>(y_), workspace,
                     stream) == cudaSuccess;
    });
  }
  /// Whether it runs, with a result that is accurate enough.
  bool works(const Plan& plan) {
    return bench_.works(plan.workspace(), [&](auto... at) { return run(plan, at...); }) && is_accurate();
  }

 private:
  bool run(const Plan& plan, cudaStream_t stream, void* workspace) {
    return handle_.with(stream, [&](cudnnHandle_t h) { return plan.run(h, x_, weight_, y_, workspace); }) ==
           CUDNN_STATUS_SUCCESS;
  }
  /// Whether the result of the last run is accurate enough.
  bool is_accurate() {
    float error = std::numeric_limits<float>::infinity();
    return bench_.works(0, [&](cudaStream_t stream, void*) {
      return measure_error(c_, x_, weight_, y_, error_, stream) == cudaSuccess &&
             cudaMemcpyAsync(&error, error_, sizeof error, cudaMemcpyDeviceToHost, stream) == cudaSuccess;
    }) && error <= most_error_;
  }

  Handle& handle_;
  const Convolution c_;
  const float most_error_;
  cuda::Bench bench_;
  void *x_, *weight_, *y_;
  float* error_;  ///< on the GPU
};

/// `untried` is set where there was no memory to try an engine.
std::shared_ptr<const Plan> choose(const Convolution& c, const Constraints& constraints, const Own* own,
                                   const std::string& key, Handle& handle, bool& untried) {
  const bool worth_timing = is_large(c) && cuda::may_time();
  if (own && !worth_timing) return nullptr;
  const auto operation = std::make_shared<const Operation>(c, handle);
  if (!operation->good()) return nullptr;
  PlanBench bench(c, constraints, handle);
  if (untried = !bench.good(); untried) return nullptr;
  const auto make = [&](const Engine& engine) {
    auto plan = Plan::make(operation, engine, handle);
    return plan && plan->workspace() <= most_workspace(c) ? plan : nullptr;
  };
  if (worth_timing) {
    const auto text = cuda::read_cached(kKind, key);
    if (own && text == kOwn) return nullptr;
    const auto engine = text ? Engine::parse(*text) : std::nullopt;
    if (auto plan = engine ? make(*engine) : nullptr; plan && bench.works(*plan)) return plan;
  }
  std::shared_ptr<const Plan> best;
  std::string name_of_best;
  float best_time = std::numeric_limits<float>::infinity();
  if (own && worth_timing && own->workspace <= most_workspace(c))
    if (const auto time = bench.time(*own)) name_of_best = kOwn, best_time = *time;
  for (const Engine& engine : operation->engines(constraints, kCandidates)) {
    auto plan = make(engine);
    if (!plan) continue;
    if (!worth_timing) {
      if (bench.works(*plan)) return plan;
    } else if (const auto time = bench.time(*plan, best_time)) {
      best = std::move(plan), name_of_best = engine.str(), best_time = *time;
    }
  }
  if (!name_of_best.empty()) cuda::write_cached(kKind, key, name_of_best);
  return best;
}

}  // namespace

bool is_large(const Convolution& c) {
  const int64_t of_an_output = c.weight[1] * c.weight[2] * c.weight[3];
  return static_cast<double>(elements(c.y)) * static_cast<double>(of_an_output) >= kManyProducts;
}

std::shared_ptr<const Plan> choose_plan(const Convolution& c, const Constraints& constraints, const Own* own,
                                        bool& untried) {
  const cuda::BesideCaptures beside;
  Handle* handle = Handle::of_current_device();
  const std::string key = handle ? key_of(c, constraints, own) : "";
  if (key.empty()) return nullptr;
  static auto& choices = *new cuda::Choices<Plan>;
  return choices.get(
      key, [&] { return choose(c, constraints, own, key, *handle, untried); }, [&](const auto&) { return !untried; });
}

}  // namespace twofold::cudnn
