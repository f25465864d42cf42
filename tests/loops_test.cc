// scan, fold and map_fn: values, nests, gradients, what happens in bodies, and that they are linear.
#include <twofold/twofold.h>

#include <map>
#include <vector>

#include "both_modes.h"
#include "control_flow_gradients.h"
#include "errors.h"

namespace tf = twofold;
using testing::check_gradients;
using testing::doubles;
using testing::in_both_modes;
using tf::Tensor;

TEST_CASE("scan, fold and map_fn go over the slices of the first axis") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant({1.f, 2.f, 3.f, 4.f}), rows = tf::constant({{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}});
    const auto sum = [](Tensor a, Tensor v) { return a + v; };
    const auto shifted = [](Tensor a, Tensor v) { return a * 2.f + v; };
    return std::vector{
        tf::scan(sum, x, 10.f),
        tf::scan(sum, x, 10.f, {.reverse = true}),
        tf::scan(sum, x),
        tf::scan(sum, x, {.reverse = true}),
        tf::fold(shifted, x, 1.f),
        tf::fold(shifted, x, 1.f, {.reverse = true}),
        tf::fold(shifted, x),
        tf::fold(shifted, x, {.reverse = true}),
        tf::map_fn([](Tensor v) { return v * v; }, x),
        tf::map_fn([](Tensor row) { return tf::sum(row); }, rows),
        tf::scan(
            [](Tensor a, Tensor row) {
              return a + tf::sum(row) * tf::constant({1.f, -1.f});
            },
            rows, tf::zeros({2})),
    };
  });
  using V = std::vector<double>;
  CHECK(doubles(all[0]) == V{11, 13, 16, 20});
  CHECK(doubles(all[1]) == V{20, 19, 17, 14});
  CHECK(doubles(all[2]) == V{1, 3, 6, 10});
  CHECK(doubles(all[3]) == V{10, 9, 7, 4});
  CHECK(all[4].item<float>() == (((1 * 2 + 1) * 2 + 2) * 2 + 3) * 2 + 4);
  CHECK(all[5].item<float>() == (((1 * 2 + 4) * 2 + 3) * 2 + 2) * 2 + 1);
  CHECK(all[6].item<float>() == ((1 * 2 + 2) * 2 + 3) * 2 + 4);
  CHECK(all[7].item<float>() == ((4 * 2 + 3) * 2 + 2) * 2 + 1);
  CHECK(doubles(all[8]) == V{1, 4, 9, 16});
  CHECK(doubles(all[9]) == V{3, 7, 11});
  CHECK(doubles(all[10]) == V{3, -3, 10, -10, 21, -21});
}

TEST_CASE("slices, what is carried and results are nests") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant({1.f, 2.f, 3.f}), n = tf::constant({10, 20, 30});
    const auto [products, parity] = tf::map_fn(
        [](Tensor v, Tensor k) {
          return std::pair{v * tf::cast(k, tf::float32), tf::equal(k % 20, 0)};
        },
        std::tuple{x, n});
    // The whole tuple as one parameter, a map of results, and a number among them.
    const auto named = tf::map_fn(
        [](const std::tuple<Tensor, Tensor>& s) {
          return std::map<std::string, Tensor>{{"v", std::get<0>(s) + 1.f}, {"k", std::get<1>(s) * 2}};
        },
        std::tuple{x, n});
    const std::vector<Tensor> listed = tf::map_fn(
        [](const std::vector<Tensor>& s) {
          return std::vector{s[1], s[0], s[0] * s[0]};
        },
        std::vector{x, x * 2.f});
    // Fibonacci's numbers: (a, b) -> (b, a + b).
    const auto [a, b] = tf::scan(
        [](const std::tuple<Tensor, Tensor>& ab, Tensor) {
          return std::tuple{std::get<1>(ab), std::get<0>(ab) + std::get<1>(ab)};
        },
        tf::zeros({6}), std::tuple{0, 1});
    const auto sums = tf::fold(
        [](const std::map<std::string, Tensor>& s, const std::array<Tensor, 2>& v) {
          return std::map<std::string, Tensor>{{"x", s.at("x") + v[0]}, {"n", s.at("n") + v[1]}};
        },
        std::array{x, tf::cast(n, tf::float32)}, std::map<std::string, float>{{"x", 0.f}, {"n", 0.5f}});
    return std::vector{products, parity, named.at("v"), named.at("k"), listed[0], listed[2],
                       a,        b,      sums.at("x"),  sums.at("n")};
  });
  using V = std::vector<double>;
  CHECK(doubles(all[0]) == V{10, 40, 90});
  CHECK(all[1].dtype() == tf::bool_);
  CHECK(doubles(all[1]) == V{0, 1, 0});
  CHECK(doubles(all[2]) == V{2, 3, 4});
  CHECK(all[3].dtype() == tf::int32);
  CHECK(doubles(all[3]) == V{20, 40, 60});
  CHECK(doubles(all[4]) == V{2, 4, 6});
  CHECK(doubles(all[5]) == V{1, 4, 9});
  CHECK(doubles(all[6]) == V{1, 1, 2, 3, 5, 8});
  CHECK(doubles(all[7]) == V{1, 2, 3, 5, 8, 13});
  CHECK(all[8].item<float>() == 6);
  CHECK(all[9].item<float>() == 60.5f);
}

