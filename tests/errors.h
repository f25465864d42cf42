// Checking that a mistake is answered by the right error.
#pragma once

#include <string>

#include <twofold/lib/core/error.h>

#include "catch.h"

/// The expression throws a tf::Error with this code whose text contains `words`.
#define CHECK_ERROR(expression, expected_code, words)                            \
  do {                                                                           \
    std::string what_came = "no error";                                          \
    std::string code_that_came;                                                  \
    try {                                                                        \
      (void)(expression);                                                        \
    } catch (const twofold::Error& error) {                                      \
      what_came = error.what();                                                  \
      code_that_came = std::string(name_of(error.code()));                       \
    }                                                                            \
    INFO(#expression << " gave: " << what_came);                                 \
    CHECK(code_that_came == std::string(name_of(twofold::Code::expected_code))); \
    CHECK(what_came.find(words) != std::string::npos);                           \
  } while (false)
