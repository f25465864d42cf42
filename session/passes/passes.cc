#include <twofold/session/passes/passes.h>

#include <algorithm>

#include <twofold/lib/report/ledger.h>

namespace twofold {

std::span<const Pass> all_passes() {
  static constexpr Pass kPasses[] = {
      {"fold", "computes what depends on constants alone, once", fold_constants},
      {"cse", "computes equal subexpressions once", eliminate_common_subexpressions},
      {"dce", "drops what nobody reads", eliminate_dead_code},
      {"fuse", "runs groups of pointwise ops tile by tile", fuse_pointwise},
  };
  return kPasses;
}

bool pass_enabled(const SessionOptions& options, std::string_view name) {
  return options.optimize && std::ranges::find(options.disabled_passes, name) == options.disabled_passes.end();
}

void run_passes(Program& p, const SessionOptions& options, Ledger* ledger) {
  for (const Pass& pass : all_passes()) {
    if (!pass_enabled(options, pass.name)) continue;
    const int64_t changes = pass.run(p);
    if (ledger) ledger->add_pass(pass.name, changes);
  }
}

}  // namespace twofold
