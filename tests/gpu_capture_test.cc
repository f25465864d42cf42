// Plans that are captured and replayed as CUDA graphs: the bits of the same plans run in the usual way.
#include <functional>
#include <vector>

#include <twofold/twofold.h>

#include "both_modes.h"
#include "errors.h"
#include "fresh_graph.h"
#include "gpu.h"

namespace tf = twofold;
namespace nn = twofold::nn;
using tf::Tensor;

namespace {

using Tensors = std::vector<Tensor>;
using Program = std::function<Tensors(tf::Session& session)>;

/// The results of `program`, which builds a graph and runs it.
Tensors results_of(const Program& program, tf::SessionOptions options, tf::Ledger* ledger = nullptr) {
  FreshGraph fresh;
  tf::set_random_seed(11);
  options.device = "/gpu:0";
  tf::Session session(options);
  if (!ledger) return program(session);
  const auto recording = ledger->record();
  return program(session);
}

/// Checks that `program` gives the same bits captured, optimised but not captured, and unoptimised. What the captured
/// run's ledger holds.
struct Outcome {
  int64_t replays = 0;
  std::string notes;
  Tensors results;
};
Outcome check_capture(const Program& program) {
  Outcome outcome;
  const Tensors plain = results_of(program, {.optimize = false});
  const Tensors usual = results_of(program, {.disabled_passes = {"capture"}});
  tf::Ledger ledger;
  outcome.results = results_of(program, {}, &ledger);
  for (const Tensors& other : {plain, usual}) {
    REQUIRE(other.size() == outcome.results.size());
    for (size_t i = 0; i < other.size(); ++i) {
      INFO("result " << i << ": " << outcome.results[i] << " and " << other[i]);
      CHECK(testing::same_bits(outcome.results[i], other[i]));
    }
  }
  const auto ops = ledger.ops();
  if (const auto found = ops.find("captured graph"); found != ops.end()) outcome.replays = found->second.calls;
  for (const std::string& note : ledger.notes()) outcome.notes += note + "\n";
  return outcome;
}

Tensor numbers(int64_t n, float first) {
  std::vector<float> v;
  for (int64_t i = 0; i < n; ++i) v.push_back(first + 0.5f * static_cast<float>(i % 7));
  return tf::tensor(v);
}

void initialize(tf::Session& session) { session.run(tf::global_variables_initializer()); }

}  // namespace

TEST_CASE("gpu: captured, a training step gives the same bits, run for run") {
  if (testing::lacks_gpu()) return;
  const auto train = [](auto make_optimizer, bool fed_from_gpu) {
    return check_capture([&](tf::Session& session) {
      nn::Sequential net(nn::Conv2d(2, 4, 3, {.padding = 1}), nn::BatchNorm2d(4), nn::ReLU(), nn::MaxPool2d(2),
                         nn::Flatten(), nn::Dropout(0.3), nn::Linear(36, 5), nn::LogSoftmax(1));
      const auto opt = make_optimizer(net.parameters());
      auto step = tf::step(session, [&](Tensor x, Tensor y) {
        const Tensor loss = nn::nll_loss(net(x + tf::random_normal({6}, {.stddev = 0.1})), y);
        opt->minimize(loss);
        return loss;
      });
      initialize(session);
      Tensor x = tf::reshape(numbers(3 * 2 * 6 * 6, -1), {3, 2, 6, 6}), y = tf::tensor(std::vector<int64_t>{0, 4, 2});
      if (fed_from_gpu) x = x.to("/gpu:0"), y = y.to("/gpu:0");
      Tensors results;
      for (int i = 0; i < 40; ++i) results.push_back(step(x, y));
      for (const auto& [name, value] : tf::read_state(session, net.state())) results.push_back(value);
      return results;
    });
  };
  for (const bool fed_from_gpu : {false, true}) {
    INFO("fed from the GPU: " << fed_from_gpu);
    const Outcome sgd = train(
        [](const auto& p) {
          return std::make_unique<tf::train::SGD>(p, tf::train::SGDOptions{.lr = 0.05, .momentum = 0.9});
        },
        fed_from_gpu);
    CHECK(sgd.replays >= 39);
    CHECK(sgd.notes == "");
    const Outcome adam = train([](const auto& p) { return std::make_unique<tf::train::Adam>(p); }, fed_from_gpu);
    CHECK(adam.replays >= 39);
    CHECK(adam.notes == "");
  }
}

