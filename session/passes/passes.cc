#include <twofold/session/passes/passes.h>

#include <algorithm>
#include <vector>

#include <twofold/lib/report/ledger.h>

namespace twofold {

namespace {
std::vector<Pass>& passes() {
  static std::vector<Pass> all = {
      {"fold", "computes what depends on constants alone, once", fold_constants},
      {"cse", "computes equal subexpressions once", eliminate_common_subexpressions},
      {"dce", "drops what nobody reads", eliminate_dead_code},
      {"fuse", "runs groups of pointwise ops tile by tile", fuse_pointwise},
  };
  return all;
}
}  // namespace

std::span<const Pass> all_passes() { return passes(); }

void add_first_pass(const Pass& pass) { passes().insert(passes().begin(), pass); }

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
