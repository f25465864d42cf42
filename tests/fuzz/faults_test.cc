// Each planted fault is found by random programs, and comes out small.
#include <iostream>

#include "catch.h"
#include "faults.h"
#include "generator.h"

namespace {

constexpr int kMostPrograms = 500;

}  // namespace

TEST_CASE("Random programs find planted faults") {
  const auto [fault, name, most_lines] = GENERATE(table<fuzz::Fault, std::string, size_t>({
      {fuzz::Fault::swapped_read, "a swapped read", 4},
      {fuzz::Fault::lost_effect, "a lost effect", 4},
      {fuzz::Fault::thread_dependent, "a thread-dependent sum", 4},
      {fuzz::Fault::missed_attribute, "a missed attribute", 8},  // of a result that may need three watched operands
  }));
  fuzz::plant(fault);
  std::optional<fuzz::Difference> difference;
  fuzz::Program program;
  int index = 0;
  for (; index < kMostPrograms && !difference; ++index) {
    program = fuzz::generate(7, index);
    fuzz::plant(fuzz::Fault::none);
    if (fuzz::find_difference(program)) continue;  // the library's own, which tells nothing of the planted one
    fuzz::plant(fault);
    difference = fuzz::find_difference(program);
  }
  INFO(name);
  REQUIRE(difference);
  CHECK(difference->config.find("optimised") != std::string::npos);
  const fuzz::Program smallest = fuzz::shrink_difference(program, *difference);
  INFO(fuzz::to_cpp(smallest));
  CHECK(fuzz::find_difference(smallest, &difference->config));
  CHECK(smallest.body.size() <= most_lines);
  std::cout << "fuzz: " << name << " is found by program " << index << " and shrunk from " << program.body.size()
            << " lines to " << smallest.body.size() << '\n';
  fuzz::plant(fuzz::Fault::none);
  CHECK_FALSE(fuzz::find_difference(smallest));
}
