// Errors that kernels find while a session runs: reported late, but with the right op and line, and variables stay as
// they were.
#include <cmath>
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

TEST_CASE("gpu: a session's late error names the node and its line; variables are as before the run") {
  if (testing::lacks_gpu()) return;
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {3}), i = tf::placeholder(tf::int32, {2});
  const tf::Variable total({0.f, 0.f, 0.f}), count(0);
  const Tensor counted = count.assign_add(1);
  const auto line = std::source_location::current().line() + 1;
  const Tensor taken = tf::gather(x, i);
  const Tensor added = total.assign_add(x), sum = tf::sum(taken);
  const tf::Operation initialize = tf::global_variables_initializer();
  const Tensor values = tf::tensor({1.f, 2.f, 3.f});
  for (const bool optimize : {false, true})
    for (const int good_runs : {0, 1, 4}) {  // captured from the second on
      INFO(optimize << " after " << good_runs << " runs");
      const tf::Session session({.optimize = optimize, .device = "/gpu:0"});
      session.run(initialize);
      const auto run = [&](const std::vector<int32_t>& indices) {
        return session.run({counted, sum, added}, {{x, values}, {i, indices}});
      };
      for (int k = 0; k < good_runs; ++k) CHECK(run({0, 2})[1].item<float>() == 4);
      const Thrown r = thrown_by([&] { run({0, 7})[1].item<float>(); });
      CHECK(r.code == "OutOfRange");
      CHECK(r.message == kBadIndex);
      CHECK(r.op == "Gather");
      CHECK(r.node == taken.op().name());
      CHECK(r.line == line);
      CHECK(r.file.ends_with("gpu_errors_test.cc"));
      const auto n = static_cast<float>(good_runs);
      CHECK(session.run(count).item<int>() == good_runs);
      CHECK(elements<float>(session.run(total)) == std::vector<float>{n, 2 * n, 3 * n});
      CHECK(run({1, 2})[1].item<float>() == 5);
      CHECK(session.run(count).item<int>() == good_runs + 1);
    }
}

TEST_CASE("gpu: an optimiser's update is not made in a run that fails") {
  if (testing::lacks_gpu()) return;
  const auto program = [](bool optimize, int good_runs) {
    FreshGraph fresh;
    const Tensor x = tf::placeholder(tf::float32, {4});
    const tf::Variable w({1.f, 2.f, 3.f, 4.f});
    tf::train::Adam opt({w}, {.lr = 0.1});
    const Tensor loss = tf::sum(tf::check_numerics(w * x, "product"));
    const tf::Operation step = opt.minimize(loss);
    tf::Session session({.optimize = optimize, .device = "/gpu:0"});
    session.run(tf::global_variables_initializer());
    const Tensor good = tf::tensor({1.f, -1.f, 2.f, 0.5f}), bad = tf::tensor({1.f, NAN, 2.f, 0.5f});
    for (int k = 0; k < good_runs; ++k) session.run({step, loss}, {{x, good}})[1].item<float>();
    const Tensor before = session.run(w);
    CHECK_ERROR(session.run({step, loss}, {{x, bad}})[1].item<float>(), InvalidArgument,
                "product : Tensor had NaN values");
    CHECK(testing::same_bits(session.run(w), before));
    session.run({step, loss}, {{x, good}})[1].item<float>();
    return session.run(w);  // the moments have not moved either
  };
  for (const int good_runs : {0, 1, 5}) CHECK(testing::same_bits(program(false, good_runs), program(true, good_runs)));
}

// In a captured graph nothing but the error itself puts the update behind the failing op.
TEST_CASE("gpu: an update waits for an op that fails, though they share no value") {
  if (testing::lacks_gpu()) return;
  constexpr int kSide = 1024;
  FreshGraph fresh;
  const Tensor i = tf::placeholder(tf::int32, {1});
  const tf::Variable w({1.f, 2.f, 3.f, 4.f}), matrix(tf::zeros({kSide, kSide}));
  tf::train::Adam opt({w}, {.lr = 0.1});
  const std::vector<Tensor> gradients = opt.compute_gradients(tf::sum(w * w));  // before the products use its memory
  Tensor product = matrix.read();
  for (int k = 0; k < 20; ++k) product = tf::matmul(product, matrix.read());
  const Tensor taken = tf::gather(tf::reshape(product, {-1}), i);
  const tf::Operation step = opt.apply_gradients(gradients);
  tf::Session session({.device = "/gpu:0"});
  session.run(tf::global_variables_initializer());
  for (int run = 0; run < 4; ++run) session.run({step, taken}, {{i, {run}}})[1].item<float>();
  for (int run = 0; run < 3; ++run) {
    const Tensor before = session.run(w);
    CHECK_ERROR(session.run({step, taken}, {{i, {kSide * kSide}}})[1].item<float>(), OutOfRange, "'Gather' was given");
    CHECK(testing::same_bits(session.run(w), before));
  }
}

