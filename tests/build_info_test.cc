// What the library says of itself.
#include <algorithm>
#include <sstream>
#include <string>

#include <twofold/twofold.h>

#include "catch.h"

namespace tf = twofold;

TEST_CASE("build_info says what was built and what was loaded") {
  const tf::BuildInfo info = tf::build_info();
  CHECK(info.version.find('.') != std::string::npos);
  CHECK((info.compiler.starts_with("gcc ") || info.compiler.starts_with("clang ")));
  CHECK(info.build_type.starts_with("-O"));
  REQUIRE(!info.isas.empty());
  // The kernels that this process computes with are among those that were built.
  CHECK(std::find(info.isas.begin(), info.isas.end(), info.cpu_kernels) != info.isas.end());
  // A part that is left out has its reason, one that is in its version.
  if (info.cuda.starts_with("left out: ")) {
    CHECK(info.cuda.size() > std::string("left out: ").size());
    CHECK(info.gpus.starts_with("none: "));
  } else {
    CHECK(info.cuda.find_first_not_of("0123456789.") == std::string::npos);
    CHECK(info.cudnn.find(", /") != std::string::npos);
  }

  std::ostringstream text;
  text << info;
  for (const auto& part : {info.version, info.compiler, info.cuda, info.cpu_kernels, info.gpus})
    CHECK(text.str().find(part) != std::string::npos);
}
