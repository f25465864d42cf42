// Watching what is computed, op by op, in both modes.
#pragma once

#include <compare>
#include <cstddef>
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
///
/// `body` is a hash of the scopes around the step, cond or while_loop and of how many of its kind these had made before
/// it since the mode's seed was set (tf::set_random_seed; deferred: since the graph was made or its seed was set).
/// So the same text has the same bodies in both modes where each of its runs begins with set_random_seed, or is the
/// first of its process or graph; eager text that is run again without that makes other bodies.
struct OpIdentity {
  uint64_t body = 0;       ///< the step, loop or branch that it is in, as said above; 0: none
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
  ///
  /// It is called as if outside of the program, in eager mode: no tape, step, ledger or scope of the program's sees
  /// what it does, nor does an observer, and it draws random numbers of its own, always the same, whatever the seed. (A
  /// graph is built by tf::deferred.) A seed cannot be set here. Nor can the session whose run calls be closed, set or
  /// run on what uses variables or random numbers, which throws FailedPrecondition: keep the tensors until the run has
  /// returned, compute eagerly, or use another session.
  virtual void observe(const Observation& op) = 0;
};

/// While it lives, `observer` sees each op that this thread does, eager or in a session's runs, in order. Ops of the
/// same text have the same identity in both modes, except that what a session's passes have folded, merged or dropped
/// is not done, and so not seen. (Where a graph does not know extents, gradients may take other ops than eager code.)
/// Seen in runs alone is what a program's own C++ does in eager mode: ReadVariable (the value is there), Transfer of
/// what a run takes to another device, If, While and Backprop (the ops of the bodies are seen in both modes, those of
/// their gradients in neither), IfArrived (whether there is a gradient of a branch, C++ knows), and CheckShape (a check
/// of shapes that a graph did not know, which eager code makes at once).
/// Runs that are observed have plans of their own: nothing is fused, captured or laid over other values in them. Of
/// several that observe, each sees each op, that which began first before the others, with its own count of executions.
/// One that begins in observe() sees what is done until that returns. When nobody observes, it costs nothing.
class [[nodiscard("it observes while it lives: give it a name, tf::Observing observing(observer);")]] Observing {
 public:
  explicit Observing(Observer & observer);
  ~Observing();
  Observing(const Observing&) = delete;
  Observing& operator=(const Observing&) = delete;
  static void* operator new(size_t) = delete;  // it ends on the thread where it began
  static void* operator new[](size_t) = delete;

 private:
  const std::unique_ptr<internal::ObservedThread> thread_;
};

}  // namespace twofold
