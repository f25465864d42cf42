// How a session plans.
#pragma once

#include <string>
#include <vector>

namespace twofold {

struct SessionOptions {
  /// Off: every op of the graph runs by itself, in the order it was made, just as in eager mode.
  bool optimize = true;
  /// Names of passes to leave out when optimising: "fold", "cse", "dce", "fuse", "memory".
  std::vector<std::string> disabled_passes = {};
  /// Plans kept at once; beyond it the least recently used goes.
  int max_plans = 256;
};

}  // namespace twofold
