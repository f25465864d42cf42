// Settings of a program that what it builds depends on.
#pragma once

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

namespace twofold {

/// A setting that is on or off, such as whether a module trains. A `tf::step` that read it while it was built is built
/// anew where it stands otherwise, so that deferred programs obey it as eager ones do. Copies alias.
class Switch {
 public:
  explicit Switch(bool on) : on_(std::make_shared<std::atomic<bool>>(on)) {}
  /// Its state, noted by the SwitchReads of this thread.
  bool read() const;
  /// Throws FailedPrecondition within the body of a step, which could not do it again at each call when deferred.
  void set(bool on);

 private:
  friend class SwitchReads;
  bool peek() const { return on_->load(std::memory_order_relaxed); }
  std::shared_ptr<std::atomic<bool>> on_;
};

/// Notes which switches this thread reads during its lifetime, and how they stood.
class [[nodiscard]] SwitchReads {
 public:
  using List = std::vector<std::pair<Switch, bool>>;

  SwitchReads();
  /// What was noted is noted by the one around it, too.
  ~SwitchReads();
  SwitchReads(const SwitchReads&) = delete;
  SwitchReads& operator=(const SwitchReads&) = delete;

  const List& list() const { return list_; }
  /// Whether all stand as they did.
  static bool hold(const List& list);

 private:
  friend class Switch;
  void note(const Switch& s, bool on);

  SwitchReads* outer_;
  List list_;
};

}  // namespace twofold
