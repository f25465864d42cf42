// Watching what is computed, op by op, in both modes.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <string_view>

#include <twofold/lib/op/tensor.h>
#include <twofold/lib/runtime/device.h>

namespace twofold {

namespace internal {
class ObservedThread;
}

/// Which of a program's ops it is, in the same words in both modes. Numbers count from 0, and from where a body begins
/// anew: eager, ops outside of all bodies are counted from when observing began, deferred, from the graph's start.
struct OpIdentity {
  uint64_t body = 0;       ///< the step, loop or branch that it is in, a hash of where that was made; 0: none
  uint64_t execution = 0;  ///< which execution of that body, since observing began
  uint64_t scope = 0;      ///< a hash of the names of the scopes around it, as they were given
  std::string_view op;     ///< "MatMul", as op types are named
  uint64_t ordinal = 0;    ///< which of the ops of that type, in that scope and execution

  friend auto operator<=>(const OpIdentity&, const OpIdentity&) = default;
};

/// One op that has been done.
struct Observation {
  OpIdentity identity;         ///< which op it is
  std::string node;            ///< the node's name in its graph; empty in eager mode
  std::source_location where;  ///< line 0: what eager code does between the rules of gradients
  Device device;               ///< where it was done
  /// @{
  /// What it was given, but for shape operands, and what it gave, what only its gradient reads among that. Undefined:
  /// an input of which only the shape counts. They may be kept.
  std::span<const Tensor> inputs, outputs;
  /// @}
};

/// Sees each op that is done; to be derived from.
class Observer {
 public:
  virtual ~Observer() = default;
  /// By the thread that does the op, when it is done (on a GPU: when it is under way). What it throws, the program's
  /// call throws.
  virtual void observe(const Observation& op) = 0;
};

/// While it lives, `observer` sees each op that this thread does, eager or in a session's runs, in order. Ops of the
/// same text have the same identity in both modes, except that what a session's passes have folded, merged or dropped
/// is not done, and so not seen. (Where a graph does not know extents, gradients may take other ops than eager code.)
/// Seen in runs alone is what a program's own C++ does in eager mode: ReadVariable (the value is there), Transfer of
/// what a run takes to another device, If, While and Backprop (the ops of the bodies are seen in both modes, those of
/// their gradients in neither), IfArrived (whether there is a gradient of a branch, C++ knows), and CheckShape (a check
/// of shapes that a graph did not know, which eager code makes at once).
/// Runs that are observed have plans of their own: nothing is fused, captured or laid over other values in them. What
/// the observer computes itself is not observed. When nobody observes, it costs nothing.
class [[nodiscard("it observes while it lives: give it a name, tf::Observing observing(observer);")]] Observing {
 public:
  explicit Observing(Observer & observer);
  ~Observing();
  Observing(const Observing&) = delete;
  Observing& operator=(const Observing&) = delete;

 private:
  const std::unique_ptr<internal::ObservedThread> thread_;
};

}  // namespace twofold