TEST_CASE("loops over slices nest with each other, with while_loop and cond") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant({{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}});
    const auto [i, s] = tf::while_loop(
        [](Tensor i, Tensor) { return i < 2; },
        [&](Tensor i, Tensor s) {
          return std::tuple{
              i + 1, tf::cond(
                         i < 1,
                         [&] {
                           return tf::map_fn(
                               [&](Tensor row) { return tf::map_fn([&](Tensor v) { return v * 2.f + s[0][0]; }, row); },
                               s);
                         },
                         [&] { return tf::scan([](Tensor a, Tensor row) { return a + row; }, s, tf::ones({2})); })};
        },
        std::tuple{0, x});
    return std::vector{s};
  });
  // After the first pass {{3, 5}, {7, 9}, {11, 13}}, whose running sums from 1 on are:
  CHECK(doubles(all[0]) == std::vector<double>{4, 6, 11, 15, 22, 28});
}

TEST_CASE("loops over no slices") {
  const auto all = in_both_modes([] {
    const Tensor none = tf::zeros({0, 2});
    const auto [a, b] = tf::map_fn(
        [](Tensor row) {
          return std::tuple{tf::sum(row), tf::cast(tf::concat({row, row}, 0), tf::int32)};
        },
        none);
    tf::GradientTape tape;
    tape.watch(none);
    const Tensor y = tf::sum(tf::map_fn([](Tensor row) { return row * row; }, none));
    return std::vector{a, b, tf::scan([](Tensor a, Tensor row) { return a + row; }, none, std::vector{1.f, 2.f}),
                       tf::fold([](Tensor a, Tensor row) { return a + row; }, none, std::vector{1.f, 2.f}),
                       testing::zero_if_none(tape.gradient(y, none), none)};
  });
  CHECK(all[0].shape() == tf::Shape{0});
  CHECK(all[1].shape() == tf::Shape{0, 4});
  CHECK(all[1].dtype() == tf::int32);
  CHECK(all[2].shape() == tf::Shape{0, 2});
  CHECK(doubles(all[3]) == std::vector<double>{1, 2});
  CHECK(all[4].shape() == tf::Shape{0, 2});
}

TEST_CASE("eager, looking at what a function gives of no slices has no effect") {
  const tf::EagerMode eager;
  tf::set_random_seed(5);
  const tf::Variable v(1.f);
  const Tensor made =
      tf::map_fn([&](Tensor x) { return x + v.assign_add(1.f) + tf::random_normal({}); }, tf::zeros({0}));
  CHECK(made.shape() == tf::Shape{0});
  CHECK(v.read().item<float>() == 1);
  const Tensor first = tf::random_normal({});
  tf::set_random_seed(5);
  (void)tf::map_fn([&](Tensor x) { return x + v + tf::random_normal({}); }, tf::zeros({1}));
  CHECK(testing::same_bits(first, tf::random_normal({})));
}

