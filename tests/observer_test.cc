// What observers see: every op of either mode, by one identity.
#include "catch.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <twofold/lib/op/observed_thread.h>
#include <twofold/twofold.h>

namespace tf = twofold;
using tf::Tensor;

namespace {

struct Seen {
  tf::OpIdentity identity;
  std::string node;
  uint32_t line;
  std::vector<std::string> inputs, outputs;  // dtype, shape and bytes of each
};

std::string bytes_of(const Tensor& t) {
  if (!t.defined()) return "undefined";
  std::string text = std::string(tf::name_of(t.dtype())) + " " + t.shape().str() + ": ";
  tf::dispatch(t.dtype(), [&](auto zero) {
    const auto data = t.data<decltype(zero)>();
    const char* begin = reinterpret_cast<const char*>(data.data());
    text.append(begin, begin + data.size_bytes());
  });
  return text;
}

class Recorder : public tf::Observer {
 public:
  void observe(const tf::Observation& op) override {
    Seen seen{op.identity, op.node, op.where.line(), {}, {}};
    for (const Tensor& t : op.inputs) seen.inputs.push_back(bytes_of(t));
    // What only gradients read may be left out where none is wanted.
    for (const Tensor& t : op.outputs) seen.outputs.push_back(bytes_of(t));
    all.push_back(std::move(seen));
  }
  std::vector<Seen> all;
};

// What `program` does in a mode; of a graph without what observer.h says that runs alone have.
std::vector<Seen> observed(bool eager, const std::function<void()>& program) {
  Recorder recorder;
  const tf::Graph graph;
  const auto current = graph.as_default();
  tf::set_random_seed(7);
  const auto run = [&] {
    if (eager) tf::set_random_seed(7);
    const tf::Observing observing(recorder);
    program();
  };
  eager ? tf::eagerly(run) : tf::deferred(run);
  static const std::set<std::string_view> kOfGraphs = {"ReadVariable", "If",        "While",     "Backprop",
                                                       "Transfer",     "IfArrived", "CheckShape"};
  std::erase_if(recorder.all, [](const Seen& s) { return kOfGraphs.contains(s.identity.op); });
  return recorder.all;
}

void check_same(const std::vector<Seen>& eager, const std::vector<Seen>& deferred) {
  REQUIRE(!eager.empty());
  std::map<tf::OpIdentity, const Seen*> known;
  for (const Seen& s : deferred) {
    INFO(s.identity.op << " " << s.identity.ordinal << " " << s.node);
    CHECK(known.emplace(s.identity, &s).second);
    CHECK(!s.node.empty());
  }
  for (const Seen& s : eager) {
    INFO(s.identity.op << ", body " << s.identity.body << ", pass " << s.identity.execution << ", ordinal "
                       << s.identity.ordinal << ", line " << s.line);
    CHECK(s.node.empty());
    const auto found = known.find(s.identity);
    REQUIRE(found != known.end());
    CHECK((s.line == 0 || found->second->line == s.line));  // 0: between the rules of gradients
    CHECK(found->second->inputs == s.inputs);
    CHECK(found->second->outputs == s.outputs);
  }
  CHECK(eager.size() == deferred.size());
}

// Initial values are assigned by a graph alone.
void initialize(const tf::Session& session) {
  const tf::ObservedThread::Hidden of_graphs;
  session.run(tf::global_variables_initializer());
}

void check_in_both_modes(const std::function<void(const tf::SessionOptions&)>& program) {
  const tf::SessionOptions plain{.optimize = false};
  check_same(observed(true, [&] { program(plain); }), observed(false, [&] { program(plain); }));
}

}  // namespace

TEST_CASE("observer: ops have one identity in both modes, with the values they took and gave") {
  check_in_both_modes([](const tf::SessionOptions& options) {
    const tf::Variable w({{1.f, 2.f}, {3.f, 4.f}});
    const tf::Session session(options);
    const Tensor x = tf::constant({{0.5f, -1.f}});
    Tensor y;
    {
      const tf::NameScope scope("layer");
      y = tf::relu(tf::matmul(x, w) + 1.f);
    }
    {
      const tf::NameScope scope("layer");
      y = tf::relu(y * 2.f) + tf::random_normal({1, 2});
    }
    const Tensor norm = tf::sum(y * y);
    if (tf::executing_eagerly()) return;
    initialize(session);
    session.run(norm);
  });
}

