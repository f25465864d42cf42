// Branches.
#include <twofold/twofold.h>

#include <functional>
#include <string>
#include <vector>

#include <twofold/graph/body.h>
#include <twofold/graph/graph_data.h>

#include "both_modes.h"
#include "errors.h"

namespace tf = twofold;
using testing::doubles;
using testing::in_both_modes;
using tf::Tensor;

TEST_CASE("cond takes the branch that holds") {
  const auto result = in_both_modes([] {
    const Tensor x = tf::constant({1.5, -2.0});
    std::vector<Tensor> all;
    for (const double bound : {-10.0, 10.0}) {
      const Tensor p = tf::sum(x) > bound;
      all.push_back(tf::cond(p, [&] { return x * 2; }, [&] { return x - 1; }));
      const auto [a, b] =
          tf::cond(p, [&] { return std::tuple{x, tf::sum(x)}; }, [&] { return std::tuple{-x, tf::sum(x * x)}; });
      all.insert(all.end(), {a, b});
      const std::array<Tensor, 2> pair =
          tf::cond(p, [&] { return std::array{x, x + 1}; }, [&] { return std::array{x + 2, x}; });
      all.insert(all.end(), pair.begin(), pair.end());
      const std::vector<Tensor> list =
          tf::cond(p, [&] { return std::vector{x * 3}; }, [&] { return std::vector{x * 4}; });
      all.insert(all.end(), list.begin(), list.end());
      all.push_back(tf::cond(p, [] { return 1.f; }, [] { return 0.f; }));
    }
    return all;
  });
  CHECK(doubles(result[0]) == std::vector<double>{3, -4});
  CHECK(doubles(result[2]) == std::vector<double>{-0.5});
  CHECK(doubles(result[5]) == std::vector<double>{4.5, -6});
  CHECK(doubles(result[6]) == std::vector<double>{1});
  CHECK(doubles(result[7]) == std::vector<double>{0.5, -3});
  CHECK(doubles(result[9]) == std::vector<double>{6.25});
  CHECK(doubles(result[12]) == std::vector<double>{6, -8});
  CHECK(doubles(result[13]) == std::vector<double>{0});
}

TEST_CASE("a node of cond chooses anew at every run") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::float32, {}), p = tf::placeholder(tf::bool_, {});
  const Tensor y = tf::cond(p, [&] { return x + 1.f; }, [&] { return x * 10.f; });
  CHECK(y.shape() == tf::Shape{});
  CHECK(y.op().type() == "If");
  CHECK(y.name() == "cond:0");
  const tf::Session session(graph);
  CHECK(session.run(y, {{x, 2.f}, {p, true}}).item<float>() == 3);
  CHECK(session.run(y, {{x, 2.f}, {p, false}}).item<float>() == 20);
  CHECK(session.run(y, {{x, 5.f}, {p, true}}).item<float>() == 6);
}

TEST_CASE("with a predicate that is a value the branch is simply called") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  int called = 0;
  const Tensor y =
      tf::cond(tf::tensor(true), [&] { return ++called, tf::tensor(3) + 1; }, [&] { return ++called, tf::tensor(0); });
  CHECK(called == 1);
  CHECK(y.item<int>() == 4);
  CHECK(tf::cond(false, [] { return tf::tensor(1); }, [] { return tf::tensor(2); }).item<int>() == 2);
  CHECK(graph.num_operations() == 0);
}

