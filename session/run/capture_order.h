// The dependencies of a captured graph.
#pragma once

#include <twofold/session/run/access_order.h>

namespace twofold {

/// While `stream` is captured: steps that touch nothing in common may run at the same time, where the stream alone
/// would make a chain of them. What one step enqueues stays in order.
class CaptureOrder {
 public:
  explicit CaptureOrder(void* stream) : stream_(stream) {}

  /// What is enqueued until `end_step` touches this.
  void begin_step(std::span<const Access> accesses);
  void end_step();
  /// What is enqueued from now on comes after all steps.
  void join();

 private:
  struct Step {
    std::vector<void*> ends;  // nodes of the graph that nothing else of the step comes after
    bool followed = false;    // by another step
  };

  /// What is enqueued next comes after the ends of these steps.
  void come_after(std::span<const uint32_t> steps);

  void* stream_;
  AccessOrder order_;
  std::vector<Step> steps_;
};

}  // namespace twofold
