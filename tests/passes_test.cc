// The optimiser's passes: each does what its name says, is counted, can be switched off, and changes no bit. And the
// ledger that shows it.
#include "errors.h"

#include <twofold/session/program/passes.h>
#include <twofold/twofold.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

namespace tf = twofold;

namespace {

struct Outcome {
  tf::Tensor value;
  std::map<std::string, int64_t> passes;
};

Outcome run(const tf::Tensor& y, const tf::Tensor& x, const tf::Tensor& fed, tf::SessionOptions options) {
  tf::Session session(options);
  tf::Ledger ledger;
  const auto recording = ledger.record();
  Outcome o;
  o.value = session.run(y, {{x, fed}});
  o.passes = ledger.passes();
  return o;
}

bool same_bits(const tf::Tensor& a, const tf::Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.data<float>().data(), b.data<float>().data(), a.data<float>().size_bytes()) == 0;
}

tf::Tensor ramp(int64_t n) {
  std::vector<float> v(static_cast<size_t>(n));
  for (size_t i = 0; i < v.size(); ++i) v[i] = 0.37f * static_cast<float>(i % 29) - 3.1f;
  return tf::tensor(v);
}

}  // namespace

TEST_CASE("passes: each is counted, switchable, and changes no bit") {
  tf::Graph graph;
  const auto scope = graph.as_default();
  const auto x = tf::placeholder(tf::float32, {1000});
  const auto two = tf::constant(1.f) + tf::constant(1.f);           // folded
  const auto twice = tf::exp(x) + tf::exp(x);                       // one exp
  const auto y = tf::softmax(tf::tanh(twice * two + x) * x) * 3.f;  // groups around the softmax
  const auto off = run(y, x, ramp(1000), {.optimize = false});
  CHECK(off.passes.empty());
  const auto on = run(y, x, ramp(1000), {});
  CHECK(same_bits(off.value, on.value));
  CHECK(on.passes.at("fold") == 1);
  CHECK(on.passes.at("cse") == 1);
  CHECK(on.passes.at("dce") == 1);   // the addition that was folded
  CHECK(on.passes.at("fuse") == 5);  // exp, +, *, +, tanh, * become one; the last * stays alone behind the softmax
  for (const tf::Pass& pass : tf::all_passes()) {
    const std::string name(pass.name);
    INFO(name);
    const auto without = run(y, x, ramp(1000), {.disabled_passes = {name}});
    CHECK(same_bits(off.value, without.value));
    CHECK(on.passes.count(name) == 1);
    CHECK(without.passes.count(name) == 0);
    CHECK(without.passes.size() == on.passes.size() - 1);
  }
}

TEST_CASE("passes: one list has all that can be switched off, whoever does it") {
  std::vector<std::string> names;
  for (const tf::Pass& pass : tf::all_passes()) names.emplace_back(pass.name);
  std::string listed;
  for (const char* name : {"fold", "cse", "dce", "batch_norm", "fuse", "late_updates", "memory", "capture"}) {
    INFO(name);
    CHECK(std::ranges::count(names, name) == 1);
    listed += std::string(listed.empty() ? "" : ", ") + name;
  }
  // Passes that tests add come before all others.
  CHECK_ERROR(tf::Session({.disabled_passes = {"fuze"}}), InvalidArgument, listed);
}

TEST_CASE("passes: updates over old values are counted and switched by themselves") {
  tf::Graph graph;
  const auto scope = graph.as_default();
  const tf::Variable w(tf::ones({8})), b(tf::zeros({8}));
  const auto loss = tf::sum(tf::square(w * 3.f - b));
  tf::train::Adam opt({w, b}, {.lr = 0.1f});
  const auto step = opt.minimize(loss);
  std::vector<std::vector<float>> results;
  const auto train = [&](tf::SessionOptions options) {
    tf::Session session(options);
    session.run(tf::global_variables_initializer());
    tf::Ledger ledger;
    const auto recording = ledger.record();
    for (int i = 0; i < 3; ++i) session.run(step);
    const auto value = session.run(w);
    results.emplace_back(value.data<float>().begin(), value.data<float>().end());
    const auto passes = ledger.passes();
    const auto found = passes.find("late_updates");
    return found == passes.end() ? int64_t{-1} : found->second;
  };
  CHECK(train({}) == 2);  // one for each variable
  CHECK(train({.disabled_passes = {"memory"}}) == 2);
  CHECK(train({.disabled_passes = {"late_updates"}}) == -1);
  CHECK(train({.optimize = false}) == -1);
  for (const auto& r : results) CHECK(r == results[0]);
  CHECK(results[0][0] != 1.f);
}