TEST_CASE("effects in a branch happen when it runs, and only then") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const tf::Variable v(1.f, {.name = "v"}), unset(5.f, {.name = "unset"});
  const Tensor p = tf::placeholder(tf::bool_, {});
  const Tensor y = tf::cond(p, [&] { return v.assign_add(10.f); }, [&] { return unset + v; });
  const tf::Operation only = tf::cond(p, [&] { v.assign(0.f); }, [&] { tf::group({v.assign_add(1.f)}); });
  for (const bool optimize : {false, true}) {
    const tf::Session session(graph, {.optimize = optimize});
    session.run(v.initializer());
    CHECK(session.run(y, {{p, true}}).item<float>() == 11);  // the branch not taken reads what has no value yet
    CHECK_ERROR(session.run(y, {{p, false}}), FailedPrecondition, "uninitialized value unset");
    CHECK(session.run(v).item<float>() == 11);
    session.run(only, {{p, false}});
    CHECK(session.run(v).item<float>() == 12);
    session.run(only, {{p, true}});
    CHECK(session.run(v).item<float>() == 0);
  }
}

TEST_CASE("shapes of branches are known as far as they agree") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor p = tf::placeholder(tf::bool_), x = tf::placeholder(tf::float32, {2, 3});
  const auto [a, b, c] = tf::cond(
      p, [&] { return std::tuple{x, x, x}; }, [&] { return std::tuple{x + 1.f, tf::concat({x, x}, 0), tf::sum(x)}; });
  CHECK(a.shape() == tf::Shape{2, 3});
  CHECK(b.shape() == tf::Shape{-1, 3});
  CHECK(c.shape() == tf::unknown_shape);
}

TEST_CASE("mistakes with cond are told") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::float32, {2}), any = tf::placeholder(tf::bool_);
  const Tensor p = tf::sum(x) > 0.f;
  const auto same = [&] { return x; };
  CHECK_ERROR(tf::cond(x, same, same), InvalidArgument,
              "Input 'pred' of 'If' Op has type float32 that does not match expected type of bool.");
  CHECK_ERROR(tf::cond(1, same, same), InvalidArgument, "has type int32");
  CHECK_ERROR(tf::cond(x > 0.f, same, same), InvalidArgument,
              "Shape must be rank 0 but is rank 1 for 'cond' (op: 'If') with input shapes: [2].");
  CHECK_ERROR(tf::cond(
                  p, [&] { return std::vector{x, x}; }, [&] { return std::vector{x}; }),
              InvalidArgument, "then returned 2, else 1");
  CHECK_ERROR(tf::cond(p, same, [&] { return tf::cast(x, tf::int32); }), InvalidArgument,
              "then returned float32, else int32");
  CHECK_ERROR(tf::cond(p, same, [&] { return Tensor(); }), InvalidArgument, "None");
  CHECK_ERROR(tf::cond(p, [&] { return tf::Variable(x).read(); }, same), FailedPrecondition, "make it before the body");
  CHECK_ERROR(tf::cond(
                  p, [&] { return tf::placeholder(tf::float32, {2}); }, same),
              FailedPrecondition, "placeholder was made in the body");
  const Tensor y = tf::cond(any, same, [&] { return x + 1.f; });
  const tf::Session session(graph);
  CHECK_ERROR(session.run(y, {{x, {1.f, 2.f}}, {any, std::vector<float>{}}}), InvalidArgument, "");
  CHECK_ERROR(session.run(y, {{x, {1.f, 2.f}}, {any, tf::tensor({true, false})}}), InvalidArgument,
              "Shape must be rank 0 but is rank 1");

  tf::EagerMode eager;
  const Tensor v = tf::constant({1.f, 2.f});
  CHECK_ERROR(tf::cond(v > 0.f, [&] { return v; }, [&] { return v; }), InvalidArgument, "Shape must be rank 0");
  CHECK_ERROR(tf::cond(p, [&] { return v; }, [&] { return v; }), FailedPrecondition, "is not allowed");
}

