// What kernels find while they run: told late, but about the right op and line, and without a trace in variables.
#include <cmath>
#include <functional>

#include <twofold/twofold.h>

#include "both_modes.h"
#include "errors.h"
#include "fresh_graph.h"
#include "gpu.h"

namespace tf = twofold;
using tf::Tensor;

namespace {

Tensor there(const tf::Literal& values) { return tf::tensor(values).to("/gpu:0"); }

struct Report {
  std::string code, message, op, node;
  unsigned line = 0;
  bool this_file = false;
};

/// What `f` throws; nothing said if it does not.
template <class F>
Report report_of(F&& f) {
  try {
    f();
  } catch (const tf::Error& e) {
    const tf::ErrorFacts& facts = e.facts();
    return {std::string(name_of(e.code())),
            facts.message,
            facts.op,
            facts.node,
            facts.where.line(),
            std::string_view(facts.where.file_name()).ends_with("gpu_errors_test.cc")};
  }
  return {};
}

/// Waits without asking for errors.
void wait_for_gpu() { REQUIRE(tf::gpu_runtime()->synchronize(0) == 0); }

constexpr const char* kBadIndex = "'Gather' was given the index 7, which is out of range";

}  // namespace

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
      {"another value", [&](const Tensor&) { (void)(table + 1.f).to("/cpu:0"); }},
  };
  for (const Way& way : ways) {
    INFO(way.name);
    Tensor taken, checked;
    unsigned line = 0;
    Report r = report_of([&] {
      line = __LINE__ + 1;
      taken = tf::gather(table, indices);
      way.find(taken);
    });
    CHECK(r.code == "OutOfRange");
    CHECK(r.message == kBadIndex);
    CHECK(r.op == "Gather");
    CHECK(r.line == line);
    CHECK(r.this_file);
    r = report_of([&] {
      line = __LINE__ + 1;
      checked = tf::check_numerics(nans, "weights");
      way.find(checked);
    });
    CHECK(r.code == "InvalidArgument");
    CHECK(r.message == "weights : Tensor had NaN values");
    CHECK(r.op == "CheckNumerics");
    CHECK(r.line == line);
    CHECK(r.this_file);
    // It is told once, and what comes after is as ever.
    tf::synchronize();
    CHECK(elements<float>(tf::gather(table, there({2, 0}))) == std::vector<float>{3, 1});
  }
}

TEST_CASE("gpu: elements that an index out of range asked for are zero, and the first failure is told") {
  if (testing::lacks_gpu()) return;
  const tf::EagerMode eager;
  const Tensor table = there({1.f, 2.f, 3.f});
  const Tensor taken = tf::gather(table, there({0, 7, 1}));
  const Report r = report_of([] {
    tf::check_numerics(there({INFINITY}), "later");  // it may be told of the first already
    tf::synchronize();
  });
  CHECK(r.message == kBadIndex);
  report_of([] { tf::synchronize(); });
  CHECK(elements<float>(taken) == std::vector<float>{1, 0, 2});
  CHECK_ERROR(tf::check_numerics(there({INFINITY}), "w").data<float>(), InvalidArgument, "w : Tensor had Inf values");
  CHECK_ERROR(tf::check_numerics(there({INFINITY, NAN}), "w").data<float>(), InvalidArgument, "Inf and NaN values");
}

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
      const Report r = report_of([&] { run({0, 7})[1].item<float>(); });
      CHECK(r.code == "OutOfRange");
      CHECK(r.message == kBadIndex);
      CHECK(r.op == "Gather");
      CHECK(r.node == taken.op().name());
      CHECK(r.line == line);
      CHECK(r.this_file);
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
