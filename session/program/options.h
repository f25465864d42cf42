// How a session plans.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace twofold {

/// Options of `Session`.
struct SessionOptions {
  /// Off: every op of the graph runs by itself, in the order it was made, just as in eager mode.
  bool optimize = true;
  /// Names of passes to leave out when optimising: "inline", "fold", "cse", "dce", "batch_norm", "fuse", "late_updates",
  /// "memory", "capture".
  std::vector<std::string> disabled_passes = {};
  /// Where ops run that no guard has placed and no input on a GPU: "/cpu:0", "/gpu:0".
  std::string device = "/cpu:0";
  /// Without that device the session runs on the CPU, and says so; else that is an error. For guards see
  /// tf::soft_placement.
  bool soft_placement = false;
  /// Most bytes that the session may hold at once on a GPU; 0: what there is.
  int64_t gpu_memory_limit = 0;
  /// Most bytes that plans may keep on one device between runs: what they compute in, and constants computed for them.
  /// Beyond it, and before a run is out of memory, the plans used least recently go, and are made anew when they are
  /// wanted again. The memory of runs under way is no part of the bound, nor is that of the plan used last. 0: half of
  /// what the device has, or of gpu_memory_limit.
  int64_t plan_memory = 0;
  /// Plans kept at once; beyond it the least recently used goes.
  int max_plans = 256;
};

}  // namespace twofold