TEST_CASE("a branch's tensor that is used outside is an error naming both lines") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::float32, {});
  const Tensor p = x > 0.f;
  Tensor leaked;
  int made = 0;
  tf::cond(
      p,
      [&] {
        made = __LINE__ + 1;
        leaked = x * 2.f;
        return leaked;
      },
      [&] {
        // A branch is outside of the other one, too.
        CHECK_ERROR(leaked + 1.f, InvalidArgument, "belongs to the body of a cond");
        return x;
      });
  const int used = __LINE__ + 2;
  try {
    leaked + 1.f;
    FAIL("no error");
  } catch (const tf::Error& e) {
    const std::string text = e.what();
    INFO(text);
    CHECK(e.code() == tf::Code::InvalidArgument);
    CHECK(text.find("belongs to the body of a cond") != text.npos);
    CHECK(text.find("control_flow_cond_test.cc:" + std::to_string(made)) != text.npos);
    CHECK(text.find("control_flow_cond_test.cc:" + std::to_string(used)) != text.npos);
  }
  const tf::Session session(graph);
  CHECK_ERROR(session.run(leaked, {{x, 1.f}}), InvalidArgument, "control_flow_cond_test.cc:" + std::to_string(made));
}

TEST_CASE("a body's tensor is refused by everything outside, naming its line") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::float32, {});
  Tensor leaked;
  const std::string made = "control_flow_cond_test.cc:" + std::to_string(__LINE__ + 1);
  const Tensor y = tf::cond(x > 0.f, [&] { return leaked = x * 2.f; }, [&] { return x; });
  const tf::Session session(graph);
  const tf::Variable v(1.f);
  for (const auto& use : std::vector<std::function<void()>>{
           [&] { session.run({y, leaked}, {{x, 1.f}}); }, [&] { session.run(y, {{x, 1.f}, {leaked, 1.f}}); },
           [&] { session.make_callable(leaked, {x}); }, [&] { tf::ControlDependencies guard({leaked}); },
           [&] { tf::group({leaked}); }, [&] { tf::with_effects(x, {leaked}); }, [&] { tf::with_effects(leaked, {}); },
           [&] { tf::gradients(leaked, {x}); }, [&] { tf::gradients(y, {leaked}); }, [&] { tf::Variable w(leaked); },
           [&] { v.assign(leaked); }, [&] { tf::print(leaked); },
           [&] { tf::cond(x > 1.f, [&] { return leaked; }, [&] { return x; }); },
           [&] { tf::while_loop([](Tensor t) { return t < 1.f; }, [](Tensor t) { return t + 1.f; }, leaked); }}) {
    CHECK_ERROR((use(), 0), InvalidArgument, "belongs to the body of a cond");
    CHECK_ERROR((use(), 0), InvalidArgument, made);
  }
}

TEST_CASE("a body whose making failed leaves all guards as they were, and its tensors are refused") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::float32, {});
  Tensor leaked;
  const auto fails = [&]() -> Tensor {
    leaked = tf::executing_eagerly() ? tf::ones({}) : x * 2.f;
    const auto name = tf::name_scope("inside");
    const auto device = tf::device("/cpu:0");
    const auto after = tf::control_dependencies({leaked});
    tf::GradientTape tape;
    tf::EagerMode eager;
    throw 42;
  };
  const std::vector<std::function<void()>> programs = {
      [&] { tf::cond(x > 0.f, fails, fails); },
      [&] { tf::cond(x > 0.f, [&] { return x; }, fails); },
      [&] { tf::while_loop([](Tensor t) { return t < 1.f; }, [&](Tensor) { return fails(); }, x); },
      [&] { tf::while_loop([&](Tensor) { return fails() < 1.f; }, [](Tensor t) { return t; }, x); },
      [&] {
        auto step = tf::step([&](Tensor) { return fails(); });
        step(1.f);
      },
      [&] {
        tf::eagerly([&] {
          tf::GradientTape tape;
          return tf::cond(true, fails, fails);
        });
      },
      [&] {
        tf::eagerly([&] {
          auto step = tf::step([&](Tensor) { return fails(); });
          step(1.f);
        });
      }};
  for (const auto& program : programs) {
    int thrown = 0;
    try {
      program();
    } catch (int number) {
      thrown = number;
    }
    CHECK(thrown == 42);
    CHECK(!tf::executing_eagerly());
    CHECK(tf::get_default_graph() == graph);
    const Tensor made = tf::constant(1);
    CHECK(made.name().find('/') == std::string::npos);
    CHECK(made.device().empty());
    CHECK(graph.data()->node(made.node()).controls.empty());
  }
  tf::Tensor from_cond;
  try {
    tf::cond(
        x > 0.f,
        [&]() -> Tensor {
          from_cond = x * 2.f;
          throw 42;
        },
        [&] { return x; });
  } catch (int) {
  }
  CHECK_ERROR(from_cond + 1.f, InvalidArgument, "belongs to the body of a cond");
  // Gradients and random numbers go on as if nothing had happened.
  tf::EagerMode eager;
  const tf::Variable v(2.f);
  tf::GradientTape tape;
  CHECK(tape.gradient(v * v, v).item<float>() == 4);
}

