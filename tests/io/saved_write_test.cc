// Writing is atomic: whatever ends it, the file there is whole, the old one or the new one.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>

#include <twofold/twofold.h>

#include "../catch.h"
#include "../errors.h"
#include "../training.h"
#include "child.h"
#include "scratch.h"

namespace tf = twofold;

namespace {

constexpr int64_t kSize = 300'000;  // 1.2 MB a file, which takes a while to be written

// Saves x + w, w being full of the number of the file, as often as it can.
void save_for_ever(const std::string& path, int rounds) {
  const tf::EagerMode eager;
  const tf::Variable w(tf::zeros({kSize}), {.name = "w"});
  auto f = tf::function([&](tf::Tensor x) { return tf::sum(w) + x; });
  f(0.f);
  for (int n = 0; n < rounds; ++n) {
    w.assign(tf::full({kSize}, static_cast<float>(n % 8)));
    tf::save(path, {{"f", f}});
    if (write(STDOUT_FILENO, "s", 1) != 1) std::_Exit(1);
  }
}

// All of its variable is of one save.
void check_whole(const std::string& path) {
  const tf::EagerMode eager;
  const auto program = tf::load(path);
  const auto values = training::floats(program.variables().at("w").read());
  REQUIRE(values.size() == kSize);
  CHECK(std::ranges::count(values, values[0]) == kSize);
  CHECK(training::number(program.function("f")(1.f)) == static_cast<float>(kSize) * values[0] + 1);
}

}  // namespace

// What is killed: run by the case below, and by that alone.
TEST_CASE("Programs are saved until it is killed", "[.][save_child]") {
  const char* path = std::getenv("TWOFOLD_TEST_SAVE");
  REQUIRE(path);
  save_for_ever(path, INT32_MAX);
}

TEST_CASE("A program that is killed while it saves leaves the old file or the new one", "[saved]") {
  const Scratch scratch;
  const std::string path = scratch / "net.safetensors";
  std::mt19937 random(1);
  int left = 0;
  for (int round = 0; round < 12; ++round) {
    INFO("round " << round);
    {
      Child child("[save_child]", "TWOFOLD_TEST_SAVE", path);
      char said;
      const bool began = child.next(said);
      const bool killed = child.kill_after(std::chrono::microseconds(std::uniform_int_distribution(0, 20'000)(random)));
      REQUIRE(began);
      REQUIRE(killed);
    }
    check_whole(path);
    left += scratch.count() > 1;
    // What the one that was killed has left is gone with the next that is saved there.
    if (round % 4 == 3) {
      const tf::EagerMode eager;
      const auto program = tf::load(path);
      tf::save(path, program);
      // One that is empty may be of a process that is about to write, for a minute.
      for (const auto& file : std::filesystem::directory_iterator(scratch.folder()))
        CHECK((file.path() == path || file.file_size() == 0));
      check_whole(path);
    }
  }
  INFO("rounds after which a temporary file was there: " << left);
  CHECK(left > 0);
}

TEST_CASE("Where the disk is full while a program is saved the old file stays whole", "[saved]") {
  const Scratch scratch;
  const std::string path = scratch / "net.safetensors";
  const tf::EagerMode eager;
  const tf::Variable w(tf::ones({kSize}), {.name = "w"});
  auto f = tf::function([&](tf::Tensor x) { return tf::sum(w) + x; });
  f(0.f);
  tf::save(path, {{"f", f}});
  const std::string old = contents(path);
  w.assign(tf::full({kSize}, 2.f));
  struct rlimit limit, less;
  REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  for (size_t most : {size_t{0}, size_t{1}, size_t{100}, size_t{4096}, old.size() / 2, old.size() - 1}) {
    less = limit, less.rlim_cur = most;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &less) == 0);
    std::string what;
    tf::Code code{};
    try {
      tf::save(path, {{"f", f}});
    } catch (const tf::Error& e) {
      what = e.what(), code = e.code();
    }
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    INFO(most << ": " << what);
    CHECK(code == tf::Code::ResourceExhausted);
    CHECK(what.find("net.safetensors'") != std::string::npos);
    CHECK(contents(path) == old);
    CHECK(scratch.count() == 1);
  }
  std::signal(SIGXFSZ, handler);
  check_whole(path);
  tf::save(path, {{"f", f}});
  CHECK(contents(path).size() == old.size());
  CHECK(contents(path) != old);
}
