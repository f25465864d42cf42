// Where a plan finds the values of its program.
#pragma once

#include <map>
#include <unordered_set>

#include <twofold/session/plan/memory_plan.h>
#include <twofold/session/plan/plan.h>

namespace twofold {

/// Says where each value is when the plan runs: it is an external or a constant, or lies in an arena. A value that is
/// asked for is added to the plan's externals or constants, or placed in its arena.
class Locations {
 public:
  Locations(const Program& p, MemoryPlan& memory, Plan& plan) : p_(p), memory_(memory), plan_(plan) {}

  /// The number of the external that holds `v`.
  uint32_t external(ValueId v);
  /// Adds the pointer to `v` to the plan's args.
  void push_arg(ValueId v);
  Source source(ValueId v);
  /// Of constants that the plan alone holds.
  DeviceBytes constant_bytes() const;

 private:
  void keep_constant(ValueId v);

  const Program& p_;
  MemoryPlan& memory_;
  Plan& plan_;
  std::map<int8_t, int64_t> constants_;      // bytes that the plan alone holds, by Device::index
  std::unordered_set<const void*> counted_;  // what is among them
};

}  // namespace twofold
