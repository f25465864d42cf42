// Which steps of a captured graph must wait for which, and the workspaces that leave them apart.
#include <twofold/session/plan/gpu_launch.h>
#include <twofold/session/run/access_order.h>

#include <algorithm>
#include <array>
#include <random>

#include "catch.h"

namespace tf = twofold;

namespace {

using Steps = std::vector<uint32_t>;

std::byte* memory(size_t offset = 0) {
  static std::array<std::byte, 1024> bytes;
  return bytes.data() + offset;
}
tf::Access reads(size_t offset, size_t bytes) { return {memory(offset), bytes, false}; }
tf::Access writes(size_t offset, size_t bytes) { return {memory(offset), bytes, true}; }

struct Order : tf::AccessOrder {
  Steps operator()(std::vector<tf::Access> accesses) {
    Steps before = add(accesses);
    std::ranges::reverse(before);
    return before;
  }
};

}  // namespace

TEST_CASE("Access order: readers come after the writer, and the next writer after them") {
  Order step;
  CHECK(step({writes(0, 64)}) == Steps{});
  CHECK(step({writes(64, 64)}) == Steps{});
  CHECK(step({reads(0, 64), writes(128, 64)}) == Steps{0});
  CHECK(step({reads(0, 64), reads(64, 64), writes(192, 64)}) == Steps{0, 1});
  CHECK(step({writes(0, 64)}) == Steps{2, 3});  // the memory is used again
  CHECK(step({reads(0, 64)}) == Steps{4});
  CHECK(step({reads(128, 64)}) == Steps{2});
  CHECK(step({reads(256, 64)}) == Steps{});  // from before the first step
  CHECK(step({writes(256, 64)}) == Steps{7});
}

TEST_CASE("Access order: memory that two steps share in part") {
  Order step;
  step({writes(0, 100)});
  step({writes(100, 100)});
  CHECK(step({reads(99, 2)}) == Steps{0, 1});
  CHECK(step({reads(40, 10)}) == Steps{0});
  CHECK(step({writes(45, 1)}) == Steps{3});
  CHECK(step({reads(0, 200)}) == Steps{1, 4});  // and so after 0
  CHECK(step({writes(0, 45)}) == Steps{5});
  CHECK(step({reads(45, 1)}) == Steps{4});
  CHECK(step({writes(150, 300)}) == Steps{5});
  CHECK(step({reads(449, 1)}) == Steps{8});
  CHECK(step({reads(450, 1)}) == Steps{});
  CHECK(step({writes(0, 1024)}) == Steps{2, 6, 7, 9, 10});
}

TEST_CASE("Access order: what is written in place is read and written by one step") {
  Order step;
  step({reads(0, 64), writes(128, 64)});
  step({reads(0, 64), writes(192, 64)});
  CHECK(step({reads(0, 64), reads(128, 64), writes(0, 64)}) == Steps{0, 1});
  CHECK(step({writes(0, 64), reads(0, 64)}) == Steps{2});
  CHECK(step({reads(0, 64)}) == Steps{3});
  CHECK(step({reads(0, 0), writes(0, 0)}) == Steps{});
}

TEST_CASE("Access order: workspaces of which one holds part of another") {
  Order step;
  CHECK(step({writes(512, 256), writes(0, 8)}) == Steps{});
  CHECK(step({writes(768, 128), writes(8, 8)}) == Steps{});
  CHECK(step({writes(512, 128), writes(16, 8)}) == Steps{0});
  CHECK(step({writes(640, 256), writes(24, 8)}) == Steps{0, 1});
  CHECK(step({reads(0, 8), reads(8, 8), reads(16, 8), reads(24, 8)}) == Steps{2, 3});
}

TEST_CASE("Workspaces are taken in turn, from as much room as there is use for") {
  constexpr tf::Device kGpu{1}, kOther{2};
  const auto placed = [&](size_t room, size_t used) {
    std::vector<tf::GpuLaunch> steps(6);
    const size_t bytes[] = {1000, 0, 300, 100, 1024, 256};
    for (size_t i = 0; i < steps.size(); ++i)
      steps[i].device = i == 3 ? kOther : kGpu, steps[i].workspace_bytes = bytes[i];
    CHECK(tf::place_workspaces(steps, kGpu, room) == used);
    std::vector<size_t> begins;
    for (const tf::GpuLaunch& s : steps) begins.push_back(s.workspace);
    return begins;
  };
  using Begins = std::vector<size_t>;
  CHECK(placed(1024, 1024) == Begins{0, 1024, 0, 0, 0, 0});
  CHECK(placed(2000, 1536) == Begins{0, 1024, 1024, 0, 0, 1024});
  CHECK(placed(10000, 2816) == Begins{0, 1024, 1024, 0, 1536, 2560});
}

TEST_CASE("Access order: what lies far back is not forgotten") {
  Order step;
  step({writes(0, 8), writes(8, 8)});
  for (uint32_t i = 1; i <= 1000; ++i) CHECK(step({reads(0, 8), writes(16, 8)}).back() == i - 1);
  CHECK(step({writes(8, 8)}) == Steps{0});
  const Steps readers = step({writes(0, 8)});
  CHECK(readers.front() == 1);
  CHECK(readers.back() == 1000);
}

// Two steps of which one writes what the other touches must be in order, through others or directly; others need not
// be.
TEST_CASE("Access order: against every pair of random steps") {
  std::mt19937 random(7);
  const auto below = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  for (int round = 0; round < 200; ++round) {
    constexpr size_t kSteps = 40;
    Order step;
    std::vector<std::vector<tf::Access>> all;
    std::vector<std::array<bool, kSteps>> after, conflicts;  // [later][earlier]
    for (size_t i = 0; i < kSteps; ++i) {
      auto& mine = all.emplace_back();
      for (size_t k = below(4) + 1; k > 0; --k)
        mine.push_back({memory(below(200)), below(round % 2 ? 10 : 60), below(3) == 0});
      const Steps before = step(mine);
      auto& reached = after.emplace_back();
      auto& needed = conflicts.emplace_back();
      for (size_t j = 0; j < i; ++j)
        for (const tf::Access& a : mine)
          for (const tf::Access& b : all[j])
            needed[j] |= (a.writes || b.writes) &&
                         static_cast<const std::byte*>(a.at) < static_cast<const std::byte*>(b.at) + b.bytes &&
                         static_cast<const std::byte*>(b.at) < static_cast<const std::byte*>(a.at) + a.bytes &&
                         a.bytes && b.bytes;
      for (const uint32_t j : before) {
        REQUIRE(j < i);
        CHECK(needed[j]);
        reached[j] = true;
        for (size_t k = 0; k < j; ++k) reached[k] |= after[j][k];
      }
      for (size_t j = 0; j < i; ++j) CHECK((reached[j] || !needed[j]));
    }
  }
}