TEST_CASE("passes: the plan lets values share memory that live at different times") {
  tf::Graph graph;
  const auto scope = graph.as_default();
  const auto x = tf::placeholder(tf::float32, {64, 64});
  auto h = x;
  for (int i = 0; i < 10; ++i) h = tf::matmul(h, x);
  const auto fed = tf::reshape(ramp(64 * 64) * 0.01f, {64, 64});
  const auto on = run(h, x, fed, {});
  CHECK(on.passes.at("memory") >= 7);  // two places serve nine values
  CHECK(same_bits(on.value, run(h, x, fed, {.optimize = false}).value));
}

TEST_CASE("passes: random ops are never merged, effects never dropped") {
  tf::Graph graph;
  const auto scope = graph.as_default();
  const auto v = tf::Variable(0.f);
  const auto a = tf::random_normal({4}), b = tf::random_normal({4});
  const auto difference = a - b;
  const auto counted = tf::with_effects(difference, {v.assign_add(1.f), v.assign_add(1.f)});
  tf::Session session;
  session.run(tf::global_variables_initializer());
  const auto d = session.run(counted);
  CHECK(d.data<float>()[0] != 0.f);
  CHECK(session.run(v).item<float>() == 2.f);
}

TEST_CASE("passes: every pass has a name and says what it does") {
  for (const tf::Pass& pass : tf::all_passes()) {
    CHECK(!pass.name.empty());
    CHECK(!pass.doc.empty());
  }
}

TEST_CASE("ledger: both modes fill one table") {
  tf::Graph graph;
  const auto scope = graph.as_default();
  tf::Ledger deferred;
  {
    const auto recording = deferred.record();
    const auto x = tf::placeholder(tf::float32, {100, 100});
    const auto y = tf::matmul(x, x) + x;
    tf::Session session;
    const auto fed = tf::reshape(ramp(10000), {100, 100});
    for (int i = 0; i < 3; ++i) session.run(y, {{x, fed}});
  }
  CHECK(deferred.runs() == 3);
  CHECK(deferred.plan_misses() == 1);
  CHECK(deferred.plan_hits() == 2);
  CHECK(deferred.ops().at("MatMul").calls == 3);
  for (tf::Phase p :
       {tf::Phase::build, tf::Phase::prune, tf::Phase::plan, tf::Phase::feed, tf::Phase::dispatch, tf::Phase::kernel}) {
    INFO(tf::name_of(p));
    CHECK(deferred.seconds(p) > 0);
  }
  double known = 0;
  for (int p = 0; p < tf::kPhaseCount; ++p) known += deferred.seconds(static_cast<tf::Phase>(p));
  CHECK(known <= deferred.wall_seconds());

  tf::Ledger eager;
  {
    tf::EagerMode mode;
    const auto recording = eager.record();
    const auto x = tf::reshape(ramp(10000), {100, 100});
    for (int i = 0; i < 3; ++i) (void)(tf::matmul(x, x) + x);
  }
  CHECK(eager.ops().at("MatMul").calls == 3);
  CHECK(eager.seconds(tf::Phase::dispatch) > 0);
  CHECK(eager.seconds(tf::Phase::kernel) > 0);
  CHECK(eager.seconds(tf::Phase::build) == 0);
  CHECK(eager.plan_misses() == 0);

  const auto json = nlohmann::json::parse(deferred.json());
  CHECK(json["plan_hits"] == 2);
  CHECK(json["phases"].size() == tf::kPhaseCount);
  CHECK(json["ops"]["MatMul"]["calls"] == 3);
  CHECK(deferred.table().find("dispatch") != std::string::npos);

  const auto before = deferred.runs();
  tf::Session session;
  session.run(tf::constant(1.f));  // nobody records
  CHECK(deferred.runs() == before);
}
