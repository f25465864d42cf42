// Saved programs of each version of the library run on, and a file is whole whenever a save is stopped.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <twofold/twofold.h>

#include "../catch.h"
#include "../training.h"
#include "scratch.h"
#include "source_root.h"

namespace tf = twofold;
using tf::Tensor;

// What tests/io/saved_programs.cc builds, with values by hand.
TEST_CASE("Programs that version 0.2.0 has saved run on", "[saved]") {
  tf::EagerMode eager;
  const auto load = [](const std::string& name) {
    return tf::load(TWOFOLD_SOURCE_ROOT "/tests/data/saved/0.2.0/" + name + ".safetensors");
  };
  const auto same = [](const Tensor& t, std::vector<double> expected) {
    const auto values = tf::cast(t, tf::float64);
    REQUIRE(t.num_elements() == static_cast<int64_t>(expected.size()));
    for (size_t i = 0; i < expected.size(); ++i)
      CHECK(std::abs(values.data<double>()[i] - expected[i]) <= 1e-5 * std::max(1.0, std::abs(expected[i])));
  };
  same(load("affine").function("f")({1.f, 2.f}, 3.f), {5, 7});
  same(load("lines").function("f")({1.f, 2.f}, 3.f), {5, 7});
  same(load("branch").function("f")({1.f, 2.f}), {1, 4});
  same(load("branch").function("f")({-1.f, -2.f}), {std::exp(-1.0), std::exp(-2.0)});
  same(load("loop").function("f")(2.f), {16});
  same(load("slopes").function("f")({1.f, 2.f}), {2 + 4 * 27, 4 + 4 * 27});  // of x^2, and of (x + y)^4
  same(load("list").function("f")({1.f, 2.f}), {2, 6});
  same(load("guarded").function("f")({2.f}), {2});
  same(load("guarded").function("f")({-3.f}), {3});
  same(load("several").function("f")(2.f), {4});
  same(load("several").function("f")(int64_t{3}), {6});
  same(load("several").function("f")(tf::tensor({1.0, 2.0})), {2, 4});
  const auto constants = load("constants").function("f").all(tf::tensor({1.f, 0.f, 1.f}));
  same(constants.at(0), {0, 0, 2});
  same(constants.at(1), {0, 1, 2});
  same(constants.at(2), {3, 4, 1, 2, 3, 4});
  const auto shapes = load("shapes").function("f").all(tf::tensor({{1.f, 2.f, 3.f}, {6.f, 5.f, 4.f}}));
  same(shapes.at(0), {1, 6, 1, 6, 2, 5, 2, 5, 3, 4, 3, 4});
  same(shapes.at(1), {6, 15});
  same(shapes.at(2), {1, 6});
  same(shapes.at(3), {1, 1, 1});
  CHECK(load("conv").function("f")(tf::ones({1, 1, 6, 6})).shape() == tf::Shape{1, 2, 2, 2});

  // w = ((1, 2), (3, 4)) and b = 0 after one step of Adam, which is -0.01 by the sign of each gradient.
  const auto training = load("training");
  same(training.function("predict")(tf::ones({1, 2})), {3.97, 5.97});
  same(training.function("fit")(tf::ones({1, 2}), tf::ones({1, 2})), {(2.97 * 2.97 + 4.97 * 4.97) / 2});
  const auto after = training.function("predict")(tf::ones({1, 2}));
  same(after, {3.94, 5.94});  // gradients of one sign: nearly as much again

  // The third of its draws, as version 0.2.0 would have gone on.
  same(load("draws").function("f")(1.f), {-0.874022961, 0.104448617});
}

// What is killed, or has no room: run by the cases below, and by those alone.
TEST_CASE("Saving programs until it is killed", "[.][program_child]") {
  const char* path = std::getenv("TWOFOLD_TEST_PROGRAM");
  REQUIRE(path);
  tf::EagerMode eager;
  const tf::Variable v(tf::zeros({200'000}), {.name = "v"});
  auto f = tf::function([&](Tensor x) { return v * x; });
  f(1.f);
  for (int n = 1;; ++n) {
    v.assign(tf::full({200'000}, static_cast<float>(n)));
    tf::save(path, {{"f", f}});
    if (write(STDOUT_FILENO, "s", 1) != 1) std::_Exit(1);
  }
}

TEST_CASE("Whenever a save is killed, the file is whole", "[saved]") {
  const Scratch scratch;
  const std::string path = scratch / "program.safetensors";
  std::mt19937 random(3);
  tf::EagerMode eager;
  for (int round = 0; round < 12; ++round) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
      dup2(ends[1], STDOUT_FILENO);
      setenv("TWOFOLD_TEST_PROGRAM", path.c_str(), 1);
      execl("/proc/self/exe", "program_child", "[program_child]", static_cast<char*>(nullptr));
      _exit(1);
    }
    close(ends[1]);
    char said = 0;
    const bool began = read(ends[0], &said, 1) == 1;
    std::this_thread::sleep_for(std::chrono::microseconds(std::uniform_int_distribution(0, 20'000)(random)));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    close(ends[0]);
    REQUIRE(began);
    REQUIRE(WIFSIGNALED(status));
    const auto values = training::floats(tf::load(path).function("f")(1.f));
    REQUIRE(values.size() == 200'000);
    CHECK(values[0] >= 1.f);
    CHECK(std::ranges::count(values, values[0]) == 200'000);
  }
  for (const auto& left : std::filesystem::directory_iterator(scratch.folder())) {
    const std::string name = left.path().filename();
    CHECK((name == "program.safetensors" || name.starts_with(".twofold-")));
  }
}

TEST_CASE("Where there is no room for a program, the old file stays", "[saved]") {
  const Scratch scratch;
  const std::string path = scratch / "program.safetensors";
  tf::EagerMode eager;
  auto f = tf::function([](Tensor x) { return x + 1.f; });
  f(1.f);
  tf::save(path, {{"f", f}});
  const std::string before = contents(path);
  const tf::Variable large(tf::zeros({100'000}), {.name = "large"});
  auto g = tf::function([&](Tensor x) { return large * x; });
  g(1.f);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old_limit) == 0);
  const rlimit limit{100'000, old_limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  std::string problem;
  try {
    tf::save(path, {{"g", g}});
  } catch (const tf::Error& e) {
    problem = e.what();
  }
  REQUIRE(setrlimit(RLIMIT_FSIZE, &old_limit) == 0);
  std::signal(SIGXFSZ, old_handler);
  CHECK(problem.find(path) != std::string::npos);
  CHECK(contents(path) == before);
  CHECK(scratch.count() == 1);
}
