// Tests that need a GPU.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include <twofold/lib/runtime/device.h>
#include <twofold/lib/runtime/plugin.h>

#include "catch.h"

namespace testing {

/// True where no GPU can be used: the case that is running is then to return, and has been counted as skipped. With
/// TWOFOLD_REQUIRE_GPU in the environment it fails.
inline bool lacks_gpu() {
  std::string why;
  if (twofold::gpu_runtime(&why)) return false;
  if (std::getenv("TWOFOLD_REQUIRE_GPU")) FAIL(why);
  [[maybe_unused]] static const int said = std::puts(why.c_str());
  std::printf("skipped: %s: no GPU\n", Catch::getResultCapture().getCurrentTestName().c_str());
  return true;
}

/// The same for two.
inline bool lacks_second_gpu() {
  if (lacks_gpu()) return true;
  if (twofold::list_devices().size() > 2) return false;
  std::printf("skipped: %s: no second GPU\n", Catch::getResultCapture().getCurrentTestName().c_str());
  return true;
}

}  // namespace testing
