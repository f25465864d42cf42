// What an Observing does on its thread, for the library's own sources: no header that programs include has this.
#pragma once

#include <cstdint>
#include <map>
#include <source_location>
#include <span>
#include <string>
#include <utility>

#include <twofold/lib/op/observer.h>

namespace twofold {

struct OpDef;

/// Gives an observer the ops that a thread does.
class internal::ObservedThread {
 public:
  explicit ObservedThread(Observer& observer);
  ~ObservedThread();
  ObservedThread(const ObservedThread&) = delete;
  ObservedThread& operator=(const ObservedThread&) = delete;

  /// An eager op. Of a node that is carried out eagerly, what `At` says.
  void eager_op(const OpDef& op, std::span<const Tensor* const> inputs, std::span<const Tensor> outputs,
                std::source_location where);
  /// A node of a plan.
  void node(const Observation& op);
  /// An execution of a body begins.
  void begin_execution(uint64_t body);
  /// The number of the execution of that body which is under way.
  uint64_t execution_of(uint64_t body) const;

  /// Eager ops done meanwhile on this thread are this node's work, and what it is observed as.
  class [[nodiscard]] At {
   public:
    At(const OpIdentity& identity, std::string node);
    ~At();
    At(const At&) = delete;
    At& operator=(const At&) = delete;

   private:
    friend class ObservedThread;
    OpIdentity identity_;
    std::string node_;
    const At* outer_ = nullptr;
  };
  /// Nothing is observed meanwhile on this thread.
  class [[nodiscard]] Hidden {
   public:
    Hidden();
    ~Hidden();
    Hidden(const Hidden&) = delete;
    Hidden& operator=(const Hidden&) = delete;

   private:
    ObservedThread* outer_;
  };

 private:
  struct Executions {
    uint64_t begun = 0;
    std::map<std::pair<uint64_t, const OpDef*>, uint64_t> next;  // ordinals, by scope and op
  };

  Observer& observer_;
  ObservedThread* outer_;
  std::map<uint64_t, Executions> bodies_;
  const At* at_ = nullptr;
};
using internal::ObservedThread;

}  // namespace twofold
