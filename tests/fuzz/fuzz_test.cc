// Random programs give the same bits in both modes, with every pass on or off, for every number of threads; and on a
// GPU.
//
//   fuzz [--seed N] [--programs N] [Catch2's options]     (or TWOFOLD_FUZZ_SEED, TWOFOLD_FUZZ_PROGRAMS)
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <map>
#include <set>
#include <string_view>

#define CATCH_CONFIG_RUNNER
#include <twofold/lib/core/gpu_memory.h>

#include "coverage.h"
#include "generator.h"
#include "gpu.h"

namespace tf = twofold;

namespace {

uint64_t g_seed = 20240607;
int g_programs = 2000;

void try_programs(const char* device) {
  std::cout << "fuzz: seed " << g_seed << ", " << g_programs << " programs on " << device << "\n";
  fuzz::Coverage coverage;
  int writes = 0, gradients = 0, failures = 0;
  for (int index = 0; index < g_programs && failures < 3; ++index) {
    fuzz::Program program = fuzz::generate(g_seed, index);
    program.device = device;
    writes += program.has_writes();
    gradients += program.has_gradients();
    const auto difference = fuzz::find_difference(program, nullptr, &coverage);
    if (!difference) continue;
    ++failures;
    const fuzz::Program smallest = fuzz::shrink_difference(program, *difference);
    const auto left = fuzz::find_difference(smallest, &difference->config);
    std::cout << "fuzz: program " << index << " of seed " << g_seed << ": " << difference->config
              << " differs: " << (left ? *left : *difference).what << "\n\n"
              << fuzz::to_cpp(smallest) << std::endl;
    FAIL_CHECK("program " << index << ": " << difference->config << ": " << difference->what);
  }
  std::cout << coverage.table() << "fuzz: " << writes << " programs write variables, " << gradients
            << " take gradients\n";
  if (failures == 0 && g_programs >= 1000) {
    CHECK(coverage.missing() == std::vector<std::string>());
    CHECK(writes * 5 >= g_programs);
    CHECK(gradients * 5 >= g_programs);
  }
}

}  // namespace

TEST_CASE("Random programs give the same bits in both modes") { try_programs("/cpu:0"); }

TEST_CASE("gpu: random programs give the same bits in both modes") {
  if (testing::lacks_gpu()) return;
  try_programs("/gpu:0");
  CHECK(tf::damaged_gpu_guard_bands() == 0);
}

int main(int argc, char** argv) {
  if (const char* seed = std::getenv("TWOFOLD_FUZZ_SEED")) g_seed = std::strtoull(seed, nullptr, 10);
  if (const char* programs = std::getenv("TWOFOLD_FUZZ_PROGRAMS")) g_programs = std::atoi(programs);
  std::vector<char*> rest{argv[0]};
  for (int k = 1; k < argc; ++k) {
    const std::string_view arg = argv[k];
    if (arg == "--seed" && k + 1 < argc) {
      g_seed = std::strtoull(argv[++k], nullptr, 10);
    } else if (arg == "--programs" && k + 1 < argc) {
      g_programs = std::atoi(argv[++k]);
    } else {
      rest.push_back(argv[k]);
    }
  }
  return Catch::Session().run(static_cast<int>(rest.size()), rest.data());
}
