// Random programs give the same bits in both modes, with every pass on or off, for every number of threads; and on a
// GPU.
//
//   fuzz [--seed N] [--programs N] [Catch2's options]     (or TWOFOLD_FUZZ_SEED, TWOFOLD_FUZZ_PROGRAMS)
#include <iostream>
#include <string>
#include <vector>

#include <twofold/lib/runtime/gpu_memory.h>

#include "coverage.h"
#include "fuzz_test.h"
#include "generator.h"
#include "gpu.h"

namespace tf = twofold;

uint64_t fuzz::g_seed = 20240607;
int fuzz::g_programs = 2000;

namespace {

using fuzz::g_programs, fuzz::g_seed;

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
