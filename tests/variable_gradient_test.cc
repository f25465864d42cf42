#include <twofold/twofold.h>

#include "both_modes.h"

namespace tf = twofold;
using testing::doubles;
using tf::Tensor;

TEST_CASE("variables that hold one value are still different variables to a gradient") {
  const auto d = testing::in_both_modes([] {
    const Tensor shared = tf::constant(std::vector{2.0, 3.0});
    const tf::Variable a(shared), b(shared), c(std::vector{0.0, 0.0});
    const Tensor assigned = c.assign(b);
    tf::GradientTape tape;
    const tf::ControlDependencies after({assigned});
    const auto g = tape.gradient(tf::sum(a * b * c), {a, b, c});
    return std::vector<Tensor>{g[0], g[1], g[2]};
  });
  for (const Tensor& g : d) CHECK(doubles(g) == std::vector<double>{4, 9});
}

TEST_CASE("what an assignment returns is not the variable to a gradient") {
  const auto d = testing::in_both_modes([] {
    const tf::Variable v(std::vector{2.0, 3.0});
    tf::GradientTape tape;
    const Tensor returned = v.assign_add(std::vector{1.0, 1.0});
    const tf::ControlDependencies after({returned});
    return std::vector<Tensor>{tape.gradient(tf::sum(returned * v), v)};
  });
  CHECK(doubles(d[0]) == std::vector<double>{3, 4});
}

TEST_CASE("a tape does not see what was done before it began") {
  const auto d = testing::in_both_modes([] {
    const tf::Variable v(std::vector{2.0, 3.0});
    const Tensor before = v * 10.0;
    tf::GradientTape tape;
    return std::vector<Tensor>{tape.gradient(tf::sum(before * v), v)};
  });
  CHECK(doubles(d[0]) == std::vector<double>{20, 30});
}
