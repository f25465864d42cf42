// kill -9 at any time, while checkpoints are written: the newest whole one is found again.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <random>
#include <string>

#include <twofold/twofold.h>

#include "../catch.h"
#include "../training.h"
#include "../warnings.h"
#include "child.h"
#include "scratch.h"

namespace tf = twofold;
namespace train = twofold::train;

namespace {

constexpr int64_t kSize = 200'000;  // 800 kB a checkpoint, which takes a while to be written

train::SaverOptions options(const std::string& directory) {
  return {.directory = directory, .keep_last = 2, .keep_best = 1};
}

}  // namespace

// What is killed: run by the case below, and by that alone.
TEST_CASE("Saving until it is killed", "[.][saver_child]") {
  const char* directory = std::getenv("TWOFOLD_TEST_SAVER");
  REQUIRE(directory);
  tf::EagerMode eager;
  tf::set_random_seed(0);
  tf::Session session;
  const tf::Variable v(tf::zeros({kSize}), {.name = "v"});
  train::Saver saver(session, {{"v", v}}, options(directory));
  const auto last = saver.restore_latest();
  for (int64_t n = last ? last->step + 1 : 1;; ++n) {
    v.assign(tf::full({kSize}, static_cast<float>(n)));
    saver.save(n, static_cast<double>(n % 7));
    const int64_t on_disk = n - 1;  // save waits for the one before
    if (write(STDOUT_FILENO, &on_disk, sizeof on_disk) != sizeof on_disk) std::_Exit(1);
  }
}

TEST_CASE("A program that is killed at any time finds its newest whole checkpoint again", "[saver]") {
  const Scratch scratch;
  const std::string directory = scratch / "run";
  std::mt19937 random(1);
  tf::EagerMode eager;
  tf::set_random_seed(0);
  tf::Session session;
  const tf::Variable v(tf::zeros({kSize}), {.name = "v"});
  int64_t newest = 0;
  int left = 0, went_on = 0;
  constexpr int kRounds = 20;
  for (int round = 0; round < kRounds; ++round) {
    INFO("round " << round);
    int64_t on_disk = -1;
    {
      Child child("[saver_child]", "TWOFOLD_TEST_SAVER", directory);
      const bool began = child.next(on_disk);
      const bool killed = child.kill_after(std::chrono::microseconds(std::uniform_int_distribution(0, 60'000)(random)));
      for (int64_t said; child.next(said);) on_disk = said;
      REQUIRE(began);
      REQUIRE(killed);
    }
    for (const auto& file : std::filesystem::directory_iterator(directory))
      left += file.path().filename().string().starts_with(".twofold-");
    const bool lost = round % 3 == 2;
    if (lost) std::filesystem::remove(directory + "/checkpoint.index.json");

    const Warnings warnings;
    train::Saver saver(session, {{"v", v}}, options(directory));
    const auto last = saver.restore_latest();
    CHECK(warnings.text().empty());
    const int64_t step = last ? last->step : 0;
    CHECK(step >= std::max(on_disk, newest));
    went_on += step > newest;
    newest = step;
    if (last) {
      const auto values = training::floats(v.read());
      CHECK(std::ranges::count(values, static_cast<float>(step)) == kSize);
    }
    for (const auto& file : std::filesystem::directory_iterator(directory))
      CHECK((!file.path().filename().string().starts_with(".twofold-") || file.file_size() == 0));
  }
  // What was written and not listed, or no longer listed and not removed, goes with the next that is saved.
  train::Saver saver(session, {{"v", v}}, options(directory));
  saver.save(newest + 1);
  saver.wait();
  CHECK(saver.checkpoints().size() <= 3);
  for (const auto& file : std::filesystem::directory_iterator(directory)) {
    const std::string path = file.path();
    CHECK((path.ends_with(".index.json") || file.file_size() == 0 ||
           std::ranges::count(saver.checkpoints(), path, &train::Checkpoint::path) == 1));
  }
  CHECK(went_on > kRounds / 2);
  INFO("files left by those killed: " << left);
  CHECK(left > 0);
}
