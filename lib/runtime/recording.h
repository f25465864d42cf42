// Recording a thread's time: whether it is recorded, which hot paths ask, and what the library records.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <twofold/lib/runtime/device.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

// A library built with TWOFOLD_NO_LEDGER records nothing. It is no product: a test counts how many instructions fewer
// it executes, which is what a ledger that is off costs.
#ifdef TWOFOLD_NO_LEDGER
inline constexpr bool kLedgers = false;
#else
inline constexpr bool kLedgers = true;
#endif

/// The ledger that records this thread; null if none does.
inline Ledger* current_ledger() { return kLedgers ? t_state.ledger : nullptr; }

struct internal::LedgerParts {
  static void add(Ledger& l, Phase p, std::chrono::nanoseconds t);
  static void add_op(Ledger& l, const char* op, std::chrono::nanoseconds t);
  static void add_plan(Ledger& l, bool hit);
  static void add_plan_given_up(Ledger& l);
  static void add_run(Ledger& l);
  static void add_pass(Ledger& l, std::string_view name, int64_t changes);
  static void add_note(Ledger& l, std::string note);
  /// The time of a GPU between two of its events, which the ledger frees. A kernel's counts for the op too, whose calls
  /// add_op counts.
  static void add_device_time(Ledger& l, const char* op, Phase p, int gpu, void* begin, void* end);
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
