// The threads kernels run on.
#pragma once

#include <source_location>

namespace twofold {

/// How many threads a kernel may use, the caller's own included. Results do not depend on it. At first the number of
/// processors that this process may use, or TWOFOLD_THREADS.
int num_threads();
/// Takes effect for ops that start afterwards. Throws InvalidArgument below 1 and above 1024.
void set_num_threads(int n, std::source_location where = std::source_location::current());

}  // namespace twofold
