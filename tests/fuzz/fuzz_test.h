// What fuzz's options set.
#pragma once

#include <cstdint>

namespace fuzz {
extern uint64_t g_seed;  ///< of all programs
extern int g_programs;   ///< how many are tried
}  // namespace fuzz