TEST_CASE("observer: each call of a step is a pass") {
  check_in_both_modes([](const tf::SessionOptions& options) {
    std::optional<tf::ObservedThread::Hidden> of_initial_values(std::in_place);
    tf::nn::Sequential net(tf::nn::Conv2d(1, 2, 3), tf::nn::BatchNorm2d(2), tf::nn::ReLU(), tf::nn::Flatten(),
                           tf::nn::Dropout(0.5), tf::nn::Linear(2 * 2 * 2, 3));
    tf::train::Adam opt(net.parameters(), {.lr = 0.1f});
    tf::Variable calls(0);
    const tf::Session session(options);
    if (!tf::executing_eagerly()) session.run(tf::global_variables_initializer());
    of_initial_values.reset();
    auto step = tf::step(session,
                         [&](Tensor x, Tensor y) {
                           const Tensor loss = tf::nn::softmax_cross_entropy(net(x), y);
                           opt.minimize(loss);
                           calls.assign_add(1);
                           return loss;
                         },
                         {.shapes = {{2, 1, 4, 4}, {2}}});
    const std::vector<float> x(2 * 16, 0.25f);
    for (int i = 0; i < 3; ++i) step(tf::tensor(x, {2, 1, 4, 4}), tf::tensor({0, 2}, {.dtype = tf::int64}));
  });
}

TEST_CASE("observer: branches and loops are bodies, their gradients one op") {
  check_in_both_modes([](const tf::SessionOptions& options) {
    const tf::Session session(options);
    auto step = tf::step(session, [&](Tensor x) {
      const Tensor scaled = tf::cond(
          tf::sum(x) > 0.f, [&] { return x * 2.f; }, [&] { return x - 1.f; });
      auto [n, y] = tf::while_loop([](Tensor n, Tensor) { return n < 3; },
                                   [](Tensor n, Tensor y) {
                                     return std::tuple{n + 1, tf::tanh(y) * 3.f};
                                   },
                                   std::tuple{tf::constant(0), scaled});
      return tf::sum(y);
    });
    step({1.f, 2.f}), step({-1.f, -2.f});
    auto slope = tf::step(session,
                          [&](Tensor x) {
                            tf::GradientTape tape;
                            tape.watch(x);
                            const Tensor y = tf::cond(
                                tf::sum(x) > 0.f, [&] { return tf::exp(x); }, [&] { return x * x; });
                            return tape.gradient(tf::sum(y), x);
                          },
                          {.shapes = {{2}}});
    slope({1.f, 2.f}), slope({-1.f, -2.f});
  });
}

TEST_CASE("observer: random ops and assignments in branches and loops, plain and differentiated") {
  std::map<bool, std::map<std::string, int64_t>> calls_of_ops;  // by mode
  check_in_both_modes([&](const tf::SessionOptions& options) {
    std::optional<tf::ObservedThread::Hidden> of_initial_values(std::in_place);
    const tf::Variable total({0.f, 0.f}), calls(0);
    const tf::Session session(options);
    if (!tf::executing_eagerly()) session.run(tf::global_variables_initializer());
    of_initial_values.reset();
    const auto f = [&](const Tensor& x) {
      const Tensor y = tf::cond(
          tf::sum(x) > 0.f,
          [&] {
            calls.assign_add(1);
            return x * tf::random_normal({2});
          },
          [&] {
            total.assign(x);
            return x - tf::random_uniform({2});
          });
      const auto [n, z] = tf::while_loop([](Tensor n, Tensor) { return n < 2; },
                                         [&](Tensor n, Tensor z) {
                                           total.assign_sub(z * 0.5f);
                                           return std::tuple{n + 1, z * tf::random_normal({2}) + total.read()};
                                         },
                                         std::tuple{tf::constant(0), y});
      return tf::sum(z);
    };
    tf::Ledger ledger;
    const auto recording = ledger.record();
    auto plain = tf::step(session, f, {.shapes = {{2}}});
    plain({1.f, 2.f}), plain({-1.f, -2.f}), plain({3.f, 2.f});
    auto slope = tf::step(session,
                          [&](Tensor x) {
                            tf::GradientTape tape;
                            tape.watch(x);
                            return tape.gradient(f(x), x);
                          },
                          {.shapes = {{2}}});
    slope({1.f, 2.f}), slope({-1.f, -2.f}), slope({3.f, 2.f});
    for (const char* op : {"RandomNormal", "RandomUniform", "Sub"})
      calls_of_ops[tf::executing_eagerly()][op] = ledger.ops()[op].calls;
    REQUIRE(calls_of_ops[tf::executing_eagerly()]["RandomNormal"] == 2 * (2 + 3 * 2));
  });
  CHECK(calls_of_ops[true] == calls_of_ops[false]);
}