TEST_CASE("extents may be known in the run only") {
  const auto program = [](const Tensor& x, const Tensor& y) {
    const Tensor s = tf::scan([](Tensor a, Tensor v) { return a * 0.5f + v; }, x, tf::zeros_like(x[0]));
    const Tensor m = tf::map_fn([](Tensor a, Tensor b) { return a * tf::sum(b); }, std::tuple{x, y});
    const Tensor f = tf::fold([](Tensor a, Tensor v) { return a + v * v; }, y);
    return std::vector{s, m, f, tf::gradients(tf::sum(s * s) + tf::sum(m * m) + tf::sum(f), {x})[0]};
  };
  const Tensor given = tf::tensor({{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}});
  const auto eager = tf::eagerly([&] {
    const Tensor x = tf::identity(given);
    tf::GradientTape tape;
    tape.watch(x);
    return program(x, given);
  });
  for (const tf::Shape& shape : {tf::Shape{-1, 2}, tf::Shape{-1, -1}, tf::Shape{3, -1}, tf::unknown_shape}) {
    const tf::Graph graph;
    const auto scope = graph.as_default();
    const Tensor x = tf::placeholder(tf::float32, shape), y = tf::placeholder(tf::float32, shape);
    const auto symbols = program(x, y);
    if (shape.has_rank()) CHECK(symbols[0].shape() == shape);
    for (const bool optimize : {false, true}) {
      const tf::Session session(graph, {.optimize = optimize});
      const auto values = session.run(symbols, {{x, given}, {y, given}});
      for (size_t i = 0; i < values.size(); ++i) {
        INFO(shape << ", result " << i << ": " << values[i] << " against " << eager[i]);
        CHECK(testing::same_bits(values[i], eager[i]));
      }
      if (!shape.has_rank() || shape.knows(0)) continue;
      CHECK(session.run(symbols[0], {{x, tf::tensor(0.f, {7, 2})}}).shape() == tf::Shape{7, 2});
      CHECK_ERROR(session.run(symbols[1], {{x, given}, {y, tf::tensor(0.f, {2, 2})}}), InvalidArgument,
                  "An array of 3 elements cannot take the 2 slices of a tensor of shape (2, 2)");
    }
  }
  // As many as none.
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::float32, {-1, 2});
  const Tensor s = tf::scan([](Tensor a, Tensor v) { return a + v; }, x, std::vector{1.f, 2.f}),
               m = tf::map_fn([](Tensor v) { return v * 2.f; }, x);
  const auto [sums, doubled, slope] =
      tf::Session(graph).run({s, m, tf::gradients(tf::sum(s) + tf::sum(m), {x})[0]}, {{x, tf::tensor(0.f, {0, 2})}});
  CHECK(sums.shape() == tf::Shape{0, 2});
  CHECK(doubled.shape() == tf::Shape{0, 2});
  CHECK(slope.shape() == tf::Shape{0, 2});
}

TEST_CASE("what a function of slices does happens at each of them") {
  const auto all = in_both_modes([] {
    const tf::Variable v(1.f), count(0);
    const Tensor x = tf::constant({1.f, 2.f, 3.f});
    const Tensor m = tf::map_fn(
        [&](Tensor e) {
          count.assign_add(1);
          return v.assign(v * 2.f) * e;
        },
        x);
    const Tensor drawn = tf::map_fn([](Tensor e) { return e * tf::random_normal({2}); }, tf::ones({4}));
    const Tensor walk = tf::scan([](Tensor a, Tensor e) { return a + e * tf::random_uniform({}); }, tf::ones({5}), 0.f);
    return std::vector{m, tf::with_effects(v + 0.f, {m}), tf::with_effects(count + 0, {m}), drawn, walk};
  });
  CHECK(doubles(all[0]) == std::vector<double>{2, 8, 24});
  CHECK(all[1].item<float>() == 8);
  CHECK(all[2].item<int>() == 3);
  const auto drawn = doubles(all[3]);
  for (size_t i = 1; i < drawn.size(); ++i) CHECK(drawn[i] != drawn[0]);  // of each pass its own
}

