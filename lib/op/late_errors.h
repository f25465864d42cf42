// What kernels on a GPU report while they run: the host learns of it after the call that made them has returned.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <source_location>
#include <string>
#include <vector>

#include <twofold/lib/core/ref.h>
#include <twofold/lib/core/small_vector.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {

/// An op that may fail on a GPU, for the message.
struct LateCall {
  const OpDef* op = nullptr;
  Ref<AttrsBox> attrs;
  std::string node;  ///< its name in a graph
  std::source_location where;
};
/// Those of a plan: a tag of KernelContext stands for one of them.
using LateCalls = std::vector<LateCall>;

/// A word in a GPU's memory, for the kernels of one unit at a time to report to.
class ErrorWord {
 public:
  explicit ErrorWord(int gpu);
  ~ErrorWord();
  ErrorWord(const ErrorWord&) = delete;
  ErrorWord& operator=(const ErrorWord&) = delete;
  DeviceError* get() const { return word_; }

 private:
  const int gpu_;
  DeviceError* word_;
};

/// A unit of work on GPUs that succeeds or fails as one: a run of a session, or an eager op that may fail. What it
/// makes may be spoiled as long as the GPU has not come to its end. One thread enqueues its work; any may ask.
class LateUnit final : public RefCounted {
 public:
  /// `owner`: the number of the session that runs; 0: none, it is eager.
  explicit LateUnit(uint64_t owner) : owner_(owner) {}

  /// The word that its kernels on `gpu` report to. When first asked for, the unit begins there.
  DeviceError* word(int gpu);
  /// The same with a word of the caller's, which lasts until the work is done.
  void begin(int gpu, DeviceError* word);
  /// Null where it has not begun.
  DeviceError* known_word(int gpu) const;

  /// To be added to the tags of `calls`, which the unit keeps.
  uint32_t add(const std::shared_ptr<const LateCalls>& calls);
  /// A tag for a call that is in no list. The last few thousand are kept.
  uint32_t add(LateCall call);

  /// All its work has been enqueued by this thread, which from now on is told of a failure that nobody reads.
  void close();
  /// The same without a word to the thread: somebody has been or will be told.
  void close_quietly();
  /// Waits until the GPUs have come to its end.
  void wait();
  /// Whether it is known to have failed. After `wait`, or once what it made has been waited for, that is final.
  bool failed();
  /// Whether the GPUs are known to have come to its end, and all is well.
  bool is_good();
  /// Throws what was reported, as often as it is asked; it need not be told unasked any more.
  [[noreturn]] void raise();
  void check() {
    if (failed()) raise();
  }

  /// Throws what units of this thread and of `owner` have reported so far, that nobody has been told of.
  static void check_unread(uint64_t owner);
  /// The same, whoever the owner is.
  static void check_unread();

 private:
  ~LateUnit() override;

  enum class State : uint8_t { unknown, good, failed };
  struct Part {
    int gpu;
    uint64_t unit = 0;       // its number there
    uint64_t closed_at = 0;  // the last number given there when all was enqueued
    DeviceError* word = nullptr;
    DeviceError* record = nullptr;
    std::unique_ptr<ErrorWord> own;  // `word`, if it is no caller's
  };
  template <class Which>
  static void check_unread_of(Which&& which);
  void give_records();
  void set_good();

  const uint64_t owner_;
  std::atomic<State> state_{State::unknown};
  std::atomic<bool> told_{false};
  bool closed_ = false;
  mutable std::mutex mutex_;  // guards all below
  std::vector<Part> parts_;
  struct Calls {
    uint32_t first;
    std::shared_ptr<const LateCalls> calls;
  };
  std::vector<Calls> calls_;
  uint32_t num_calls_ = 0;
  std::vector<LateCall> passing_;
  uint32_t passed_ = 0;
  KernelError code_{};  // of the failure, once state_ is failed
  int64_t index_ = 0;
  uint32_t tag_ = 0;
};

/// What a value on a GPU may be spoiled by. Immutable.
class LateErrors final : public RefCounted {
 public:
  explicit LateErrors(Ref<LateUnit> unit) { units_.push_back(std::move(unit)); }
  explicit LateErrors(std::vector<Ref<LateUnit>> units) : units_(std::move(units)) {}

  /// Throws what is known of them. After the GPU has been waited for, that is all.
  void check() const {
    for (const auto& unit : units_) unit->check();
  }
  void wait_and_check() const;
  bool all_good() const;
  bool contains(const LateUnit& unit) const;
  bool is_only(const LateUnit& unit) const { return units_.size() == 1 && units_[0].get() == &unit; }
  /// Those of both that are not known to be well; null if none is left.
  static Ref<LateErrors> joined(const LateErrors* a, const LateErrors* b);

 private:
  std::vector<Ref<LateUnit>> units_;
};

/// What this thread launches belongs to `unit` meanwhile, or with null to none.
class [[nodiscard]] InLateUnit {
 public:
  explicit InLateUnit(LateUnit* unit);
  ~InLateUnit();
  InLateUnit(const InLateUnit&) = delete;
  InLateUnit& operator=(const InLateUnit&) = delete;
  static LateUnit* current();

 private:
  LateUnit* outer_;
};

}  // namespace twofold
