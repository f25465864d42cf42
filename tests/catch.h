// Catch2, whichever of versions 2 and 3 is there.
#pragma once

#include <iostream>

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

/// Leaves a test that this machine cannot run, and says so; tests/run.sh counts these lines. The only reason accepted
/// is "no GPU".
#define TWOFOLD_SKIP(reason)                                                                                     \
  do {                                                                                                           \
    std::cout << "skipped: " << Catch::getResultCapture().getCurrentTestName() << ": " << (reason) << std::endl; \
    return;                                                                                                      \
  } while (false)