TEST_CASE("observer: a body whose gradient is wanted is seen as one whose gradient is not") {
  const tf::Graph graph;
  const auto current = graph.as_default();
  const tf::Variable w(2.f);
  const tf::Session session({.optimize = false});
  initialize(session);
  const auto f = [&](const Tensor& x) {
    const auto [n, y] = tf::while_loop([](Tensor n, Tensor) { return n < 2; },
                                       [&](Tensor n, Tensor y) {
                                         const Tensor first = y[0];  // of how many, the run knows
                                         const Tensor inner = tf::cond(
                                             tf::sum(first) > 0.f, [&] { return y * w.assign_add(1.f); },
                                             [&] { return y + w.read() * tf::random_normal({2}); });
                                         tf::assert_that(tf::sum(first) < 1e6f);
                                         return std::tuple{n + 1, tf::with_effects(inner, {first})};
                                       },
                                       std::tuple{tf::constant(0), x});
    return tf::sum(y);
  };
  const Tensor x = tf::placeholder(tf::float32, {-1, 2});
  const auto seen_in = [&](const Tensor& fetched) {
    Recorder recorder;
    const tf::Observing observing(recorder);
    session.run(fetched, {{x, {{1.f, 2.f}, {3.f, -4.f}}}});
    std::vector<std::string> seen;
    for (const Seen& s : recorder.all) {
      seen.push_back(std::string(s.identity.op) + " " + std::to_string(s.identity.execution) + " " +
                     std::to_string(s.inputs.size()) + " " + std::to_string(s.outputs.size()));
      if (s.identity.op == "While") break;  // what follows is not of the body
    }
    return seen;
  };
  const std::vector<std::string> plain = seen_in(f(x));
  CHECK(seen_in(tf::gradients(f(x), {x})[0]) == plain);
  for (const char* op : {"CheckShape", "AssignAdd", "Assert", "WithEffects", "If", "While"})
    CHECK(std::ranges::any_of(plain, [&](const std::string& s) { return s.starts_with(std::string(op) + " "); }));
}

TEST_CASE("observer: what prints, asserts and waits for effects is seen in both modes") {
  check_in_both_modes([](const tf::SessionOptions& options) {
    const tf::Session session(options);
    auto step = tf::step(session,
                         [&](Tensor x) {
                           const Tensor y = tf::print(x * 2.f, "observed: ");
                           const auto positive = tf::assert_that(tf::sum(x) > 0.f, "positive", {x});
                           return tf::with_effects(y, {positive}) + 1.f;
                         },
                         {.shapes = {{2}}});
    step({1.f, 2.f}), step({3.f, 2.f});
    auto within = tf::step(session,
                           [&](Tensor x) {
                             return tf::cond(
                                 tf::sum(x) > 0.f, [&] { return tf::print(x, "observed: ") * 2.f; }, [&] { return x; });
                           },
                           {.shapes = {{2}}});
    within({1.f, 2.f});
  });
}

TEST_CASE("observer: an observed run fuses nothing, and what is not observed is as before") {
  const tf::Graph graph;
  const auto current = graph.as_default();
  const Tensor x = tf::placeholder(tf::float32, {1000});
  const Tensor y = tf::relu(x * 2.f + 1.f) * x;
  const tf::Session session;
  const std::vector<float> values(1000, 0.5f);
  const auto ops_of_a_run = [&](Recorder& recorder) {
    const tf::Observing observing(recorder);
    return session.run(y, {{x, values}});
  };
  const Tensor before = session.run(y, {{x, values}});
  Recorder recorder;
  const Tensor seen = ops_of_a_run(recorder);
  CHECK(bytes_of(seen) == bytes_of(before));
  std::vector<std::string> nodes;
  for (const Seen& s : recorder.all) nodes.push_back(s.node);
  CHECK(nodes == std::vector<std::string>{"mul", "add", "Relu", "mul_1"});
  CHECK(recorder.all.back().outputs[0] == bytes_of(before));
  CHECK(bytes_of(session.run(y, {{x, values}})) == bytes_of(before));
  CHECK(recorder.all.size() == 4);

  auto call = session.make_callable(y, {x});
  call(values);
  {
    const tf::Observing observing(recorder);
    call(values);
  }
  call(values);
  CHECK(recorder.all.size() == 8);
}

TEST_CASE("observer: what it computes is not observed, and what it throws the run throws") {
  class Summing : public tf::Observer {
   public:
    void observe(const tf::Observation& op) override {
      ++seen;
      if (throws) throw tf::Error(tf::Code::Cancelled, {.message = "enough"});
      total += tf::eagerly([&] { return tf::sum(op.outputs[0]); }).item<float>();
    }
    int seen = 0;
    float total = 0;
    bool throws = false;
  };
  Summing observer;
  const tf::EagerMode eager;
  const Tensor x = tf::tensor({1.f, 2.f});
  {
    const tf::Observing observing(observer);
    x* x;
  }
  CHECK(observer.seen == 1);
  CHECK(observer.total == 5.f);
  tf::Variable w({1.f, 2.f});
  auto step = tf::step([&](Tensor by) {
    w.assign_add(by);
    return w * by;
  });
  {
    const tf::Observing observing(observer);
    observer.throws = true;
    CHECK_THROWS_AS(step({1.f, 1.f}), tf::Error);
  }
  CHECK(bytes_of(w.read()) == bytes_of(tf::tensor({1.f, 2.f})));
}

