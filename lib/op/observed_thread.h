// What an Observing does on its thread, for the library's own sources: no header that programs include has this.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <twofold/lib/op/body_execution.h>
#include <twofold/lib/op/observer.h>

namespace twofold {

struct OpDef;
struct ObserverDraws;
class HiddenObservers;
class ObservedRun;
class ObserverCall;

/// Gives an observer the ops that a thread does.
class internal::ObservedThread {
 public:
  explicit ObservedThread(Observer& observer);
  ~ObservedThread();
  ObservedThread(const ObservedThread&) = delete;
  ObservedThread& operator=(const ObservedThread&) = delete;

  // Of all that observe this thread. Precondition: somebody does.
  /// An eager op. Of a node that is carried out eagerly, what ObservedRun::At says.
  static void eager_op(const OpDef& op, std::span<const Tensor* const> inputs, std::span<const Tensor> outputs,
                       std::source_location where);
  /// An execution of a body begins, in eager mode.
  static void begin_execution(uint64_t body);
  using Hidden = HiddenObservers;

 private:
  friend class twofold::HiddenObservers;
  friend class twofold::ObservedRun;
  friend class twofold::ObserverCall;
  struct Executions {
    uint64_t begun = 0;
    std::map<std::pair<uint64_t, const OpDef*>, uint64_t> next;  // ordinals, by scope and op
  };
  /// Each with the identity that the op has for it.
  using Views = std::vector<std::pair<ObservedThread*, OpIdentity>>;

  /// All that observe this thread, the outermost first.
  static std::vector<ObservedThread*> all();
  static void show(const Views& views, Observation& op);
  /// The number of the execution that begins.
  uint64_t begin(uint64_t body);
  /// That of the one under way.
  uint64_t execution_of(uint64_t body) const;

  Observer& observer_;
  ObservedThread* outer_;
  std::map<uint64_t, Executions> bodies_;
  std::shared_ptr<RandomCounters> draws_ = std::make_shared<RandomCounters>();  // the observer's own
};
using internal::ObservedThread;

/// What is under way on a thread because of observers: some are hidden, which they are too while one is called, or a
/// run is observed.
struct ObserverLevel {
  enum class Kind : uint8_t { hidden, run } kind;
  ObserverLevel* outer;
};

/// Nothing is observed meanwhile on this thread.
class [[nodiscard]] HiddenObservers : private ObserverLevel {
 public:
  HiddenObservers();
  ~HiddenObservers();
  HiddenObservers(const HiddenObservers&) = delete;
  HiddenObservers& operator=(const HiddenObservers&) = delete;

 private:
  friend class internal::ObservedThread;
  friend class ObservedRun;
  friend class ObserverCall;
  friend void refuse_in_observer(const void* session, const char* use);
  friend ObserverDraws* observer_draws();
  static HiddenObservers* of(ObserverLevel* level);  // null: it is a run
  ObserverLevel* level() { return this; }
  ObservedThread* observing_;     // what it hides
  ObserverCall* call_ = nullptr;  // of which it is a part
};

/// An execution of a body that a run does, as a graph holds it: a step that is called within another leaves one in the
/// other's graph each time.
struct BuiltExecution {
  uint64_t body = 0;
  uint32_t first = 0;  ///< its first node
};

/// A run, of a plan or of a body op by op, that this thread observes.
class [[nodiscard]] ObservedRun : private ObserverLevel {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  /// `session`: whose locks it holds. `executions`: what it will do, by the first nodes; must outlive it.
  ObservedRun(const void* session, std::span<const BuiltExecution> executions);
  ~ObservedRun();
  ObservedRun(const ObservedRun&) = delete;
  ObservedRun& operator=(const ObservedRun&) = delete;

  /// Node `node` is about to be done: the executions before it begin.
  void reach(uint32_t node);
  /// All is done.
  void finish() { reach(kNone); }
  /// A node that is done, in that one of the executions; kNone: in none.
  void node(Observation op, uint32_t execution) const;

  /// Eager ops done meanwhile on this thread are this node's work, and what it is observed as.
  class [[nodiscard]] At {
   public:
    At(ObservedRun& run, const OpIdentity& identity, uint32_t execution, std::string node);
    ~At();
    At(const At&) = delete;
    At& operator=(const At&) = delete;

   private:
    friend class internal::ObservedThread;
    ObservedRun& run_;
    const OpIdentity& identity_;
    const uint32_t execution_;
    const std::string node_;
    const At* const outer_;
  };

 private:
  friend class internal::ObservedThread;
  friend void refuse_in_observer(const void* session, const char* use);
  /// The innermost on this thread, within the observer that is called if one is; null: there is none.
  static ObservedRun* innermost();
  ObservedThread::Views views(const OpIdentity& identity, uint32_t execution) const;

  const void* const session_;
  const std::span<const BuiltExecution> executions_;
  size_t begun_ = 0;
  std::map<std::pair<const ObservedThread*, size_t>, uint64_t> numbers_;  // of executions begun
  const At* at_;
};

/// Throws FailedPrecondition if an observer is called, on this thread, by a run of `session`, which it wants to `use`:
/// "close".
void refuse_in_observer(const void* session, const char* use);

/// What random ops of an observer are made from.
struct ObserverDraws {
  RandomOrdinals ordinals;
  std::shared_ptr<RandomCounters> counters;
};
/// Those of the innermost observer that is being called on this thread; null: there is none.
ObserverDraws* observer_draws();

}  // namespace twofold
