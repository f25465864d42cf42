#include <functional>
#include <thread>
#include <vector>

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

TEST_CASE("each reading of a variable is a tensor of its own, and the variable's gradient is the sum over them") {
  const auto d = testing::in_both_modes([] {
    const tf::Variable v(std::vector{2.0, 3.0});
    tf::GradientTape tape({.persistent = true});
    const Tensor first = v.read(), second = v.read();
    const Tensor y = tf::sum(first * first * second);
    return std::vector<Tensor>{tape.gradient(y, first), tape.gradient(y, second), tape.gradient(y, v)};
  });
  CHECK(doubles(d[0]) == std::vector<double>{8, 18});
  CHECK(doubles(d[1]) == std::vector<double>{4, 9});
  CHECK(doubles(d[2]) == std::vector<double>{12, 27});
}

TEST_CASE("what a loop reads after its own assignments is not what was read before it") {
  const auto d = testing::in_both_modes([] {
    const tf::Variable v(2.0);
    tf::GradientTape tape({.persistent = true});
    const Tensor before = v.read();
    const auto [n, y] = tf::while_loop([](Tensor n, Tensor) { return n < 2; },
                                       [&](Tensor n, Tensor s) {
                                         const Tensor assigned = v.assign_sub(0.5);
                                         const tf::ControlDependencies after({assigned});
                                         return std::tuple{n + 1, s + v.read() * before};
                                       },
                                       std::tuple{tf::constant(0), tf::constant(0.0)});
    return std::vector<Tensor>{y, tape.gradient(y, before), tape.gradient(y, v)};
  });
  CHECK(doubles(d[0]) == std::vector<double>{5});    // 1.5 * 2 + 1 * 2
  CHECK(doubles(d[1]) == std::vector<double>{2.5});  // 1.5 + 1
  CHECK(doubles(d[2]) == std::vector<double>{6.5});  // that, and 2 for each reading inside
}

TEST_CASE("a branch that is not taken assigns nothing, and what is read after it counts") {
  const auto d = testing::in_both_modes([] {
    const tf::Variable v(2.0);
    const Tensor p = tf::constant(false);
    tf::GradientTape tape({.persistent = true});
    const auto a = tf::cond(
        p, [&] { return v.assign_add(1.0); }, [&] { return v.read(); });
    const auto b = tf::cond(
        p, [&] { return v.assign_add(1.0); }, [&] { return v.read() * v.read(); });
    return std::vector<Tensor>{tape.gradient(a * b, v)};
  });
  CHECK(doubles(d[0]) == std::vector<double>{12});  // 3 v^2
}

TEST_CASE("a tape counts the uses of what it is told to watch from there on") {
  const auto d = testing::in_both_modes([] {
    const Tensor x = tf::constant(3.0);
    const tf::Variable v(5.0, {.trainable = false});
    tf::GradientTape tape({.persistent = true});
    const Tensor before = x * v;
    tape.watch(x);
    tape.watch(v);
    const Tensor y = before + x * v;
    // What depends on something watched is watched already.
    const Tensor z = x * 2.0, w = z * z;
    tape.watch(z);
    return std::vector<Tensor>{tape.gradient(y, x), tape.gradient(y, v), tape.gradient(w, z)};
  });
  CHECK(doubles(d[0]) == std::vector<double>{5});
  CHECK(doubles(d[1]) == std::vector<double>{3});
  CHECK(doubles(d[2]) == std::vector<double>{12});
}

TEST_CASE("a tape that does not watch variables by itself does not know what depends on them") {
  CHECK_FALSE(tf::eagerly([] {
                const tf::Variable v(2.0);
                tf::GradientTape tape({.watch_accessed_variables = false});
                const Tensor x = v * 1.0;
                return tape.gradient(x * x, x);
              }).defined());
  CHECK_FALSE(tf::deferred([] {
                const tf::Variable v(2.0);
                tf::GradientTape tape({.watch_accessed_variables = false});
                const Tensor x = v * 1.0;
                return tape.gradient(x * x, x);
              }).defined());
}

TEST_CASE("a gradient is a tensor of its own, also where it equals what was given") {
  const auto d = testing::in_both_modes([] {
    const Tensor x = tf::constant(2.0), dy = tf::constant(7.0);
    tf::GradientTape tape({.persistent = true});
    tape.watch(x);
    tape.watch(dy);
    const Tensor dx = tf::gradients({x + 1.0}, {x}, {dy})[0];
    const Tensor y = dx * dy;
    return std::vector<Tensor>{tape.gradient(y, dy), tape.gradient(y, dx)};
  });
  CHECK(doubles(d[0]) == std::vector<double>{14});
  CHECK(doubles(d[1]) == std::vector<double>{7});
}

// Its elements lie where those of the old one lay.
TEST_CASE("a value that is written over another is not that one to a tape") {
  const std::vector<float> start(100, 1.f);
  const auto check = [](const std::function<Tensor()>& value, const std::function<void()>& update) {
    const tf::EagerMode eager;
    tf::GradientTape tape({.persistent = true});
    tape.watch(value());
    update();
    const Tensor now = value();
    CHECK_FALSE(tape.gradient(tf::sum(now * 2.f), now).defined());
  };
  SECTION("deferred") {
    const tf::Graph graph;
    const auto scope = graph.as_default();
    const tf::Variable w(start);
    tf::train::SGD opt({w}, {.lr = 0.5});
    const tf::Operation train = opt.minimize(tf::sum(w.read()));
    const tf::Session session(graph);
    session.run(tf::global_variables_initializer());
    session.run(train);  // the first value is the graph's constant
    const auto value = [&] { return session.run(w); };
    check(value, [&] { session.run(train); });
    CHECK(doubles(value())[0] == 0);
  }
  SECTION("eager") {
    const tf::EagerMode eager;
    const tf::Variable w(start);
    tf::train::SGD opt({w}, {.lr = 0.5});
    auto train = tf::step([&] { opt.minimize(tf::sum(w.read())); });
    train();
    const auto value = [&] {  // read where no tape is
      Tensor read;
      std::thread([&] {
        const tf::EagerMode here;
        read = w.read();
      }).join();
      return read;
    };
    check(value, [&] { train(); });
  }
}