TEST_CASE("an effect that only a body follows is run, once for a run of its node, by handle and by name") {
  for (const bool optimize : {false, true}) {
    const tf::Graph graph;
    const auto scope = graph.as_default();
    const tf::Variable v(0);
    const Tensor p = tf::placeholder(tf::bool_, {}), up = v.assign_add(1);
    const auto followed = [&](const tf::Fetch& before) {
      const auto guard = tf::control_dependencies({before});
      return tf::constant(1) + 1;
    };
    const auto zero = [] { return tf::constant(0); };
    const std::vector<Tensor> ys = {
        tf::cond(
            p, [&] { return followed(up); }, zero),
        tf::cond(
            p, [&] { return followed(up.op().name()); }, zero),
        tf::cond(
            p, [&] { return tf::cond(p, [&] { return followed(up); }, zero); }, zero),
        tf::cond(
            p, [&] { return tf::with_effects(tf::constant(2), {up}); }, zero),
        tf::while_loop([](Tensor i) { return i < 2; }, [&](Tensor i) { return i + followed(up) - 1; }, 0),
    };
    const tf::Session session(graph, {.optimize = optimize});
    session.run(tf::global_variables_initializer());
    int expected = 0;
    for (const Tensor& y : ys) {
      CHECK(session.run(y, {{p, true}}).item<int>() == 2);
      CHECK(session.run(v).item<int>() == ++expected);
    }
  }
}

TEST_CASE("with_effects belongs to its value's graph") {
  const tf::Graph first, second;
  Tensor y, up;
  {
    const auto scope = first.as_default();
    const tf::Variable v(0, {.name = "v"});
    y = tf::constant(5), up = v.assign_add(1);
  }
  const auto scope = second.as_default();
  const auto name = tf::name_scope("elsewhere");
  const Tensor both = tf::with_effects(y, {up});
  CHECK(both.name() == "with_effects:0");
  const tf::Session session(first);
  session.run("v/Assign");
  CHECK(session.run(both).item<int>() == 5);
  CHECK(session.run("v:0").item<int>() == 1);
  const tf::Variable w(0);
  CHECK_ERROR(tf::with_effects(y, {w.assign_add(1)}), InvalidArgument, "is not an element of this graph");
}

TEST_CASE("bodies are attributes by identity") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::float32, {});
  const auto node = [&] {
    const Tensor y = tf::cond(x > 0.f, [&] { return x + 1.f; }, [&] { return x; });
    return graph.data()->node(y.node()).attrs_view().as<tf::IfAttrs>();
  };
  const tf::IfAttrs a = node(), b = node();
  const tf::AttrsView view(a);
  CHECK(view == tf::AttrsView(a));
  CHECK(!(view == tf::AttrsView(b)));
  CHECK(view.hash() != tf::AttrsView(b).hash());
  CHECK(view.str().find("then_body=cond of ") != std::string::npos);
  for (size_t field = 0; field < view.type()->field_count; ++field) {
    tf::IfAttrs changed = a;
    view.type()->perturb(&changed, field);
    CHECK(!(view == tf::AttrsView(changed)));
    CHECK(view.hash() != tf::AttrsView(changed).hash());
  }
}
