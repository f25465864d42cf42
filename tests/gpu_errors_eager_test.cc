// Errors that kernels of eager ops find while they run: reported late, but with the right op and line, and of no other
// value than those that they spoil.
#include <cmath>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <twofold/twofold.h>

#include "both_modes.h"
#include "errors.h"
#include "fresh_graph.h"
#include "gpu_errors.h"

namespace tf = twofold;
using namespace testing;
using tf::Tensor;

TEST_CASE("gpu: an eager op's late error names the op and its line, whenever it is found") {
  if (testing::lacks_gpu()) return;
  const tf::EagerMode eager;
  const Tensor table = there({1.f, 2.f, 3.f}), indices = there({0, 7, 1});
  const Tensor nans = there({1.f, std::nanf(""), 2.f});
  struct Way {
    const char* name;
    std::function<void(const Tensor&)> find;
  };
  const Way ways[] = {
      {"data", [](const Tensor& t) { (void)t.data<float>(); }},
      {"item", [](const Tensor& t) { (void)t[0].item<float>(); }},
      {"print", [](const Tensor& t) { (void)printed(t); }},
      {"to", [](const Tensor& t) { (void)t.to("/cpu:0"); }},
      {"synchronize", [](const Tensor&) { tf::synchronize(); }},
      {"a later op",
       [](const Tensor& t) {
         wait_for_gpu();
         (void)(t + t);
       }},
      {"what is computed from it", [](const Tensor& t) { (void)tf::sum(t * 2.f).item<float>(); }},
      {"a view of it",
       [](const Tensor& t) {
         (void)tf::reshape(t, {3, 1}).data<float>();
       }},
      {"another GPU value of it",
       [](const Tensor& t) {
         (void)printed(tf::stack({t, t + 1.f}));
       }},
  };
  for (const Way& way : ways) {
    INFO(way.name);
    Tensor taken, checked;
    unsigned line = 0;
    Thrown r = thrown_by([&] {
      line = __LINE__ + 1;
      taken = tf::gather(table, indices);
      way.find(taken);
    });
    CHECK(r.code == "OutOfRange");
    CHECK(r.message == kBadIndex);
    CHECK(r.op == "Gather");
    CHECK(r.line == line);
    CHECK(r.file.ends_with("gpu_errors_eager_test.cc"));
    r = thrown_by([&] {
      line = __LINE__ + 1;
      checked = tf::check_numerics(nans, "weights");
      way.find(checked);
    });
    CHECK(r.code == "InvalidArgument");
    CHECK(r.message == "weights : Tensor had NaN values");
    CHECK(r.op == "CheckNumerics");
    CHECK(r.line == line);
    CHECK(r.file.ends_with("gpu_errors_eager_test.cc"));
    // Nobody else is told, and what comes after is as ever.
    tf::synchronize();
    CHECK(elements<float>(tf::gather(table, there({2, 0}))) == std::vector<float>{3, 1});
  }
}

TEST_CASE("gpu: a spoiled value says so as often as it is read, each its own error, and no other value does") {
  if (testing::lacks_gpu()) return;
  const tf::EagerMode eager;
  const Tensor table = there({1.f, 2.f, 3.f});
  const Tensor taken = tf::gather(table, there({0, 7, 1})), other = tf::gather(table, there({9}));
  const Tensor sound = tf::gather(table, there({2, 0})), plain = table + 1.f;
  wait_for_gpu();
  CHECK(elements<float>(sound) == std::vector<float>{3, 1});
  CHECK(elements<float>(plain) == std::vector<float>{2, 3, 4});
  for (int i = 0; i < 3; ++i) {
    CHECK_ERROR(taken.data<float>(), OutOfRange, "the index 7");
    CHECK_ERROR(other.item<float>(), OutOfRange, "the index 9");
    CHECK_ERROR(tf::stack({sound[0], taken[0], other[0]}).data<float>(), OutOfRange, "the index 7");
    CHECK_ERROR(taken.to("/cpu:0"), OutOfRange, "the index 7");
    CHECK(elements<float>(sound) == std::vector<float>{3, 1});
  }
  tf::synchronize();  // they have been told
  // Read or not, another thread is told of nothing.
  const Tensor unread = tf::gather(table, there({8}));
  wait_for_gpu();
  std::string elsewhere;
  std::thread([&] {
    try {
      const tf::EagerMode here;
      tf::synchronize();
      CHECK(elements<float>(tf::gather(table, there({1})) * 2.f) == std::vector<float>{4});
    } catch (const tf::Error& e) {
      elsewhere = e.what();
    }
  }).join();
  CHECK(elsewhere == "");
  CHECK_ERROR(tf::synchronize(), OutOfRange, "the index 8");
  tf::synchronize();
  CHECK_ERROR(unread.item<float>(), OutOfRange, "the index 8");
  CHECK_ERROR(tf::check_numerics(there({INFINITY}), "w").data<float>(), InvalidArgument, "w : Tensor had Inf values");
  CHECK_ERROR(tf::check_numerics(there({INFINITY, NAN}), "w").data<float>(), InvalidArgument, "Inf and NaN values");
}

TEST_CASE("gpu: many eager ops that may fail, none of them waited for") {
  if (testing::lacks_gpu()) return;
  const tf::EagerMode eager;
  const Tensor table = there({1.f, 2.f, 3.f}), one = there({1});
  Tensor sum = there({0.f});
  for (int i = 0; i < 3000; ++i) sum = sum + tf::gather(table, one);
  CHECK(elements<float>(sum) == std::vector<float>{6000});
  const Tensor bad = there({-4});
  const auto add_up = [&] {  // what is known to be spoiled is no operand any more
    for (int i = 0; i < 500; ++i) sum = sum + tf::gather(table, i == 100 ? bad : one);
    return sum.item<float>();
  };
  CHECK_ERROR(add_up(), OutOfRange, "the index -4");
}

TEST_CASE("gpu: an eager step whose kernel fails late leaves variables and optimiser as they were") {
  if (testing::lacks_gpu()) return;
  const tf::EagerMode eager;
  const auto on = tf::device("/gpu:0");
  tf::Variable table({1.f, 2.f, 3.f}), seen(0.f, {.trainable = false});
  tf::train::Adam opt({table}, {.lr = 0.5});
  auto step = tf::step([&](Tensor indices) {
    seen.assign_add(1);
    opt.minimize(tf::sum(tf::gather(table, indices)));
  });
  const auto all = [&] {
    std::vector<std::vector<double>> values{testing::doubles(table), testing::doubles(seen)};
    for (const auto& [name, v] : opt.state()) values.push_back(testing::doubles(v));
    return values;
  };
  step(std::vector<int64_t>{0, 1, 2});
  const auto before = all();
  CHECK(before[1] == std::vector<double>{1});
  for (int i = 0; i < 3; ++i) {
    const Thrown r = thrown_by([&] {
      step(std::vector<int64_t>{0, 7, 2});
      tf::synchronize();
    });
    CHECK(r.message == kBadIndex);
    CHECK(all() == before);
  }
  step(std::vector<int64_t>{0, 1, 2});
  CHECK(all()[1] == std::vector<double>{2});
  CHECK(all() != before);
}
