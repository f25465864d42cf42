// Settings of a program that what it builds depends on.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace twofold {
namespace internal {

/// State of a C++ object that a body reads while it is built: a number, or how often it has changed. A `tf::step` that
/// read it while it was built is built anew where it stands otherwise, so that deferred programs obey it as eager ones
/// do. Copies alias.
class Setting {
 public:
  /// One that counts how often it has changed, so that no former value comes back.
  Setting() : Setting(0, true) {}
  explicit Setting(uint64_t value) : Setting(value, false) {}
  /// As it stands, noted by the SwitchReads of this thread.
  uint64_t read() const;
  /// @{
  /// Both throw FailedPrecondition with these words within the body of a step, which could not do it again at each call
  /// when deferred.
  void set(uint64_t value, const char* refusal, const char* hint);
  void change(const char* refusal, const char* hint) { set(peek() + 1, refusal, hint); }
  /// @}

 private:
  friend class SwitchReads;
  Setting(uint64_t value, bool counts) : value_(std::make_shared<std::atomic<uint64_t>>(value)), counts_(counts) {}
  uint64_t peek() const { return value_->load(std::memory_order_relaxed); }
  std::shared_ptr<std::atomic<uint64_t>> value_;
  bool counts_;
};

/// A setting that is on or off, such as whether a module trains.
class Switch {
 public:
  explicit Switch(bool on) : setting_(on) {}
  /// As it stands; see Setting::read.
  bool read() const { return setting_.read() != 0; }
  /// Throws FailedPrecondition in the body of a step.
  void set(bool on) {
    setting_.set(on, "A module cannot be set to train or to evaluate in the body of a step",
                 "net.eval(); step(x); net.train();");
  }

 private:
  Setting setting_;
};

/// Notes which settings this thread reads during its lifetime, and how they stood.
class [[nodiscard]] SwitchReads {
 public:
  using List = std::vector<std::pair<Setting, uint64_t>>;

  SwitchReads();
  /// What was noted is noted by the one around it, too.
  ~SwitchReads();
  SwitchReads(const SwitchReads&) = delete;
  SwitchReads& operator=(const SwitchReads&) = delete;

  /// What was noted so far.
  const List& list() const { return list_; }
  /// Whether all stand as they did.
  static bool hold(const List& list);
  /// Whether one that counts has changed: they will never hold again.
  static bool outdated(const List& list);

 private:
  friend class Setting;
  void note(const Setting& s, uint64_t value);

  SwitchReads* outer_;
  List list_;
};

}  // namespace internal
using internal::Setting, internal::Switch, internal::SwitchReads;

}  // namespace twofold