TEST_CASE("observer: a step that is called in another has an execution of its own each time") {
  const auto executions_of_tanh = [](const std::vector<Seen>& all) {
    std::vector<uint64_t> numbers;
    for (const Seen& s : all)
      if (s.identity.op == "Tanh") numbers.push_back(s.identity.execution);
    return numbers;
  };
  const auto program = [](const tf::SessionOptions& options) {
    const tf::Session session(options);
    auto in = tf::step(session, [](Tensor x) {
      const Tensor positive = tf::cond(
          x > 0.f, [&] { return x * 2.f; }, [&] { return x * 3.f; });
      return tf::tanh(positive);
    });
    const auto f = [&](const Tensor& x) {
      const Tensor y = in(in(x));
      in(y * 5.f);  // of no consequence, and done in eager mode alone
      const Tensor z = tf::cond(
          x > 0.f, [&] { return in(y)*2.f; }, [&] { return in(in(y)); });
      const auto [n, w] = tf::while_loop([](Tensor n, Tensor) { return n < 2; },
                                         [&](Tensor n, Tensor w) {
                                           return std::tuple{n + 1, in(w)};
                                         },
                                         std::tuple{tf::constant(0), z});
      return in(w);
    };
    auto plain = tf::step(session, f);
    auto slope = tf::step(session, [&](Tensor x) {
      tf::GradientTape tape;
      tape.watch(x);
      return tape.gradient(f(x), x);
    });
    plain(1.f), in(2.f), plain(-1.f), slope(-1.f), in(1.f), slope(1.f);
  };
  const tf::SessionOptions plain{.optimize = false};
  const std::vector<Seen> eager = observed(true, [&] { program(plain); });
  std::vector<Seen> deferred = observed(false, [&] { program(plain); });
  std::vector<uint64_t> all;
  for (uint64_t i = 0; i < 7 + 1 + 8 + 8 + 1 + 7; ++i) all.push_back(i);
  CHECK(executions_of_tanh(eager) == all);
  std::erase_if(all, [](uint64_t i) { return std::set<uint64_t>{2, 10, 18, 27}.contains(i); });  // f's third
  CHECK(executions_of_tanh(deferred) == all);
  // What the optimiser has dropped leaves the others' numbers as they are.
  const tf::SessionOptions optimised;
  const std::vector<uint64_t> left = executions_of_tanh(observed(false, [&] { program(optimised); }));
  CHECK(left.size() > 20);
  CHECK(std::ranges::includes(all, left));
  std::set<tf::OpIdentity> done;
  for (const Seen& s : eager) done.insert(s.identity);
  CHECK(done.size() == eager.size());
  for (const Seen& s : deferred) {
    INFO(s.node);
    CHECK(done.erase(s.identity) == 1);
  }
}

TEST_CASE("observer: the same text has the same bodies where each run sets the seed first") {
  const auto body = [](bool eager, bool seed) {
    Recorder recorder;
    const tf::Graph graph;
    const auto current = graph.as_default();
    const auto run = [&] {
      if (seed) tf::set_random_seed(7);
      const tf::Session session;
      auto step = tf::step(session, [](Tensor x) { return x * 2.f; });
      const tf::Observing observing(recorder);
      step(1.f);
    };
    eager ? tf::eagerly(run) : tf::deferred(run);
    return recorder.all.back().identity.body;
  };
  const uint64_t once = body(true, true);
  CHECK(once != 0);
  CHECK(body(true, true) == once);
  CHECK(body(false, true) == once);
  CHECK(body(true, false) != once);  // the second step of that seed
  CHECK(body(false, false) == once);
}

TEST_CASE("observer: a name for an older tensor is no op") {
  check_in_both_modes([](const tf::SessionOptions& options) {
    const tf::Session session(options);
    const auto f = [](const Tensor& x) {
      const Tensor y = x * 2.f;
      const Tensor z = tf::named("z", [&] { return y; });
      return z + tf::identity(y) + tf::named("w", [&] { return tf::identity(z); });
    };
    auto step = tf::step(session, [&](Tensor x) {
      tf::GradientTape tape;
      tape.watch(x);
      const Tensor y = tf::cond(
          x > 0.f, [&] { return f(x) * x; }, [&] { return x; });
      return std::tuple{f(x), y, tape.gradient(y, x)};
    });
    step(1.f), step(-1.f);
  });
}