TEST_CASE("gpu: the failure of one session is not another's") {
  if (testing::lacks_gpu()) return;
  FreshGraph fresh;
  const Tensor i = tf::placeholder(tf::int32, {1});
  const tf::Variable seen(0);
  const Tensor taken = tf::with_effects(tf::gather(tf::constant({1.f, 2.f}), i), {seen.assign_add(1)});
  const tf::Session bad({.device = "/gpu:0"}), good({.device = "/gpu:0"});
  for (const tf::Session* s : {&bad, &good}) s->run(tf::global_variables_initializer());
  for (int run = 0; run < 4; ++run) {
    CHECK_ERROR(bad.run(taken, {{i, {9}}}).data<float>(), OutOfRange, "the index 9");
    CHECK(good.run(taken, {{i, {1}}}).item<float>() == 2);
  }
  CHECK(bad.run(seen).item<int>() == 0);
  CHECK(good.run(seen).item<int>() == 4);
}

TEST_CASE("gpu: all fetches of a run that failed say so, as often as they are read; those of others do not") {
  if (testing::lacks_gpu()) return;
  FreshGraph fresh;
  const Tensor i = tf::placeholder(tf::int32, {1}), x = tf::placeholder(tf::float32, {2});
  const Tensor taken = tf::gather(x, i), doubled = x * 2.f, count = tf::sum(x);
  const tf::Variable v({5.f, 6.f});
  for (const bool optimize : {false, true}) {
    const tf::Session a({.optimize = optimize, .device = "/gpu:0"}), b({.optimize = optimize, .device = "/gpu:0"});
    for (const tf::Session* s : {&a, &b}) s->run(tf::global_variables_initializer());
    const auto run = [&](const tf::Session& s, int index) {
      return s.run(std::vector<tf::Fetch>{taken, doubled, count, v}, {{i, {index}}, {x, {1.f, 2.f}}});
    };
    for (int round = 0; round < 4; ++round) {  // captured from the second on
      INFO(optimize << " round " << round);
      const auto before = run(a, 1), failed = run(a, 9), other = run(b, 1);
      wait_for_gpu();
      // B first, as a program would that prints in another order than it runs.
      CHECK(other[0].item<float>() == 2);
      CHECK(elements<float>(other[1]) == std::vector<float>{2, 4});
      for (int again = 0; again < 2; ++again)
        for (const Tensor& t : failed) CHECK_ERROR(t.to("/cpu:0"), OutOfRange, "the index 9");
      CHECK_ERROR((failed[1] + 1.f).to("/cpu:0"), OutOfRange, "the index 9");
      CHECK(before[0].item<float>() == 2);
      CHECK(elements<float>(before[3]) == std::vector<float>{5, 6});
      // Those that were read need not be told again.
      const auto after = run(a, 0);
      CHECK(after[0].item<float>() == 1);
      tf::synchronize();
      for (const Tensor& t : failed) CHECK_ERROR(t.data<float>(), OutOfRange, "the index 9");
    }
  }
}

TEST_CASE("gpu: a failure that nobody reads is told by the session's next run or by synchronize, on that thread") {
  if (testing::lacks_gpu()) return;
  FreshGraph fresh;
  const Tensor i = tf::placeholder(tf::int32, {1}), table = tf::constant({1.f, 2.f});
  const tf::Variable v(1.f);
  const Tensor taken = tf::gather(table, i), added = v.assign_add(1.f);
  const auto eager_sum = [] { return tf::eagerly([] { return (there({1.f}) + there({2.f})).item<float>(); }); };
  for (const bool optimize : {false, true}) {
    const tf::Session a({.optimize = optimize, .device = "/gpu:0"}), b({.optimize = optimize, .device = "/gpu:0"});
    for (const tf::Session* s : {&a, &b}) s->run(tf::global_variables_initializer());
    for (int round = 0; round < 4; ++round) {
      INFO(optimize << " round " << round);
      const auto elsewhere = [&] {
        std::string error;
        std::thread([&] {
          try {
            a.run(v).item<float>();
            tf::synchronize();
          } catch (const tf::Error& e) {
            error = e.what();
          }
        }).join();
        return error;
      };
      const Tensor unread = a.run(taken, {{i, {5}}});
      wait_for_gpu();
      CHECK(b.run(taken, {{i, {0}}}).item<float>() == 1);
      CHECK(b.run(v).item<float>() == 1);
      CHECK(eager_sum() == 3);
      CHECK(elsewhere() == "");
      CHECK_ERROR(a.run(v), OutOfRange, "the index 5");  // though this run is of no op that may fail
      CHECK(a.run(v).item<float>() == 1);
      tf::synchronize();
      CHECK_ERROR(unread.item<float>(), OutOfRange, "the index 5");

      a.run(tf::Operation(taken.op()), {{i, {6}}});
      wait_for_gpu();
      CHECK_ERROR(tf::synchronize(), OutOfRange, "the index 6");
      CHECK(a.run(taken, {{i, {1}}}).item<float>() == 2);
    }
  }
}

