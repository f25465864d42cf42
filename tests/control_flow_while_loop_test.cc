// Loops, and branches in them.
#include <twofold/twofold.h>

#include <thread>
#include <vector>

#include <twofold/graph/graph_data.h>

#include "both_modes.h"
#include "errors.h"

namespace tf = twofold;
using testing::doubles;
using testing::in_both_modes;
using tf::Tensor;

TEST_CASE("while_loop repeats its body while the test holds") {
  const auto result = in_both_modes([] {
    const Tensor x = tf::constant({1.0, 2.0});
    const auto [i, s] =
        tf::while_loop([](Tensor i, Tensor) { return i < 5; },
                       [&](Tensor i, Tensor s) { return std::tuple{i + 1, s * 2 + x}; }, std::tuple{0, x});
    const Tensor single = tf::while_loop([](Tensor v) { return v < 100.f; }, [](Tensor v) { return v * 3.f; }, 1.f);
    const auto none = tf::while_loop([](Tensor v, Tensor) { return v > 100; },
                                     [](Tensor v, Tensor u) { return std::tuple{v + 1, u * u}; }, std::tuple{3, x});
    const std::vector<Tensor> list = tf::while_loop(
        [](const std::vector<Tensor>& v) { return tf::sum(v[0]) < 50.0; },
        [](const std::vector<Tensor>& v) { return std::vector{v[0] + v[1], v[1] * 2}; }, std::vector<Tensor>{x, x});
    return std::vector<Tensor>{i, s, single, std::get<0>(none), std::get<1>(none), list[0], list[1]};
  });
  CHECK(result[0].item<int>() == 5);
  CHECK(doubles(result[1]) == std::vector<double>{63, 126});
  CHECK(result[2].item<float>() == 243);
  CHECK(result[3].item<int>() == 3);
  CHECK(doubles(result[4]) == std::vector<double>{1, 2});
  CHECK(doubles(result[5]) == std::vector<double>{32, 64});
}

TEST_CASE("control flow nests, and captures through every level") {
  const auto result = in_both_modes([] {
    const Tensor x = tf::constant(3.0, {.dtype = tf::float64});
    const auto [n, total] = tf::while_loop(
        [](Tensor i, Tensor) { return i < 4; },
        [&](Tensor i, Tensor total) {
          const auto [j, inner] = tf::while_loop(
              [&](Tensor j, Tensor) { return j < i; },
              [&](Tensor j, Tensor v) {
                const Tensor next = tf::cond(
                    j < 1, [&] { return v + x; },
                    [&] { return tf::cond(total > 10, [&] { return v * x; }, [&] { return v - total; }); });
                return std::tuple{j + 1, next};
              },
              std::tuple{0, total});
          return std::tuple{i + 1, inner + 1};
        },
        std::tuple{0, x});
    return std::vector<Tensor>{n, total};
  });
  double total = 3;
  for (int i = 0; i < 4; ++i) {
    double v = total;
    for (int j = 0; j < i; ++j) v = j < 1 ? v + 3 : total > 10 ? v * 3 : v - total;
    total = v + 1;
  }
  CHECK(result[0].item<int>() == 4);
  CHECK(result[1].item<double>() == total);
}

TEST_CASE("effects in a loop happen at every iteration") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const tf::Variable v(1.f);
  const auto [i, s] = tf::while_loop([](Tensor i, Tensor) { return i < 3; },
                                     [&](Tensor i, Tensor s) {
                                       const Tensor before = v.read();
                                       v.assign(before * 2.f);
                                       return std::tuple{i + 1, s + before};
                                     },
                                     std::tuple{0, 0.f});
  for (const bool optimize : {false, true}) {
    const tf::Session session(graph, {.optimize = optimize});
    session.run(v.initializer());
    CHECK(session.run(s).item<float>() == 1 + 2 + 4);
    CHECK(session.run(v).item<float>() == 8);
    CHECK(session.run(i, {{v, 100.f}}).item<int>() == 3);
  }
}

TEST_CASE("effects of bodies follow the program's order") {
  in_both_modes([] {
    const tf::Variable v(2.f);
    const Tensor before = v + 0.f;
    const Tensor x = tf::cond(before > 1.f, [&] { return v.assign_add(3.f) * 1.f; }, [&] { return before; });
    const Tensor between = v + 0.f;
    const Tensor y = tf::while_loop([&](Tensor) { return v.read() < 100.f; },
                                    [&](Tensor k) {
                                      v.assign(v * k);
                                      return k + 1.f;
                                    },
                                    2.f);
    const Tensor after = v + 0.f;
    return std::vector<Tensor>{before, x, between, y, after};
  });
}

