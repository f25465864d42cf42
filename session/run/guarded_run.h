// A run of a trace with guards, which may turn out not to be the one that was wanted.
#pragma once

#include <optional>
#include <string>

#include <twofold/graph/guard.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

/// During its lifetime runs on this thread hold back what they print, and tell which guard has failed. Whoever made it
/// writes what was printed, or lets it go.
class GuardedRun {
 public:
  enum class Kind : uint8_t {
    call,
    trial,  ///< gives its fetches, and leaves variables and counts of draws as they are
  };
  explicit GuardedRun(Kind kind) : kind_(kind), outer_(t_state.guarded) { t_state.guarded = this; }
  ~GuardedRun() { t_state.guarded = outer_; }
  GuardedRun(const GuardedRun&) = delete;
  GuardedRun& operator=(const GuardedRun&) = delete;

  /// @{
  /// Of the run under way on this thread, if there is such.
  static bool is_trial() { return t_state.guarded && t_state.guarded->kind_ == Kind::trial; }
  static void note_failed(const GuardAttrs& guard) {
    if (t_state.guarded) t_state.guarded->failed_ = guard;
  }
  /// False: lines are not held back.
  static bool hold_back(const std::string& line) {
    if (t_state.guarded) t_state.guarded->printed_ += line;
    return t_state.guarded != nullptr;
  }
  /// @}

  /// The guard that has failed.
  const std::optional<GuardAttrs>& failed() const { return failed_; }
  const std::string& printed() const { return printed_; }

 private:
  const Kind kind_;
  GuardedRun* const outer_;
  std::optional<GuardAttrs> failed_;
  std::string printed_;
};

}  // namespace twofold
