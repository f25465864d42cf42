// The seed of what is drawn.
#pragma once

#include <cstdint>
#include <source_location>

namespace twofold {

/// Sets the seed, 0 until then: of the default graph, or eager the process's. What is made from here on draws from the
/// start of the sequences of that seed, be it set for the second time; what was made before, steps too, goes on. Throws
/// FailedPrecondition in the body of a step, loop or branch.
void set_random_seed(int64_t seed, std::source_location where = std::source_location::current());

}  // namespace twofold