TEST_CASE("a function of slices that fails leaves variables as they were") {
  const auto program = [](const tf::Variable& v, const Tensor& x) {
    return tf::scan([&](Tensor a, Tensor e) { return a + v.assign_add(1.f) * tf::gather(x, tf::cast(e, tf::int32)); },
                    x, 0.f);
  };
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const tf::Variable v(1.f);
  const Tensor x = tf::placeholder(tf::float32, {-1});
  const Tensor y = program(v, x);
  const tf::Session session(graph);
  session.run(tf::global_variables_initializer());
  CHECK_ERROR(session.run(y, {{x, {0.f, 1.f, 9.f}}}), OutOfRange, "9");
  CHECK(session.run(v).item<float>() == 1);
  CHECK(doubles(session.run(y, {{x, {0.f, 1.f}}})) == std::vector<double>{0, 3});
  CHECK(session.run(v).item<float>() == 3);
}

TEST_CASE("what loops over slices cannot do is said, in both modes") {
  using enum tf::Code;
  const auto check = [](const std::function<Tensor()>& f, tf::Code code, const std::string& words) {
    for (const bool eager : {true, false}) {
      std::string what = "no error";
      std::string came;
      try {
        if (eager) {
          tf::eagerly(f);
        } else {
          const tf::Graph graph;
          const auto scope = graph.as_default();
          tf::Session(graph).run(f());
        }
      } catch (const tf::Error& e) {
        what = e.what();
        came = name_of(e.code());
      }
      INFO((eager ? "eager: " : "deferred: ") << what);
      CHECK(came == name_of(code));
      CHECK(what.find(words) != std::string::npos);
      CHECK(what.find("loops_test.cc:") != std::string::npos);
    }
  };
  const auto two = [] { return tf::constant({1.f, 2.f}); };
  const auto add = [](Tensor a, Tensor b) { return a + b; };
  check(
      [&] {
        return tf::map_fn(add, std::tuple{two(), tf::constant({1.f, 2.f, 3.f})});
      },
      InvalidArgument, "map_fn() goes over tensors of one length, but number 0 has 2 slices and number 1 has 3");
  check([&] { return tf::scan(add, tf::constant(1.f), 0.f); }, InvalidArgument,
        "scan() goes over slices, and a scalar has none");
  check(
      [&] {
        return tf::fold(add, tf::zeros({0, 2}));
      },
      InvalidArgument, "fold() without an initial value begins with a slice, and there is none");
  check([&] { return tf::scan([](Tensor a, Tensor) { return tf::cast(a, tf::int32); }, two(), 0.f); }, InvalidArgument,
        "The function of scan() returned int32 as result 0, which began with float32");
  check([&] { return tf::map_fn([](Tensor v) { return v; }, Tensor()); }, InvalidArgument, "None");
  check([&] { return tf::map_fn([](Tensor) { return Tensor(); }, two()); }, InvalidArgument, "None");
  check(
      [&] {
        return tf::scan(
            [](const std::vector<Tensor>& a, Tensor) {
              return std::vector{a[0], a[0]};
            },
            two(), std::vector{two()})[0];
      },
      InvalidArgument, "The function of scan() returned 2 tensors, but its initial value has 1");
  check(
      [&] {
        return tf::scan(
            [](Tensor a, Tensor v) {
              return tf::concat({a, tf::reshape(v, {1})}, 0);
            },
            two(), std::vector{0.f});
      },
      InvalidArgument, "scan() needs elements of one shape, but has some of (2,) and of (3,)");
  check(
      [&] {
        const tf::TensorArray a = tf::TensorArray(tf::float32, 2).unstack(two());
        return tf::map_fn([](tf::TensorArray a) { return a.read(0); }, a);
      },
      InvalidArgument, "map_fn() goes over tensors, not over a TensorArray");
}