TEST_CASE("gpu: captured, feeds change their shape, their place and their tensor") {
  if (testing::lacks_gpu()) return;
  const Outcome outcome = check_capture([](tf::Session& session) {
    const Tensor x = tf::placeholder(tf::float32, {-1}), y = tf::placeholder(tf::float32, tf::Shape{});
    const tf::Variable last(0.f);
    const Tensor z = tf::sum(tf::exp(x * 0.1f) * y), kept = last.assign(z + last.read() * 0.5f);
    initialize(session);
    Tensors results;
    const auto run = [&](const Tensor& a, float b) {
      for (Tensor& t : session.run(Tensors{z, kept}, {{x, a}, {y, b}})) results.push_back(t);
    };
    for (const int64_t n : {5, 5, 5, 1000, 1000, 1000, 5, 5, 0, 0, 0})
      run(numbers(n, static_cast<float>(results.size())), static_cast<float>(n) - 2);
    const Tensor there = numbers(5, 3).to("/gpu:0");
    for (int i = 0; i < 3; ++i) run(there, 1);
    for (int i = 0; i < 4; ++i) run(numbers(5, static_cast<float>(i)).to("/gpu:0"), 2);  // ever another tensor
    for (int i = 0; i < 3; ++i) run(numbers(5, static_cast<float>(i)), 2);
    for (int i = 0; i < 2; ++i) run(there, 1);
    return results;
  });
  CHECK(outcome.replays >= 12);
  CHECK(outcome.notes == "");
}

TEST_CASE("gpu: captured, variables are fetched before, between and after their writes") {
  if (testing::lacks_gpu()) return;
  const auto program = [](bool old_value, bool between, bool variable) {
    return [=](tf::Session& session) {
      const Tensor x = tf::placeholder(tf::float32, {4});
      const tf::Variable v(numbers(4, 0)), w(numbers(4, 5));
      const Tensor before = v.read();
      const Tensor once = v.assign_add(x * 2.f);
      const Tensor twice = v.assign(tf::sin(once) * 3.f + w);
      const Tensor other = w.assign_sub(twice * 0.25f);
      initialize(session);
      std::vector<tf::Fetch> fetches{other};
      if (old_value) fetches.emplace_back(before);
      if (between) fetches.emplace_back(once);
      if (variable) fetches.emplace_back(v);
      Tensors all;
      for (int run = 0; run < 5; ++run)
        for (Tensor& t : session.run(fetches, {{x, numbers(4, static_cast<float>(run))}})) all.push_back(t);
      // Other plans on the same variables, in between.
      all.push_back(session.run(v));
      all.push_back(session.run(tf::sum(w.read() + v.read())));
      for (int run = 0; run < 3; ++run)
        for (Tensor& t : session.run(fetches, {{x, numbers(4, 1)}})) all.push_back(t);
      all.push_back(session.run(w));
      return all;  // snapshots: what the later runs wrote must not show in them
    };
  };
  for (const bool old_value : {false, true})
    for (const bool between : {false, true})
      for (const bool variable : {false, true}) {
        INFO("old value " << old_value << ", between " << between << ", variable " << variable);
        check_capture(program(old_value, between, variable));
      }
}

