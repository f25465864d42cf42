#include <twofold/session/program/passes.h>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include <twofold/lib/core/error.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/session/program/inline_calls.h>

namespace twofold {

namespace {
std::vector<Pass>& passes() {
  static std::vector<Pass> all = {
      kInlinePass,
      {"fold", "computes what depends on constants alone, once", fold_constants},
      {"cse", "computes equal subexpressions once", eliminate_common_subexpressions},
      {"dce", "drops what nobody reads", eliminate_dead_code},
      {"batch_norm", "lets batch normalisation do the relu that follows it", fuse_batch_norm, true},
      {"fuse", "runs groups of pointwise ops tile by tile", fuse_pointwise, true},
      {"late_updates", "writes new values of variables over the old ones, once a run can fail no more",
       move_late_updates, true},
      kMemoryPass,
      kCapturePass,
  };
  return all;
}

#ifdef NDEBUG
constexpr bool kDebugs = false;
#else
constexpr bool kDebugs = true;
#endif
std::atomic<bool> g_verifies{kDebugs};
}  // namespace

void verify_programs(bool on) { g_verifies = on; }
bool verifies_programs() { return g_verifies.load(std::memory_order_relaxed); }

std::span<const Pass> all_passes() { return passes(); }

void add_first_pass(const Pass& pass) { passes().insert(passes().begin(), pass); }

void check_options(const SessionOptions& options) {
  if (options.max_plans < 1)
    fail(Code::InvalidArgument, fmt::format("max_plans is {}; a session needs one at least", options.max_plans),
         "{.max_plans = 256}");
  if (options.plan_memory < 0)
    fail(Code::InvalidArgument, fmt::format("plan_memory is {} bytes; it must be 0 or more", options.plan_memory),
         "{.plan_memory = int64_t{1} << 30}");
  if (options.gpu_memory_limit < 0)
    fail(Code::InvalidArgument,
         fmt::format("gpu_memory_limit is {} bytes; it must be 0, for no limit, or more", options.gpu_memory_limit),
         "{.gpu_memory_limit = int64_t{8} << 30}");
  std::vector<std::string_view> names;
  for (const Pass& pass : all_passes()) names.push_back(pass.name);
  for (const std::string& name : options.disabled_passes)
    if (std::ranges::find(names, name) == names.end())
      fail(Code::InvalidArgument,
           fmt::format("There is no pass '{}' to disable; there are {}", name, fmt::join(names, ", ")));
}

bool pass_enabled(const SessionOptions& options, const Pass& pass) {
  return options.optimize && std::ranges::find(options.disabled_passes, pass.name) == options.disabled_passes.end();
}

void count_pass(const Pass& pass, int64_t changes, const SessionOptions& options, Ledger* ledger) {
  if (ledger && pass_enabled(options, pass)) ledger->add_pass(pass.name, changes);
}

void run_passes(Program& p, const SessionOptions& options, Ledger* ledger) {
  const bool verifies = verifies_programs();
  for (const Pass& pass : all_passes()) {
    if (!pass.run || !pass_enabled(options, pass)) continue;
    count_pass(pass, pass.run(p), options, ledger);
    if (verifies) p.verify(fmt::format("pass '{}'", pass.name));
  }
  p.forget_readers();
}

}  // namespace twofold