TEST_CASE("gpu: what a run makes of a spoiled feed is spoiled, and variables are not") {
  if (testing::lacks_gpu()) return;
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {1});
  const tf::Variable v(tf::constant({1.f}));
  const Tensor doubled = x * 2.f, stored = v.assign(x);
  const auto spoiled = [] { return tf::eagerly([] { return tf::gather(there({1.f}), there({3})); }); };
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize, .device = "/gpu:0"});
    session.run(tf::global_variables_initializer());
    for (int round = 0; round < 3; ++round) {
      const Tensor bad = spoiled();
      CHECK_ERROR(session.run(doubled, {{x, bad}}).data<float>(), OutOfRange, "the index 3");
      CHECK_ERROR(session.run(stored, {{x, spoiled()}}), OutOfRange, "the index 3");
      CHECK_ERROR(session.set({{v, spoiled()}}), OutOfRange, "the index 3");
      CHECK(elements<float>(session.run(v)) == std::vector<float>{1});
      CHECK(elements<float>(session.run(doubled, {{x, {4.f}}})) == std::vector<float>{8});
    }
  }
}

TEST_CASE("gpu: an op on constants that fails is not folded away: it fails at each run") {
  if (testing::lacks_gpu()) return;
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {1});
  const Tensor y = tf::gather(tf::constant({1.f, 2.f, 3.f}), tf::constant({7})) + x;
  const Tensor z = tf::gather(tf::constant({1.f, 2.f, 3.f}), tf::constant({2})) + x;
  const tf::Session session({.device = "/gpu:0"});
  for (int run = 0; run < 5; ++run) {
    CHECK_ERROR(session.run(y, {{x, {1.f}}}).data<float>(), OutOfRange, "the index 7");
    CHECK(session.run(z, {{x, {1.f}}}).item<float>() == 4);
  }
  tf::synchronize();
}

TEST_CASE("gpu: a failure in the body of a loop or a branch is the run's, gradients or not") {
  if (testing::lacks_gpu()) return;
  FreshGraph fresh;
  const Tensor n = tf::placeholder(tf::int32, tf::Shape{}), x = tf::placeholder(tf::float32, {3});
  const tf::Variable seen(0.f);
  const auto sum_of = [&] {
    const auto [count, sum] = tf::while_loop([&](const Tensor& i, const Tensor&) { return i < n; },
                                             [&](const Tensor& i, const Tensor& s) {
                                               return std::tuple{i + 1, s + tf::gather(x, i)};
                                             },
                                             std::tuple{tf::constant(0), tf::constant(0.f)});
    return sum;
  };
  const Tensor sum = sum_of();
  const Tensor slope = tf::gradients({sum_of()}, {x})[0];
  const Tensor stored = seen.assign_add(sum);
  const tf::Session session({.device = "/gpu:0"}), other({.device = "/gpu:0"});
  for (const tf::Session* s : {&session, &other}) s->run(tf::global_variables_initializer());
  const Tensor values = tf::tensor({1.f, 2.f, 4.f});
  for (int round = 0; round < 3; ++round) {
    CHECK(session.run(sum, {{n, 3}, {x, values}}).item<float>() == 7);
    CHECK_ERROR(session.run(sum, {{n, 5}, {x, values}}).item<float>(), OutOfRange, "the index");
    CHECK_ERROR(session.run(slope, {{n, 5}, {x, values}}).data<float>(), OutOfRange, "the index");
    CHECK_ERROR(session.run(stored, {{n, 5}, {x, values}}).item<float>(), OutOfRange, "the index");
    CHECK(session.run(seen).item<float>() == 0);
    CHECK(elements<float>(session.run(slope, {{n, 2}, {x, values}})) == std::vector<float>{1, 1, 0});
    CHECK(other.run(sum, {{n, 2}, {x, values}}).item<float>() == 3);
    tf::synchronize();
  }
}