TEST_CASE("a function of slices gives as many results at each pass") {
  const tf::EagerMode eager;
  size_t calls = 0;
  CHECK_ERROR(tf::map_fn([&](Tensor v) { return std::vector<Tensor>(++calls, v); }, tf::tensor({1.f, 2.f})),
              InvalidArgument, "The function of map_fn() returned 2 tensors after it had returned 1");
  int dtypes = 0;
  CHECK_ERROR(tf::map_fn([&](Tensor v) { return tf::cast(v, ++dtypes == 1 ? tf::float32 : tf::int32); },
                         tf::tensor({1.f, 2.f})),
              InvalidArgument, "The function of map_fn() returned int32 as result 0, which was before float32");
}

TEST_CASE("gradients of scan, fold and map_fn") {
  check_gradients([](const Tensor& x, const tf::Variable& w) {
    const Tensor s = tf::scan([&](Tensor a, Tensor v) { return tf::tanh(a * v + w); }, x, x * x);
    const auto [p, q] = tf::map_fn(
        [&](Tensor v, Tensor u) {
          return std::tuple{v * u, tf::sum(u * w)};
        },
        std::tuple{x, s});
    const Tensor f = tf::fold([&](Tensor a, Tensor v) { return a * 0.5 + v * w[1]; }, s, tf::sin(x), {.reverse = true});
    return tf::sum(s * s) + tf::sum(p * p) + tf::sum(q * x) + tf::sum(f * f);
  });
}

TEST_CASE("gradients of loops over slices within loops and branches") {
  check_gradients([](const Tensor& x, const tf::Variable& w) {
    const auto [i, s] = tf::while_loop(
        [](Tensor i, Tensor) { return i < 3; },
        [&](Tensor i, Tensor s) {
          const Tensor next = tf::map_fn(
              [&](Tensor v) {
                return tf::cond(
                    v > 0, [&] { return tf::fold([&](Tensor a, Tensor u) { return a * 0.7 + u * v; }, w, v); },
                    [&] { return v * v; });
              },
              s);
          return std::tuple{i + 1, tf::tanh(next)};
        },
        std::tuple{0, x});
    return tf::sum(s * s * w);
  });
}

TEST_CASE("loops over slices are linear in their number, as their gradients are, to second order") {
  // Every op of a run, by a ledger that counts what is done in both modes.
  const auto ops = [](int n, bool eager) {
    const auto program = [n] {
      const Tensor x = tf::constant(std::vector<float>(static_cast<size_t>(n), 0.5f));
      tf::GradientTape outer, inner;
      outer.watch(x);
      inner.watch(x);
      const Tensor s = tf::scan([](Tensor a, Tensor v) { return tf::tanh(a * v + 1.f); }, x, 1.f);
      const Tensor m = tf::map_fn([&](Tensor v, Tensor u) { return v * u; }, std::tuple{x, s});
      const Tensor d = inner.gradient(tf::sum(s * s) + tf::sum(m * m), {x})[0];
      return outer.gradient(tf::sum(d * d), {x})[0];
    };
    tf::Ledger ledger;
    if (eager) {
      const auto recording = ledger.record();
      tf::eagerly(program);
    } else {
      const tf::Graph graph;
      const auto scope = graph.as_default();
      const Tensor y = program();
      const tf::Session session(graph);
      session.run(y);  // plans, and what is folded
      const auto recording = ledger.record();
      session.run(y);
    }
    int64_t calls = 0;
    for (const auto& [name, op] : ledger.ops()) calls += op.calls;
    return calls;
  };
  for (const bool eager : {true, false}) {
    const int64_t first = ops(20, eager), second = ops(40, eager), third = ops(60, eager);
    INFO(first << ", " << second << ", " << third);
    CHECK(second > first);
    CHECK(third - second == second - first);
  }
}