TEST_CASE("gpu: captured, variables are swapped, rotated, and set from outside") {
  if (testing::lacks_gpu()) return;
  const Outcome swapped = check_capture([](tf::Session& session) {
    const tf::Variable a(numbers(100, 1)), b(numbers(100, 2)), c(numbers(100, 3));
    const Tensor old_a = a.read(), old_b = b.read(), old_c = c.read();
    Tensor to_a, to_b, to_c;
    {
      const auto after = tf::control_dependencies({old_a, old_b, old_c});
      to_a = a.assign(old_b), to_b = b.assign(old_a);
      to_c = c.assign(old_c * 1.5f);
    }
    const tf::Operation swap = tf::group({to_a, to_b, to_c});
    initialize(session);
    Tensors results;
    for (int run = 0; run < 5; ++run) {
      session.run(swap);
      for (Tensor& t : session.run(std::vector<tf::Fetch>{a, b, c})) results.push_back(t);
    }
    return results;
  });
  CHECK(swapped.notes.find("is assigned another's value") != std::string::npos);

  const Outcome set = check_capture([](tf::Session& session) {
    const tf::Variable v(numbers(10, 1));
    const Tensor halved = v.assign(v.read() * 0.5f);
    initialize(session);
    Tensors results;
    for (int run = 0; run < 30; ++run) {
      results.push_back(session.run(halved));
      if (run % 6 == 4) session.set({{v, numbers(10, static_cast<float>(run))}});
      if (run % 6 == 5) session.set({{v, numbers(10, static_cast<float>(run)).to("/gpu:0")}});
      if (run == 15) initialize(session);
    }
    return results;
  });
  CHECK(set.replays >= 15);

  // What is set before each run is captured again each time, until that is given up.
  const Outcome restless = check_capture([](tf::Session& session) {
    const tf::Variable v(numbers(10, 1));
    const Tensor halved = v.assign(v.read() * 0.5f);
    initialize(session);
    Tensors results, kept;
    for (int run = 0; run < 40; ++run) {
      kept.push_back(numbers(10, static_cast<float>(run)).to("/gpu:0"));
      session.set({{v, kept.back()}});
      results.push_back(session.run(halved));
    }
    for (int run = 0; run < 40; ++run)
      CHECK(testing::same_bits(kept[static_cast<size_t>(run)], numbers(10, static_cast<float>(run))));
    return results;
  });
  CHECK(restless.replays >= 1);
}

TEST_CASE("gpu: captured, random ops draw the same numbers") {
  if (testing::lacks_gpu()) return;
  const Outcome outcome = check_capture([](tf::Session& session) {
    const Tensor a = tf::random_normal({33}), b = tf::random_uniform({2, 5}), c = tf::truncated_normal({7}),
                 d = tf::random_uniform_int({20}, -5, 100), e = tf::random_permutation(50),
                 f = tf::dropout(a + 1.f, 0.5), g = tf::random_normal({4}, {.seed = 5});
    const Tensors all{a, b, c, d, e, f, g};
    Tensors results;
    for (int run = 0; run < 5; ++run) {
      for (Tensor& t : session.run(all)) results.push_back(t);
      results.push_back(session.run(g));  // the same counter in another plan
    }
    const auto state = tf::read_random_state(session);
    for (int run = 0; run < 2; ++run) results.push_back(session.run(a));
    tf::load_random_state(session, state);
    for (int run = 0; run < 2; ++run) results.push_back(session.run(a));
    return results;
  });
  CHECK(outcome.replays >= 4);
  CHECK(outcome.notes == "");
  const size_t n = outcome.results.size();
  CHECK(testing::same_bits(outcome.results[n - 4], outcome.results[n - 2]));
  CHECK(testing::same_bits(outcome.results[n - 3], outcome.results[n - 1]));
  CHECK_FALSE(testing::same_bits(outcome.results[0], outcome.results[8]));
}

