// Choosing among a library's algorithms by timing them.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace twofold::cuda {

/// Memory for a trial; if there is none, the library is asked to free some. Null if there still is none.
void* trial_memory(size_t bytes, cudaStream_t stream);
extern std::atomic<bool (*)(int gpu)> g_give_up;  ///< what GpuRuntime::on_exhausted was given

/// Whether choices may be made by timing. TWOFOLD_AUTOTUNE=0 in the environment says no.
bool may_time();

/// The beginning of a choice's key: the current GPU's model. Empty if it cannot be asked.
std::string gpu_key();

/// Adds something that a choice depends on.
template <class... V>
void add_to_key(std::string& key, const char* name, const V&... values) {
  key += std::string(", ") + name;
  ((key += " " + std::to_string(values)), ...);
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

/// Runs algorithms on operands of its own, in a stream of its own. `run(stream, workspace)` enqueues one run and says
/// whether that went well.
class Bench {
 public:
  Bench();
  ~Bench();
  Bench(const Bench&) = delete;

  /// An operand for runs, of float64 or float32 numbers within (-1, 1) that show no pattern. None is zero: zeros would
  /// run faster. Null if there is no memory for it.
  void* operand(int64_t elements, bool float64);
  /// Whether there are stream and memory to run anything.
  bool good() const { return good_; }

  /// Milliseconds, the median of three runs; none if it fails.
  template <class Run>
  std::optional<float> time(size_t workspace, Run&& run) {
    constexpr int kWarmUp = 2;
    if (!go(workspace, run, kWarmUp, true)) return std::nullopt;
    std::array<float, kRuns> ms{};
    for (size_t i = 0; i < kRuns; ++i)
      if (cudaEventElapsedTime(&ms[i], events_[i], events_[i + 1]) != cudaSuccess) return std::nullopt;
    std::ranges::sort(ms);
    return ms[kRuns / 2];
  }
  template <class Run>
  bool works(size_t workspace, Run&& run) {
    return go(workspace, run, 1, false);
  }

 private:
  static constexpr size_t kRuns = 3;

  bool good(cudaError_t e) { return good_ = good_ && e == cudaSuccess; }
  /// Runs it `untimed` times, and if `timed` kRuns times more with events before, between and after.
  template <class Run>
  bool go(size_t bytes, Run&& run, int untimed, bool timed) {
    void* workspace = nullptr;
    if (bytes > 0 && !(workspace = trial_memory(bytes, stream_))) return false;
    bool fine = true;
    for (int i = 0; i < untimed && fine; ++i) fine = run(stream_, workspace);
    for (size_t i = 0; timed && i <= kRuns && fine; ++i) {
      cudaEventRecord(events_[i], stream_);
      if (i < kRuns) fine = run(stream_, workspace);
    }
    if (workspace) cudaFreeAsync(workspace, stream_);
    return cudaStreamSynchronize(stream_) == cudaSuccess && fine;
  }

  bool good_ = true;
  cudaStream_t stream_ = nullptr;
  std::array<cudaEvent_t, kRuns + 1> events_{};
  std::vector<void*> operands_;
};

/// What a process has chosen, for each device and key.
template <class Choice>
class Choices {
 public:
  /// What `choose()` gave when `key` was first asked for. One choice is made at a time. A choice for which
  /// `keep(choice)` is false is not kept: the next call chooses again.
  template <class Choose>
  std::shared_ptr<const Choice> get(const std::string& key, Choose&& choose) {
    return get(key, choose, [](const auto&) { return true; });
  }
  template <class Choose, class Keep>
  std::shared_ptr<const Choice> get(const std::string& key, Choose&& choose, Keep&& keep) {
    int device = 0;
    cudaGetDevice(&device);
    const std::string here = std::to_string(device) + " " + key;
    std::lock_guard lock(mutex_);
    if (const auto it = all_.find(here); it != all_.end()) return it->second;
    if (all_.size() >= kMost) all_.clear();  // for programs with ever new shapes; prepared kernels keep theirs
    std::shared_ptr<const Choice> chosen = choose();
    if (keep(chosen)) all_[here] = chosen;
    return chosen;
  }

 private:
  static constexpr size_t kMost = 4096;

  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<const Choice>> all_;  // guarded by mutex_
};

}  // namespace twofold::cuda
