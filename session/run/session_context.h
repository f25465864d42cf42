// What the runs of one session share.
#pragma once

#include <atomic>

#include <twofold/lib/runtime/gpu_memory.h>
#include <twofold/session/plan/slots.h>
#include <twofold/session/program/options.h>
#include <twofold/session/run/plan_memory.h>

namespace twofold {

struct SessionContext {
  /// `of_eager`: see Slots.
  SessionContext(const SessionOptions& options, bool of_eager)
      : slots(parse_device(options.device, options.soft_placement), of_eager),
        pools(options.gpu_memory_limit),
        plans(options.plan_memory, options.gpu_memory_limit, pools) {}

  Slots slots;
  const uint64_t number = next_number();  ///< of the session, from 1
  GpuPools pools;
  PlanMemory plans;
  /// Whether runs may have failed late, on a GPU, without anybody's having been told.
  std::atomic<bool> fails_late{false};

 private:
  static uint64_t next_number() {
    static std::atomic<uint64_t> g_next{1};
    return g_next.fetch_add(1, std::memory_order_relaxed);
  }
};

}  // namespace twofold