TEST_CASE("a failure inside a body leaves variables as they were") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const tf::Variable v(1.f, {.name = "v"});
  const Tensor x = tf::placeholder(tf::float32, tf::unknown_shape), y = tf::placeholder(tf::float32, tf::unknown_shape);
  const Tensor n = tf::while_loop([](Tensor i) { return i < 3; },
                                  [&](Tensor i) {
                                    v.assign_add(1.f);
                                    const Tensor z = tf::cond(i > 1, [&] { return x + y; }, [&] { return x; });
                                    return tf::with_effects(i + 1, {tf::print(tf::sum(z) * 0.f, "sum ")});
                                  },
                                  0);
  const tf::Session session(graph);
  session.run(tf::global_variables_initializer());
  CHECK_ERROR(session.run(n, {{x, std::vector<float>{1, 2}}, {y, std::vector<float>{1, 2, 3}}}), InvalidArgument,
              "Incompatible shapes");
  CHECK(session.run(v).item<float>() == 1);
  session.run(n, {{x, std::vector<float>{1, 2}}, {y, std::vector<float>{1, 2}}});
  CHECK(session.run(v).item<float>() == 4);
}

TEST_CASE("feeding a variable overrides its reads in bodies") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const tf::Variable v(1.f), w(2.f);
  const Tensor p = tf::placeholder(tf::bool_, {});
  const Tensor y =
      tf::while_loop([](Tensor s) { return s < 50.f; },
                     [&](Tensor s) { return tf::cond(p, [&] { return s + v; }, [&] { return s * w; }); }, 1.f);
  const Tensor dy = tf::gradients(y, {w})[0];
  for (const bool optimize : {false, true}) {
    const tf::Session session(graph, {.optimize = optimize});
    session.run(tf::global_variables_initializer());
    CHECK(session.run(y, {{p, true}, {v, 7.f}}).item<float>() == 50);
    CHECK(session.run(y, {{p, false}, {v, 7.f}}).item<float>() == 64);
    CHECK(session.run(y, {{p, false}, {w, 10.f}}).item<float>() == 100);
    CHECK(session.run(dy, {{p, false}}).item<float>() == 6 * 32);
    CHECK(session.run(dy, {{p, false}, {w, 10.f}}).item<float>() == 2 * 10);
    CHECK(session.run(dy, {{p, true}, {w, 10.f}}).item<float>() == 0);
  }
}

TEST_CASE("shapes of loop variables are known as far as all passes agree") {
  {
    const tf::Graph graph;
    const auto scope = graph.as_default();
    const Tensor x = tf::placeholder(tf::float32, {2, 3});
    const auto [s, t] =
        tf::while_loop([](Tensor s, Tensor) { return tf::sum(s) < 3.f; },
                       [](Tensor s, Tensor t) { return std::tuple{tf::concat({s, s}, 0), t * 2.f}; }, std::tuple{x, x});
    CHECK(s.shape() == tf::Shape{-1, 3});
    CHECK(t.shape() == tf::Shape{2, 3});
  }
  const auto result = in_both_modes([] {
    const Tensor x = tf::constant({0.25f, 0.5f});
    const Tensor grown =
        tf::while_loop([](Tensor s) { return tf::sum(s) < 10.f; },
                       [](Tensor s) { return tf::concat({s, tf::sum(s, {}, {.keepdims = true})}, 0); }, x);
    const Tensor chosen = tf::cond(tf::sum(grown) > 1.f, [&] { return grown * 2.f; }, [&] { return x; });
    return std::vector<Tensor>{grown, chosen, tf::exp(chosen * 0.1f)};
  });
  CHECK(result[0].shape() == tf::Shape{6});
}

TEST_CASE("random ops in bodies draw the same numbers in both modes") {
  const auto result = in_both_modes([] {
    const Tensor before = tf::random_normal({2});
    const Tensor x = tf::cond(
        tf::sum(before) > -100.f, [] { return tf::random_normal({3}); }, [] { return tf::random_uniform({3}); });
    const Tensor walk =
        tf::while_loop([](Tensor s) { return tf::reduce_sum(s) < 1e9f; },
                       [](Tensor s) {
                         const Tensor step = tf::cond(
                             tf::sum(s) > 100.f, [] { return tf::random_uniform({2}, {.low = 1e9, .high = 2e9}); },
                             [] { return tf::random_uniform({2}) * 40.f + 1.f; });
                         return s + step + tf::random_normal({2}) * 0.01f;
                       },
                       tf::zeros({2}));
    return std::vector<Tensor>{before, x, walk, tf::random_normal({2})};
  });
  const auto numbers = doubles(result[1]);
  CHECK(numbers[0] != numbers[1]);

  // Numbers that nobody uses count as drawn.
  in_both_modes([] {
    const auto [i, last] = tf::while_loop([](Tensor i, Tensor) { return i < 3; },
                                          [](Tensor i, Tensor) {
                                            const Tensor draw = tf::cond(
                                                i < 2,
                                                [] {
                                                  tf::random_normal({}, {.seed = 1});
                                                  return tf::zeros({});
                                                },
                                                [] { return tf::random_normal({}, {.seed = 1}); });
                                            return std::tuple{i + 1, draw};
                                          },
                                          std::tuple{0, 0.f});
    return std::vector<Tensor>{last};
  });

  // Passes, and runs, go on with a sequence instead of repeating it.
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const auto [i, first, second] =
      tf::while_loop([](Tensor i, Tensor, Tensor) { return i < 2; },
                     [](Tensor i, Tensor, Tensor second) { return std::tuple{i + 1, second, tf::random_uniform({})}; },
                     std::tuple{0, 0.f, 0.f});
  const tf::Session session(graph);
  const auto once = session.run({first, second}), again = session.run({first, second});
  CHECK(once[0].item<float>() != once[1].item<float>());
  CHECK(again[0].item<float>() != once[0].item<float>());
  CHECK(again[0].item<float>() != once[1].item<float>());
  const tf::Session other(graph);
  CHECK(other.run(first).item<float>() == once[0].item<float>());
}

