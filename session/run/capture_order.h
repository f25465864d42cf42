// The dependencies of a captured graph.
#pragma once

#include <twofold/session/run/access_order.h>

namespace twofold {

/// While `stream` is captured: launches that touch nothing in common may run at the same time, where the stream alone
/// would make a chain of them. What one launch enqueues stays in order.
class CaptureOrder {
 public:
  explicit CaptureOrder(void* stream) : stream_(stream) {}

  /// What is enqueued until `end_launch` touches this.
  void begin_launch(std::span<const Access> accesses);
  void end_launch();
  /// What is enqueued from now on comes after all launches.
  void join();

 private:
  struct Launch {
    std::vector<void*> ends;  // nodes of the graph that nothing else of the launch comes after
    bool followed = false;    // by another launch
  };

  /// What is enqueued next comes after the ends of these launches.
  void come_after(std::span<const uint32_t> launches);

  void* stream_;
  AccessOrder order_;
  std::vector<Launch> launches_;
};

}  // namespace twofold
