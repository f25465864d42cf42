#include <twofold/kernels/conv2d/choice_gpu.h>

#include <cuda_runtime.h>

#include <cstdlib>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include <twofold/kernels/cuda/disk_cache.h>

namespace twofold::cudnn {
namespace {

constexpr size_t kCandidates = 8;
constexpr size_t kMostPlans = 4096;
constexpr const char* kKind = "conv2d";  ///< in the cache on disk
/// From how many products on timing is worth its time.
constexpr double kWorthTiming = 1 << 22;

double elements(const std::array<int64_t, 4>& extents) {
  double n = 1;
  for (const int64_t e : extents) n *= static_cast<double>(e);
  return n;
}
size_t bytes(const std::array<int64_t, 4>& extents, const Convolution& c) {
  return static_cast<size_t>(elements(extents)) * (c.float64 ? sizeof(double) : sizeof(float));
}
double products(const Convolution& c) { return elements(c.y) * elements(c.weight) / static_cast<double>(c.weight[0]); }

/// What an engine may ask for: room for copies of all operands in another layout, and for small convolutions more.
size_t most_workspace(const Convolution& c) {
  return std::max(size_t{256} << 20, 2 * (bytes(c.x, c) + bytes(c.weight, c) + bytes(c.y, c)));
}

/// All that a choice depends on.
std::string key_of(const Convolution& c, const Constraints& constraints) {
  int device = 0;
  cudaGetDevice(&device);
  cudaDeviceProp gpu;
  if (cudaGetDeviceProperties(&gpu, device) != cudaSuccess) return {};
  std::string key = gpu.name;
  const auto add = [&](const char* name, const auto&... values) {
    key += std::string(", ") + name;
    ((key += " " + std::to_string(values)), ...);
  };
  const auto add_all = [&](const char* name, const auto& values) {
    std::apply([&](const auto&... v) { add(name, v...); }, values);
  };
  add("multiprocessors", gpu.multiProcessorCount);
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
  return key;
}

/// While it lives, this thread may allocate and wait though another one captures a stream.
class BesideCaptures {
 public:
  BesideCaptures() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~BesideCaptures() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  BesideCaptures(const BesideCaptures&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

/// Runs plans on operands of its own, zeros, in a stream of its own.
class Bench {
 public:
  Bench(const Convolution& c, Handle& handle) : handle_(handle) {
    if (!good(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking))) return;
    for (cudaEvent_t& e : events_) good(cudaEventCreate(&e));
    x_ = allocate(bytes(c.x, c)), weight_ = allocate(bytes(c.weight, c)), y_ = allocate(bytes(c.y, c));
  }
  ~Bench() {
    for (void* p : {x_, weight_, y_}) release(p);
    for (const cudaEvent_t e : events_)
      if (e) cudaEventDestroy(e);
    handle_.with(nullptr, [](cudnnHandle_t) { return CUDNN_STATUS_SUCCESS; });  // which is to forget the stream
    if (stream_) cudaStreamSynchronize(stream_), cudaStreamDestroy(stream_);
    cudaGetLastError();  // what was tried and failed here is no one else's error
  }
  Bench(const Bench&) = delete;

  /// Whether there are stream and memory to run anything.
  bool good() const { return good_; }
  /// Milliseconds, the middle one of three runs; none where it fails.
  std::optional<float> time(const Plan& plan) {
    constexpr int kWarmUp = 2;
    if (!run(plan, kWarmUp, true)) return std::nullopt;
    std::array<float, kRuns> ms{};
    for (size_t i = 0; i < kRuns; ++i)
      if (cudaEventElapsedTime(&ms[i], events_[i], events_[i + 1]) != cudaSuccess) return std::nullopt;
    std::ranges::sort(ms);
    return ms[kRuns / 2];
  }
  bool works(const Plan& plan) { return run(plan, 1, false); }

 private:
  static constexpr size_t kRuns = 3;

  bool good(cudaError_t e) { return good_ = good_ && e == cudaSuccess; }
  void* allocate(size_t n) {
    void* p = nullptr;
    if (good_ && good(cudaMallocAsync(&p, std::max<size_t>(n, 1), stream_))) good(cudaMemsetAsync(p, 0, n, stream_));
    return p;
  }
  void release(void* p) {
    if (p) cudaFreeAsync(p, stream_);
  }

  /// Runs it `untimed` times, and if `timed` kRuns times more with events before, between and after.
  bool run(const Plan& plan, int untimed, bool timed) {
    void* workspace = nullptr;
    if (plan.workspace() > 0 && cudaMallocAsync(&workspace, plan.workspace(), stream_) != cudaSuccess) return false;
    const cudnnStatus_t status = handle_.with(stream_, [&](cudnnHandle_t h) {
      cudnnStatus_t s = CUDNN_STATUS_SUCCESS;
      for (int i = 0; i < untimed && s == CUDNN_STATUS_SUCCESS; ++i) s = plan.run(h, x_, weight_, y_, workspace);
      for (size_t i = 0; timed && i <= kRuns && s == CUDNN_STATUS_SUCCESS; ++i) {
        cudaEventRecord(events_[i], stream_);
        if (i < kRuns) s = plan.run(h, x_, weight_, y_, workspace);
      }
      return s;
    });
    release(workspace);
    return cudaStreamSynchronize(stream_) == cudaSuccess && status == CUDNN_STATUS_SUCCESS;
  }

  Handle& handle_;
  bool good_ = true;
  cudaStream_t stream_ = nullptr;
  std::array<cudaEvent_t, kRuns + 1> events_{};
  void *x_ = nullptr, *weight_ = nullptr, *y_ = nullptr;
};

bool may_time() {
  const char* value = std::getenv("TWOFOLD_AUTOTUNE");
  return !value || std::string_view(value) != "0";
}

std::shared_ptr<const Plan> choose(const Convolution& c, const Constraints& constraints, const std::string& key,
                                   Handle& handle) {
  const auto operation = std::make_shared<const Operation>(c, handle);
  if (!operation->good()) return nullptr;
  Bench bench(c, handle);
  const auto make = [&](const Engine& engine) {
    auto plan = Plan::make(operation, engine, handle);
    return plan && plan->workspace() <= most_workspace(c) ? plan : nullptr;
  };
  const bool timed = may_time() && products(c) >= kWorthTiming && bench.good();
  if (timed) {
    const auto text = cuda::read_cached(kKind, key);
    const auto engine = text ? Engine::parse(*text) : std::nullopt;
    if (auto plan = engine ? make(*engine) : nullptr; plan && bench.works(*plan)) return plan;
  }
  std::shared_ptr<const Plan> best;
  Engine best_engine;
  float best_time = 0;
  for (const Engine& engine : operation->engines(constraints, kCandidates)) {
    auto plan = make(engine);
    if (!plan) continue;
    if (!timed) {
      if (!bench.good() || bench.works(*plan)) return plan;
    } else if (const auto time = bench.time(*plan); time && (!best || *time < best_time)) {
      best = std::move(plan), best_engine = engine, best_time = *time;
    }
  }
  if (best) cuda::write_cached(kKind, key, best_engine.str());
  return best;
}

}  // namespace

std::shared_ptr<const Plan> choose_plan(const Convolution& c, const Constraints& constraints) {
  const BesideCaptures beside;
  Handle* handle = Handle::of_current_device();
  const std::string key = handle ? key_of(c, constraints) : "";
  if (key.empty()) return nullptr;
  static std::mutex mutex;
  static auto& chosen = *new std::unordered_map<std::string, std::shared_ptr<const Plan>>;
  std::lock_guard lock(mutex);
  if (chosen.size() >= kMostPlans) chosen.clear();  // programs with ever new shapes; what runs keeps its plan
  const std::string here = std::to_string(reinterpret_cast<uintptr_t>(handle)) + " " + key;
  if (const auto it = chosen.find(here); it != chosen.end()) return it->second;
  return chosen[here] = choose(c, constraints, key, *handle);
}

}  // namespace twofold::cudnn
