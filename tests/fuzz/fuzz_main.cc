// fuzz's own main(): its options, then Catch2's. Apart from the test, since with Catch2 2 all of Catch2 is compiled
// here.
#include <cstdlib>
#include <string_view>
#include <vector>

#define CATCH_CONFIG_RUNNER
#include "catch.h"
#include "fuzz_test.h"

int main(int argc, char** argv) {
  if (const char* seed = std::getenv("TWOFOLD_FUZZ_SEED")) fuzz::g_seed = std::strtoull(seed, nullptr, 10);
  if (const char* programs = std::getenv("TWOFOLD_FUZZ_PROGRAMS")) fuzz::g_programs = std::atoi(programs);
  std::vector<char*> rest{argv[0]};
  for (int k = 1; k < argc; ++k) {
    const std::string_view arg = argv[k];
    if (arg == "--seed" && k + 1 < argc) {
      fuzz::g_seed = std::strtoull(argv[++k], nullptr, 10);
    } else if (arg == "--programs" && k + 1 < argc) {
      fuzz::g_programs = std::atoi(argv[++k]);
    } else {
      rest.push_back(argv[k]);
    }
  }
  return Catch::Session().run(static_cast<int>(rest.size()), rest.data());
}
