// Where the time goes: one ledger for both modes.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace twofold {

namespace internal {
struct LedgerParts;
}

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
    static void* operator new(size_t) = delete;  // a guard ends where its block ends
    static void* operator new[](size_t) = delete;

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

  // For the library's own sources, which have LedgerParts (lib/runtime/recording.h). Programs cannot call these.
  /// @{
  /// What the library records.
  template <class Parts = internal::LedgerParts>
  void add(Phase p, std::chrono::nanoseconds t) {
    Parts::add(*this, p, t);
  }
  template <class Parts = internal::LedgerParts>
  void add_op(const char* op, std::chrono::nanoseconds t) {
    Parts::add_op(*this, op, t);
  }
  template <class Parts = internal::LedgerParts>
  void add_plan(bool hit) {
    Parts::add_plan(*this, hit);
  }
  template <class Parts = internal::LedgerParts>
  void add_plan_given_up() {
    Parts::add_plan_given_up(*this);
  }
  template <class Parts = internal::LedgerParts>
  void add_run() {
    Parts::add_run(*this);
  }
  template <class Parts = internal::LedgerParts>
  void add_pass(std::string_view name, int64_t changes) {
    Parts::add_pass(*this, name, changes);
  }
  template <class Parts = internal::LedgerParts>
  void add_note(std::string note) {
    Parts::add_note(*this, std::move(note));
  }
  /// @}

 private:
  friend struct internal::LedgerParts;
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

}  // namespace twofold