TEST_CASE("mistakes with while_loop are told") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::float32, {2});
  const auto below = [](Tensor v) { return tf::sum(v) < 3.f; };
  CHECK_ERROR(tf::while_loop(
                  below, [](Tensor v) { return tf::cast(v, tf::float64); }, x),
              InvalidArgument,
              "Loop variable 0 enters the loop with dtype float32, but has dtype float64 after one iteration");
  CHECK_ERROR(tf::while_loop(
                  below, [](Tensor v) { return std::tuple{v, v}; }, x),
              InvalidArgument, "returned 2 values for 1 loop variables");
  CHECK_ERROR(tf::while_loop([](Tensor v) { return v < 3.f; }, [](Tensor v) { return v; }, x), InvalidArgument,
              "(op: 'While')");

  tf::EagerMode eager;
  CHECK_ERROR(tf::while_loop(
                  below, [](Tensor w) { return tf::cast(w, tf::float64) - 1.0; }, tf::constant({-4.f, -3.f})),
              InvalidArgument, "Loop variable 0");
}

TEST_CASE("a loop's tensor that is used outside is an error") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::float32, {});
  Tensor inner;
  tf::while_loop([](Tensor v) { return v < 3.f; }, [&](Tensor v) { return inner = v + 1.f; }, x);
  CHECK_ERROR(inner * x, InvalidArgument, "belongs to the body of a while_loop");
  CHECK_ERROR(tf::cond(
                  x > 0.f, [&] { return inner; }, [&] { return x; }),
              InvalidArgument, "belongs to the body of a while_loop");
}

TEST_CASE("a graph with control flow is freed") {
  tf::Ref<tf::GraphData> kept;
  {
    const tf::Graph graph;
    const auto scope = graph.as_default();
    const Tensor x = tf::placeholder(tf::float32, {});
    const Tensor y =
        tf::while_loop([](Tensor v) { return v < 3.f; },
                       [&](Tensor v) { return tf::cond(v > 1.f, [&] { return v + x; }, [&] { return v * x; }); }, x);
    CHECK(tf::gradients(y, {x})[0].defined());
    kept = tf::Ref<tf::GraphData>(graph.data());
  }
  CHECK(static_cast<const tf::RefCounted&>(*kept).unique());
}

TEST_CASE("runs with control flow go side by side") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const tf::Variable w(0.5f), count(0);
  const Tensor x = tf::placeholder(tf::float32, {-1});
  const Tensor y = tf::while_loop(
      [](Tensor s) { return tf::sum(s) < 100.f; },
      [&](Tensor s) { return tf::cond(tf::sum(s) > 20.f, [&] { return s + s; }, [&] { return s + w * x; }); }, x);
  const Tensor dx = tf::gradients(y, {x})[0];
  const tf::Operation counted = tf::cond(tf::sum(x) > 0.f, [&] { count.assign_add(1); }, [] {});
  const tf::Session session(graph);
  session.run(tf::global_variables_initializer());
  const auto input = [](int thread) { return std::vector<float>(static_cast<size_t>(thread % 4 + 1), 1.25f); };
  std::vector<std::array<Tensor, 2>> expected;
  for (int t = 0; t < 8; ++t) expected.push_back(session.run({y, dx}, {{x, input(t)}}));
  std::vector<int> wrong(8, 0);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int k = 0; k < 50; ++k) {
        const auto now = session.run({y, dx}, {{x, input(t)}});
        session.run(counted, {{x, input(t)}});
        const auto& then = expected[static_cast<size_t>(t)];
        if (!testing::same_bits(now[0], then[0]) || !testing::same_bits(now[1], then[1]))
          ++wrong[static_cast<size_t>(t)];
      }
    });
  for (auto& t : threads) t.join();
  CHECK(wrong == std::vector<int>(8, 0));
  CHECK(session.run(count).item<int>() == 8 * 50);
}
