// Where the time goes: one ledger for both modes.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <twofold/lib/runtime/device.h>

namespace twofold {

/// The parts of a program's time. `kernel` is arithmetic, `transfer` copying to and on GPUs; the rest is what a mode
/// costs beside it, `sync` waiting for a GPU. Kernels and transfers of a GPU are measured by its own clock: they go on
/// beside the host's work, so that phases may add up to more than the wall.
enum class Phase : uint8_t { build, prune, optimize, plan, feed, dispatch, kernel, transfer, fetch, sync };
inline constexpr int kPhaseCount = 10;
/// As the table has it, "dispatch".
std::string_view name_of(Phase);

/// Adds up the time of all that threads do while they record into it. Deferred and eager fill the same columns; a phase
/// that a mode does not have stays zero.
class Ledger {
 public:
  /// While it lives, this thread records into the ledger.
  class [[nodiscard]] Recording {
   public:
    explicit Recording(Ledger& ledger);
    ~Recording();
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

   private:
    Ledger* outer_;
    Ledger& ledger_;
    std::chrono::steady_clock::time_point start_;
    double user_, system_;
  };
  /// A Recording into this ledger, for as long as it lives.
  Recording record() { return Recording(*this); }

  /// Spent in one phase.
  double seconds(Phase p) const;
  /// Real time while recording.
  double wall_seconds() const;
  /// @{
  /// Whole-process CPU time while recording.
  double user_seconds() const;
  double system_seconds() const;
  /// @}
  /// @{
  /// Runs that found their plan, and runs that had to make it.
  int64_t plan_hits() const;
  int64_t plan_misses() const;
  /// @}
  /// Plans that a session kept no longer, for their number or their memory, or whose memory for runs it did not keep.
  int64_t plans_given_up() const;
  /// Runs of sessions and callables.
  int64_t runs() const;
  /// Kernel calls and their seconds, by op type.
  struct OpTime {
    int64_t calls = 0;   ///< how often it has run
    double seconds = 0;  ///< in its kernels
  };
  /// By op, "MatMul".
  std::map<std::string, OpTime> ops() const;
  /// What each pass changed, by its name.
  std::map<std::string, int64_t> passes() const;
  /// What was not done as one might expect, and why; each once.
  std::set<std::string> notes() const;
  /// Forgets all that was recorded.
  void reset();

  /// Aligned columns for people.
  std::string table() const;
  /// The same numbers as a JSON object; seconds throughout.
  std::string json() const;

  // For the library's own floors.
  /// @{
  /// What the library records.
  void add(Phase p, std::chrono::nanoseconds t);
  void add_op(const char* op, std::chrono::nanoseconds t);
  void add_plan(bool hit);
  void add_plan_given_up();
  void add_run();
  void add_pass(std::string_view name, int64_t changes);
  void add_note(std::string note);
  /// @}
  /// The time of a GPU between two of its events, which the ledger frees. A kernel's counts for the op too, whose calls
  /// add_op counts.
  void add_device_time(const char* op, Phase p, int gpu, void* begin, void* end);

 private:
  struct Pending {
    const char* op;
    Phase phase;
    int gpu;
    void *begin, *end;
  };
  /// Waits for what is pending. Precondition: mutex_ is held.
  void settle() const;

  mutable std::mutex mutex_;  // guards all below
  mutable std::array<std::chrono::nanoseconds, kPhaseCount> phases_{};
  mutable std::map<const char*, std::pair<int64_t, std::chrono::nanoseconds>> ops_;
  mutable std::vector<Pending> pending_;
  std::set<std::string> notes_;
  std::map<std::string, int64_t, std::less<>> passes_;
  std::chrono::nanoseconds wall_{};
  double user_ = 0, system_ = 0;
  int64_t hits_ = 0, misses_ = 0, given_up_ = 0, runs_ = 0;
};

/// Adds the time of its scope to a phase of this thread's ledger, if there is one.
class PhaseTimer {
 public:
  explicit PhaseTimer(Ledger* ledger, Phase phase) : ledger_(ledger), phase_(phase) {
    if (ledger_) start_ = std::chrono::steady_clock::now();
  }
  ~PhaseTimer() { stop(); }
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;
  /// Ends the phase before the timer does.
  void stop() {
    if (ledger_) ledger_->add(phase_, std::chrono::steady_clock::now() - start_);
    ledger_ = nullptr;
  }

 private:
  Ledger* ledger_;
  Phase phase_;
  std::chrono::steady_clock::time_point start_;
};

/// Adds what a GPU does in its scope to a ledger, if there is one and `device` is a GPU.
class DeviceTimer {
 public:
  DeviceTimer(Device device, Ledger* ledger, const char* op, Phase phase = Phase::kernel);
  ~DeviceTimer();
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;

 private:
  Ledger* ledger_;
  const int gpu_;
  const char* op_;
  const Phase phase_;
  void* begin_ = nullptr;
};

/// Whether profilers shall see names: TWOFOLD_NVTX is set in the environment, and there is a GPU.
bool profiler_ranges_wanted();
/// @{
/// Begins and ends a range in a GPU's profiler.
void push_profiler_range(const std::string& name);
void pop_profiler_range();
/// @}

/// Names what this thread does in its scope for a profiler (NVTX), if that is wanted: `name()` is called only then.
class ProfilerRange {
 public:
  template <class F>
  explicit ProfilerRange(F&& name) : on_(profiler_ranges_wanted()) {
    if (on_) push_profiler_range(name());
  }
  ~ProfilerRange() {
    if (on_) pop_profiler_range();
  }
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;

 private:
  bool on_;
};

}  // namespace twofold
