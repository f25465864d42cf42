// Faults planted into the optimiser, to see that random programs find them.
#pragma once

namespace fuzz {

enum class Fault {
  none,
  swapped_read,      ///< a variable is read before an assignment that stands before the read
  lost_effect,       ///< an assignment yields its value and stores nothing
  thread_dependent,  ///< a sum is taken in as many parts as there are threads
  missed_attribute,  ///< two ops that differ in their attributes alone are merged
};

/// From now on sessions plan with this fault.
void plant(Fault fault);

}  // namespace fuzz