TEST_CASE("gpu: a plan that cannot be captured gives the same bits, and a note says why") {
  if (testing::lacks_gpu()) return;
  const Outcome shared = check_capture([](tf::Session& session) {
    const Tensor x = tf::placeholder(tf::float32, {3});
    const Tensor there = tf::exp(x);
    Tensor here;
    {
      const auto guard = tf::device("/cpu:0");
      here = tf::sum(there * 2.f);
    }
    Tensors results;
    for (int run = 0; run < 3; ++run) results.push_back(session.run(here + there, {{x, numbers(3, 1)}}));
    return results;
  });
  CHECK(shared.replays == 0);
  CHECK(shared.notes.find("not captured as a CUDA graph: '") != std::string::npos);
  CHECK(shared.notes.find("' runs on /cpu:0") != std::string::npos);

  const Outcome branching = check_capture([](tf::Session& session) {
    const Tensor x = tf::placeholder(tf::float32, {3});
    const Tensor y = tf::cond(tf::sum(x) > 5.f, [&] { return x * 2.f; }, [&] { return tf::exp(x); });
    const auto [count, z] = tf::while_loop([](const Tensor& i, const Tensor&) { return i < 3; },
                                           [&](const Tensor& i, const Tensor& s) { return std::tuple{i + 1, s + x}; },
                                           std::tuple{tf::constant(0), y});
    Tensors results;
    for (int run = 0; run < 4; ++run) results.push_back(session.run(z, {{x, numbers(3, static_cast<float>(run) - 1)}}));
    return results;
  });
  CHECK(branching.notes.find("runs on the host") != std::string::npos);

  tf::Ledger ledger;
  const auto add = [](tf::Session& session) {
    const tf::Variable v(1.f);
    initialize(session);
    return Tensors{session.run(v.assign_add(1.f)), session.run(v * 2.f)};
  };
  results_of(add, {.optimize = false}, &ledger);
  CHECK(ledger.notes().contains("not captured as a CUDA graph: optimisation is off"));
}

TEST_CASE("gpu: captured, callables of several threads and sessions do not disturb each other") {
  if (testing::lacks_gpu()) return;
  check_capture([](tf::Session& session) {
    const Tensor x = tf::placeholder(tf::float32, {-1});
    const tf::Variable v(numbers(6, 0));
    const auto scaled = session.make_callable(tf::tanh(x) * tf::sum(v.read()), {x});
    const auto moved = session.make_callable(v.assign(v.read() * 0.5f + 1.f));
    initialize(session);
    tf::Session other({.device = "/gpu:0"});
    initialize(other);
    Tensors results;
    for (int run = 0; run < 6; ++run) {
      results.push_back(scaled(numbers(6 + run % 2, static_cast<float>(run))));
      results.push_back(moved());
      results.push_back(other.run(v.read() + 1.f));  // a node a run: each is planned anew
    }
    return results;
  });
}

TEST_CASE("gpu: what is fetched from a variable is what it held then, whenever it is read on the host") {
  if (testing::lacks_gpu()) return;
  FreshGraph fresh;
  const tf::Variable v(0.f), flag(false);
  const Tensor same = tf::identity(v), flat = tf::reshape(v, {1}), added = v.assign_add(1.f);
  const Tensor turned = flag.assign(tf::logical_not(flag));
  // The predicate is the variable's value itself, which the run brings to the host.
  const Tensor chosen = tf::cond(flag.read(), [&] { return v + 100.f; }, [&] { return v + 0.f; });
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize, .device = "/gpu:0"});
    session.run(tf::global_variables_initializer());
    const auto add_thrice = session.make_callable(added);
    struct Kept {
      Tensor value;
      float read;  // at once; less than 0: only at the end
      float right;
    };
    std::vector<Kept> kept;
    float n = 0;
    bool on = false;
    for (int round = 0; round < 8; ++round) {
      INFO(optimize << " round " << round);
      for (const Tensor& symbol : {same, flat}) {
        CHECK(session.run(symbol).item<float>() == n);  // dropped again: its memory is the variable's alone
        kept.push_back({session.run(symbol), -1, n});
        if (round % 2) kept.back().read = kept.back().value.item<float>();
      }
      CHECK(session.run(chosen).item<float>() == (on ? 100.f : 0.f) + n);
      session.run(turned), on = !on;
      CHECK(session.run(chosen).item<float>() == (on ? 100.f : 0.f) + n);
      kept.push_back({session.run(v), -1, n});
      for (int i = 0; i < 3; ++i) kept.push_back({add_thrice(), -1, ++n});
      session.run(added), ++n;
    }
    for (const Kept& k : kept) {
      CHECK(k.value.item<float>() == k.right);
      if (k.read >= 0) CHECK(k.read == k.right);
    }
  }
}
