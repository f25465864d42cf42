// case_of and switch_case.
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

TEST_CASE("case_of does what belongs to the first true predicate") {
  const auto program = [](const Tensor& x) {
    return tf::case_of({{x < 0,
                         [&] {
                           return std::tuple{x * 10, 1};
                         }},
                        {x < 10,
                         [&] {
                           return std::tuple{x * 100, x};
                         }},
                        {x < 20,
                         [&] {
                           return std::tuple{-x, x};
                         }}},
                       [&] {
                         return std::tuple{x, x};
                       });
  };
  const std::map<int, std::pair<int, int>> expected{{-3, {-30, 1}}, {3, {300, 3}}, {13, {-13, 13}}, {30, {30, 30}}};
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::int32, {});
  const auto [a, b] = program(x);
  for (const auto& [given, results] : expected) {
    const auto [eager_a, eager_b] = tf::eagerly([&] { return program(tf::tensor(given)); });
    CHECK(eager_a.item<int>() == results.first);
    CHECK(eager_b.item<int>() == results.second);
    for (const bool optimize : {false, true}) {
      const auto [deferred_a, deferred_b] = tf::Session(graph, {.optimize = optimize}).run({a, b}, {{x, given}});
      CHECK(deferred_a.item<int>() == results.first);
      CHECK(deferred_b.item<int>() == results.second);
    }
  }
}

TEST_CASE("switch_case does what its number says, the last where there is none of it") {
  const auto all = in_both_modes([] {
    std::vector<Tensor> all;
    for (const int i : {0, 1, 2, 3, 4, 5, -1, 99}) {
      const Tensor index = tf::constant(i);
      all.push_back(tf::switch_case(
          index, [] { return 10; }, [&] { return index + 20; }, [] { return tf::constant(30); }, [] { return 40; },
          [&] { return index * 0 + 50; }));
      all.push_back(tf::switch_case(
          tf::cast(index, tf::int64), [&] { return index; }, [&] { return index * 2; }));
    }
    all.push_back(tf::switch_case(tf::constant(3), [] { return 7; }));
    return all;
  });
  const std::vector<int> first{10, 21, 30, 40, 50, 50, 50, 50}, second{0, 2, 4, 6, 8, 10, -2, 198};
  for (size_t i = 0; i < first.size(); ++i) {
    CHECK(all[2 * i].item<int>() == first[i]);
    CHECK(all[2 * i + 1].item<int>() == second[i]);
  }
  CHECK(all.back().item<int>() == 7);
}

TEST_CASE("cases may do things and return nothing") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::int32, {});
  const tf::Variable v(0), u(0);
  const tf::Operation cases =
      tf::case_of({{x > 5, [&] { v.assign(x); }}, {x > 2, [&] { v.assign_add(100); }}}, [&] { v.assign(-1); });
  const tf::Operation picks = tf::switch_case(
      x, [&] { u.assign(1); }, [&] { u.assign_add(x); }, [&] { u.assign(-2); });
  const tf::Session session(graph);
  session.run(tf::global_variables_initializer());
  const auto v_after = [&](int given) {
    session.run(cases, {{x, given}});
    return session.run(v).item<int>();
  };
  CHECK(v_after(7) == 7);
  CHECK(v_after(3) == 107);
  CHECK(v_after(0) == -1);
  const auto u_after = [&](int given) {
    session.run(picks, {{x, given}});
    return session.run(u).item<int>();
  };
  CHECK(u_after(0) == 1);
  CHECK(u_after(1) == 2);
  CHECK(u_after(2) == -2);
  CHECK(u_after(-5) == -2);
}

TEST_CASE("gradients of cases") {
  for (const double bound : {-100.0, 0.0, 100.0}) {
    check_gradients([&](const Tensor& x, const tf::Variable& w) {
      const Tensor y = tf::case_of({{tf::sum(x) < bound, [&] { return x * w * x; }},
                                    {tf::sum(x) < bound + 50, [&] { return tf::sin(x) + w * w; }}},
                                   [&] { return tf::exp(x * 0.5) * w; });
      const Tensor number = tf::cast(tf::constant(bound, {.dtype = tf::float64}) / 50.0 + 1.0, tf::int32);
      return tf::sum(y * tf::switch_case(
                             number, [&] { return y * x; }, [&] { return w * y; }, [&] { return tf::tanh(y); }));
    });
  }
}

TEST_CASE("cases that cannot be are refused") {
  const auto x = [] { return tf::constant({1.f, 2.f}); };
  for (const bool eager : {true, false}) {
    const auto in_mode = [&](auto f) {
      const tf::Graph graph;
      const auto scope = graph.as_default();
      return eager ? tf::eagerly(f) : tf::deferred(f);
    };
    CHECK_ERROR(in_mode([&] { return tf::case_of({}, x); }), InvalidArgument, "case_of() was given no case");
    CHECK_ERROR(in_mode([&] {
                  return tf::case_of({{tf::constant(1), x}}, x);
                }),
                InvalidArgument, "expected type of bool");
    CHECK_ERROR(in_mode([&] { return tf::switch_case(1.5, x, x); }), InvalidArgument,
                "by an int32 or int64 number, not by float32");
    CHECK_ERROR(in_mode([&] {
                  return tf::switch_case(tf::constant({1, 2}), x, x);
                }),
                InvalidArgument, "by a scalar, not by a tensor of shape (2,)");
  }
}
