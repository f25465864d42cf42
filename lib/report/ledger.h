// Where the time goes: one ledger for both modes.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace twofold {

/// The parts of a program's time. `kernel` is arithmetic; the rest is what a mode costs beside it.
enum class Phase : uint8_t { build, prune, optimize, plan, feed, dispatch, kernel, fetch, sync };
inline constexpr int kPhaseCount = 9;
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
  Recording record() { return Recording(*this); }

  double seconds(Phase p) const;
  double wall_seconds() const;
  /// Whole-process CPU time while recording.
  double user_seconds() const;
  double system_seconds() const;
  int64_t plan_hits() const;
  int64_t plan_misses() const;
  int64_t runs() const;
  /// Kernel calls and their seconds, by op type.
  struct OpTime {
    int64_t calls = 0;
    double seconds = 0;
  };
  std::map<std::string, OpTime> ops() const;
  /// What each pass changed, by its name.
  std::map<std::string, int64_t> passes() const;
  void reset();

  /// Aligned columns for people.
  std::string table() const;
  /// The same numbers as a JSON object; seconds throughout.
  std::string json() const;

  // For the library's own floors.
  void add(Phase p, std::chrono::nanoseconds t);
  void add_op(const char* op, std::chrono::nanoseconds t);
  void add_plan(bool hit);
  void add_run();
  void add_pass(std::string_view name, int64_t changes);

 private:
  mutable std::mutex mutex_;  // guards all below
  std::array<std::chrono::nanoseconds, kPhaseCount> phases_{};
  std::map<const char*, std::pair<int64_t, std::chrono::nanoseconds>> ops_;
  std::map<std::string, int64_t, std::less<>> passes_;
  std::chrono::nanoseconds wall_{};
  double user_ = 0, system_ = 0;
  int64_t hits_ = 0, misses_ = 0, runs_ = 0;
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
  void stop() {
    if (ledger_) ledger_->add(phase_, std::chrono::steady_clock::now() - start_);
    ledger_ = nullptr;
  }

 private:
  Ledger* ledger_;
  Phase phase_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace twofold
