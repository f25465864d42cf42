// The thirteen semantics of TensorFlow 1 that are kept, one test each, in the design's order and words.
#include <array>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "both_modes.h"
#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
using tf::Shape;

namespace {
/// The message alone, without code, op, line and hint.
template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const tf::Error& e) {
    return e.message();
  }
  return "no error";
}
}  // namespace

TEST_CASE("1. Symbols and variables print as TensorFlow 1's") {
  FreshGraph fresh;
  const tf::Tensor a = tf::constant(1.f);
  CHECK(printed(a + a) == "Tensor(\"add:0\", shape=(), dtype=float32)");
  CHECK(printed(tf::placeholder(tf::int64, {-1, 2}, {.name = "x"})) == "Tensor(\"x:0\", shape=(?, 2), dtype=int64)");
  CHECK(printed(tf::placeholder(tf::bool_)) == "Tensor(\"Placeholder:0\", dtype=bool)");
  const tf::Variable w({1.f, 2.f}, {.name = "w"});
  CHECK(printed(w) == "<tf.Variable 'w:0' shape=(2,) dtype=float32>");
  tf::EagerMode eager;
  CHECK(printed(tf::Variable(3, {.name = "n"})) == "<tf.Variable 'n:0' shape=() dtype=int32 numpy=3>");
}

TEST_CASE("2. Names are made unique, scopes prefix them, and 's/' re-enters") {
  FreshGraph fresh;
  const tf::Tensor a = tf::constant(1.f, {.name = "a"});
  CHECK((a + a).name() == "add:0");
  CHECK((a + a).name() == "add_1:0");
  CHECK((a + a).name() == "add_2:0");
  {
    auto s = tf::name_scope("s");
    CHECK((a + a).name() == "s/add:0");
    CHECK((a + a).name() == "s/add_1:0");
    auto inner = tf::name_scope("t");
    CHECK((a + a).name() == "s/t/add:0");
  }
  {
    auto s = tf::name_scope("s");
    CHECK((a + a).name() == "s_1/add:0");
  }
  {
    auto s = tf::name_scope("s/");
    CHECK((a + a).name() == "s/add_2:0");
    auto t = tf::name_scope("s_1/");
    CHECK((a + a).name() == "s_1/add_1:0");
  }
  {
    auto s = tf::name_scope("s");
    CHECK((a + a).name() == "s_2/add:0");
    auto root = tf::name_scope("");
    CHECK((a + a).name() == "add_3:0");
  }
  CHECK(tf::constant(1, {.name = "a"}).name() == "a_1:0");
  CHECK(tf::constant(1, {.name = "add_5"}).name() == "add_5:0");
  CHECK((a + a).name() == "add_4:0");
  CHECK((a + a).name() == "add_6:0");
}

TEST_CASE("2. named gives any op its name, and counts others as if that op had not been") {
  FreshGraph fresh;
  const tf::Tensor a = tf::constant(1.f, {.name = "a"});
  const auto sum = [&] { return a + a; };
  CHECK(tf::named("scores", sum).name() == "scores:0");
  CHECK(tf::named("scores", sum).name() == "scores_1:0");
  CHECK((a + a).name() == "add:0");
  CHECK(tf::named("add", sum).name() == "add_1:0");
  CHECK(tf::named("add_7", sum).name() == "add_7:0");
  // A name that another has got by a number is taken too, in whichever order they come.
  CHECK(tf::named("add_7", sum).name() == "add_7_1:0");
  CHECK(tf::named("scores_1", sum).name() == "scores_1_1:0");
  CHECK(tf::named("scores_01", sum).name() == "scores_01:0");
  CHECK(tf::Variable(1.f, {.name = "v"}).name() == "v:0");
  CHECK(tf::Variable(1.f, {.name = "v"}).name() == "v_1:0");
  CHECK(tf::Variable(1.f, {.name = "v_1"}).name() == "v_1_1:0");
  CHECK((a + a).name() == "add_2:0");

  // The op that makes the result; others on the way keep their names.
  tf::Tensor product;
  const tf::Tensor shifted = tf::named("shifted", [&] { return (product = a * a) + 1.f; });
  CHECK((shifted.name() == "shifted:0" && product.name() == "mul:0"));
  CHECK((shifted.op().type() == "Add" && (a + a).name() == "add_3:0"));
  tf::Tensor first;
  CHECK(tf::named("second", [&] { return first = a - a, a - a; }).name() == "second:0");
  CHECK((first.name() == "sub:0" && (a - a).name() == "sub_1:0"));

  // Scopes stand before it, and may be part of it.
  {
    auto scope = tf::name_scope("s");
    CHECK(tf::named("x", sum).name() == "s/x:0");
    CHECK(tf::named("t/x", sum).name() == "s/t/x:0");
  }

  // Nests, operations, and one op with several outputs.
  const auto both = tf::named("b", [&] { return std::tuple(a + a, std::vector{a - a, a * a}); });
  CHECK((std::get<0>(both).name() == "b:0" && std::get<1>(both)[0].name() == "b_1:0"));
  CHECK(std::get<1>(both)[1].name() == "b_2:0");
  CHECK(tf::named("all", [&] { return tf::group({a}); }).name() == "all");
  CHECK(tf::named("m", [&] { return std::map<std::string, tf::Tensor>{{"k", a + a}}; }).at("k").name() == "m:0");

  // What was made before, and what has such a name already, stays what it is.
  const tf::Tensor same = tf::named("same", [&] { return a; });
  CHECK((same.name() == "same:0" && same.op().type() == "Identity" && a.name() == "a:0"));
  const auto twice = tf::named("twice", [&] { return std::array{shifted + a, a}; });
  CHECK((twice[0].name() == "twice:0" && twice[1].name() == "twice_1:0"));
  CHECK(tf::named("done", [&] { return tf::named("inner", sum); }).name() == "done:0");

  // By name, be it looked up before: the graph has them under the names that they have now.
  const tf::Graph graph = tf::get_default_graph();
  tf::Tensor found;
  const tf::Tensor late = tf::named("late", [&] {
    const tf::Tensor made = a / a;
    found = graph.tensor(made.name());
    return made;
  });
  CHECK((found.same_as(late) && graph.tensor("late:0").same_as(late)));
  CHECK_ERROR(graph.tensor("truediv:0"), NotFound, "truediv");
  CHECK(tf::Session().run("shifted:0").item<float>() == 2);
  CHECK(tf::Session().run("same:0").item<float>() == 1);

  // In a branch it is the branch's op.
  std::string inside;
  tf::cond(
      tf::placeholder(tf::bool_), [&] { return inside = tf::named("taken", sum).name(), a; }, [&] { return a; });
  CHECK(inside == "taken:0");

  const int64_t nodes = graph.num_operations();
  CHECK_ERROR(tf::named("no name", sum), InvalidArgument, "'no name' is not a valid node name");
  CHECK_ERROR(tf::named("", sum), InvalidArgument, "'' is not a valid node name");
  CHECK(graph.num_operations() == nodes);  // it was not called
  const tf::Graph other;
  CHECK_ERROR(tf::named("o",
                        [&] {
                          return tf::deferred([&] {
                            auto in = other.as_default();
                            return tf::constant(1.f);
                          });
                        }),
              InvalidArgument, "is of another graph");
}

TEST_CASE("2. named changes no numbers, and values have no names") {
  const auto draw = [](bool with_name) {
    FreshGraph fresh;
    tf::set_random_seed(3);
    const auto drawn = [] { return tf::random_uniform({3}); };
    const tf::Tensor x = with_name ? tf::named("noise", drawn) : drawn(), y = tf::random_uniform({3});
    return x.is_concrete() ? std::array{x, y} : tf::Session().run({x, y});
  };
  for (const auto mode : {+[](const std::function<void()>& f) { tf::eagerly(f); },
                          +[](const std::function<void()>& f) { tf::deferred(f); }}) {
    mode([&] {
      const auto plain = draw(false), named = draw(true);
      for (int i = 0; i < 2; ++i)
        CHECK(printed(plain[static_cast<size_t>(i)]) == printed(named[static_cast<size_t>(i)]));
    });
  }
  // Gradients are summed as if there were no names: 1e8, 1 and -1e8 in the order of the text.
  for (const bool in_branch : {false, true})
    testing::in_both_modes([&] {
      const tf::Tensor x = tf::constant(1.f);
      tf::GradientTape tape;
      tape.watch(x);
      const auto f = [&] {
        const tf::Tensor y = x * 1.f, z = tf::named("z", [&] { return y; });
        return z * 1e8f + y * 1.f + z * -1e8f;
      };
      return std::vector{tape.gradient(in_branch ? tf::cond(x > 0.f, f, f) : f(), x)};
    });
  tf::EagerMode eager;
  const tf::Tensor v = tf::tensor(2.f);
  const tf::Tensor twice = tf::named("twice", [&] { return v * 2.f; });
  CHECK_ERROR(tf::named("not a name", [&] { return v; }), InvalidArgument, "'not a name' is not a valid node name");
  CHECK_ERROR(tf::name_scope("not a name"), InvalidArgument, "'not a name' is not a valid scope name");
  CHECK((twice.name().empty() && twice.item<float>() == 4));
  CHECK(tf::named("v", [&] { return v; }).same_as(v));
  tf::DeferredMode deferred;
  CHECK(tf::named("v", [&] { return v * 2.f; }).is_concrete());  // all its operands are values
}

TEST_CASE("3. Shapes are inferred at construction; graphs do not mix") {
  FreshGraph fresh;
  const tf::Tensor a = tf::placeholder(tf::float32, {3, 2}), b = tf::placeholder(tf::float32, {3, 4});
  CHECK(message_of([&] { tf::matmul(a, b); }) ==
        "Dimensions must be equal, but are 2 and 3 for 'MatMul' (op: 'MatMul') with input shapes: [3,2], [3,4].");
  CHECK(tf::matmul(a, tf::placeholder(tf::float32, {2, -1})).shape() == Shape{3, -1});
  const tf::Graph other;
  tf::Tensor foreign;
  {
    auto scope = other.as_default();
    foreign = tf::constant(1.f, {.name = "foreign"});
  }
  const std::string mixed = message_of([&] { a + foreign; });
  CHECK(mixed.find("Tensor(\"foreign:0\", shape=(), dtype=float32)") != std::string::npos);
  CHECK(mixed.find("Tensor(\"Placeholder:0\", shape=(3, 2), dtype=float32)") != std::string::npos);
  CHECK(mixed.find("must be from the same graph as") != std::string::npos);
}

TEST_CASE("4. Any tensor may be fed, with a value that fits, once") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32, {-1, 2}, {.name = "x"});
  const tf::Tensor c = tf::constant(2.f, {.name = "c"}), y = c * 3.f, z = y + 1.f;
  tf::Session session;
  CHECK(session.run(z, {{c, 5.f}}).item<float>() == 16);
  CHECK(session.run(z, {{y, 5.f}}).item<float>() == 6);
  CHECK(session.run(z, {{z, 5.f}}).item<float>() == 5);
  CHECK(message_of([&] { session.run(x, {{x, {1.f, 2.f, 3.f}}}); }) ==
        "Cannot feed value of shape (3,) for Tensor 'x:0', which has shape '(?, 2)'");
  CHECK(message_of([&] { session.run(z, {{y, c}}); }).find("The value of a feed cannot be a symbolic Tensor") == 0);
  const tf::Graph other;
  tf::Tensor foreign;
  {
    auto scope = other.as_default();
    foreign = tf::placeholder(tf::float32, {}, {.name = "elsewhere"});
  }
  CHECK(message_of([&] { session.run(z, {{foreign, 1.f}}); }) ==
        "Feed key Tensor(\"elsewhere:0\", shape=(), dtype=float32) is not an element of this graph.");
  CHECK(message_of([&] { session.run(z, {{y, 1.f}, {y, 2.f}}); }) == "'mul:0' is fed twice in one run");
  CHECK(message_of([&] { session.run(z, {{y, 1.f}, {"mul:0", 2.f}}); }) == "'mul:0' is fed twice in one run");
}

TEST_CASE("5. A feed cuts the graph; feed and fetch of one tensor gives the fed value") {
  FreshGraph fresh;
  const tf::Variable counter(0);
  const tf::Tensor produced = counter.assign_add(1), used = produced * 10;
  tf::Session session;
  session.run(tf::global_variables_initializer());
  CHECK(session.run(used).item<int32_t>() == 10);
  CHECK(session.run(used, {{produced, 7}}).item<int32_t>() == 70);
  CHECK(session.run(counter).item<int32_t>() == 1);  // the producer did not run
  CHECK(session.run(produced, {{produced, 5}}).item<int32_t>() == 5);
  CHECK(session.run(counter).item<int32_t>() == 1);
  const tf::Tensor never = tf::placeholder(tf::float32, {}, {.name = "never"}), after = never + 1.f;
  CHECK(session.run(after, {{after, 2.f}}).item<float>() == 2);
}

TEST_CASE("6. A placeholder must be fed, only if it is needed") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32, {-1, 2}, {.name = "x"});
  const tf::Tensor needs = x * 2.f, free = tf::constant(1.f) + 1.f;
  tf::Session session;
  CHECK(message_of([&] { session.run(needs); }) ==
        "You must feed a value for placeholder tensor 'x' with dtype float32 and shape [?,2]");
  CHECK(message_of([&] { session.run(x); }) ==
        "You must feed a value for placeholder tensor 'x' with dtype float32 and shape [?,2]");
  CHECK(session.run(free).item<float>() == 2);
  CHECK(message_of([&] { session.run(tf::placeholder(tf::bool_, tf::unknown_shape, {.name = "u"})); }) ==
        "You must feed a value for placeholder tensor 'u' with dtype bool");
}

TEST_CASE("7. Fetches nest, are deduplicated, and may be names") {
  FreshGraph fresh;
  const tf::Variable counter(0, {.name = "counter"});
  const tf::Tensor next = counter.assign_add(1);
  tf::Session session;
  session.run(tf::global_variables_initializer());
  const auto [a, map] =
      session.run(std::tuple{next, std::map<std::string, std::vector<tf::Tensor>>{{"n", {next, next}}}});
  CHECK((a.item<int32_t>() == 1 && map.at("n")[0].item<int32_t>() == 1 && map.at("n")[1].item<int32_t>() == 1));
  const auto by_name = session.run({"counter:0", next.name().c_str()});
  CHECK((by_name[0].item<int32_t>() == 2 && by_name[1].item<int32_t>() == 2));
  CHECK(message_of([&] { session.run("nothing:0"); }) ==
        "The name 'nothing:0' refers to a Tensor which does not exist. The operation, 'nothing', does not exist in the "
        "graph.");
  CHECK(message_of([&] { session.run("nothing"); }) == "The name 'nothing' refers to an Operation not in the graph.");
}

TEST_CASE("8. Variables live in the session") {
  FreshGraph fresh;
  const tf::Variable w(3.f, {.name = "w"});
  const tf::Tensor y = w * 2.f, next = w.assign_add(1.f);
  tf::Session first, second;
  CHECK(message_of([&] { first.run(y); }) == "Attempting to use uninitialized value w");
  first.run(tf::global_variables_initializer());
  first.run(next);
  CHECK(first.run(y).item<float>() == 8);
  for (const tf::Tensor& t : {y, next})
    CHECK(message_of([&] { second.run(t); }) == "Attempting to use uninitialized value w");
  CHECK(message_of([&] { second.run(w); }) == "Attempting to use uninitialized value w");
  // Known shape or not, read or assigned to: one error with one advice.
  const tf::Variable u(std::vector<float>{1, 2}, {.name = "u", .shape = tf::Shape{-1}});
  for (const tf::Tensor& t : {u * 2.f, u.assign_add(1.f), u.assign_sub(1.f), w.assign_sub(1.f)})
    CHECK_ERROR(second.run(t), FailedPrecondition,
                "session.run(tf::global_variables_initializer()), or, to leave others as they are");
  second.run(tf::global_variables_initializer());
  CHECK(second.run(y).item<float>() == 6);
  CHECK(first.run(y).item<float>() == 8);
}

TEST_CASE("9. Control dependencies bind only ops made inside, nest as a union, and are cleared by none") {
  FreshGraph fresh;
  const tf::Variable a(0, {.name = "a"}), b(0, {.name = "b"});
  const tf::Tensor add_a = a.assign_add(1), add_b = b.assign_add(1), outside = tf::constant(5);
  tf::Tensor bound, both, cleared, untouched;
  {
    auto after_a = tf::control_dependencies({add_a});
    bound = tf::constant(1) + 1;
    untouched = outside;
    {
      auto after_b = tf::control_dependencies({add_b});
      both = tf::constant(2) + 2;
      auto none = tf::control_dependencies({});
      cleared = tf::constant(3) + 3;
    }
  }
  const tf::Tensor later = tf::constant(4) + 4;
  tf::Session session;
  session.run(tf::global_variables_initializer());
  const auto counts = [&](const tf::Tensor& t) {
    const int before_a = session.run(a).item<int32_t>(), before_b = session.run(b).item<int32_t>();
    session.run(t);
    return std::pair(session.run(a).item<int32_t>() - before_a, session.run(b).item<int32_t>() - before_b);
  };
  CHECK(counts(bound) == std::pair(1, 0));
  CHECK(counts(both) == std::pair(1, 1));
  CHECK(counts(cleared) == std::pair(0, 0));
  CHECK(counts(untouched) == std::pair(0, 0));
  CHECK(counts(later) == std::pair(0, 0));
}

TEST_CASE("10. Finalized graphs, closed sessions and empty graphs say so") {
  FreshGraph fresh;
  tf::Session session;
  CHECK(message_of([&] { session.run("x:0"); }) ==
        "The Session graph is empty. Add operations to the graph before calling run().");
  const tf::Tensor y = tf::constant(1.f) + 1.f;
  fresh.graph.finalize();
  CHECK(message_of([&] { y + 1.f; }) == "Graph is finalized and cannot be modified.");
  CHECK(fresh.graph.num_operations() == 3);
  CHECK(session.run(y).item<float>() == 2);
  session.close();
  CHECK(message_of([&] { session.run(y); }) == "Attempted to use a closed Session.");
}

TEST_CASE("11. gradients sums over ys; what is unconnected is None") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32), z = tf::placeholder(tf::float32);
  const std::vector<tf::Tensor> d = tf::gradients({x * x, x * 3.f}, {x, z});
  CHECK(tf::Session().run(d[0], {{x, 5.f}}).item<float>() == 13);
  CHECK(!d[1].defined());
  CHECK(printed(d[1]) == "None");
  const tf::Variable v(1.f);
  tf::train::SGD opt(std::vector<tf::Variable>{v}, {.lr = 0.1});
  CHECK(message_of([&] { opt.minimize(x * 2.f); }).find("No gradients provided for any variable") == 0);
}

TEST_CASE("12. Random sequences restart in a new session") {
  FreshGraph fresh;
  const tf::Tensor r = tf::random_normal({4});
  const auto draw = [&](tf::Session& s) { return printed(s.run(r)); };
  tf::Session first, second;
  const std::string one = draw(first), two = draw(first);
  CHECK(one != two);
  CHECK(draw(second) == one);
  CHECK(draw(first) != two);
  CHECK(draw(second) == two);
}

TEST_CASE("13. A plan-cache hit or miss is visible in every timing") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32), y = x * 2.f;
  tf::Session session;
  tf::Ledger ledger;
  {
    auto recording = ledger.record();
    session.run(y, {{x, 1.f}});
    CHECK((ledger.plan_misses() == 1 && ledger.plan_hits() == 0));
    session.run(y, {{x, 2.f}});
    CHECK((ledger.plan_misses() == 1 && ledger.plan_hits() == 1));
    session.run(y, {{x, {1.f, 2.f}}});  // another shape, another plan
    CHECK((ledger.plan_misses() == 2 && ledger.plan_hits() == 1));
    const auto call = session.make_callable(y, {x});
    call(3.f);
    call(4.f);
    CHECK((ledger.plan_misses() == 2 && ledger.plan_hits() == 3));
  }
  CHECK(ledger.runs() == 5);
  CHECK(session.num_plans() == 2);
  CHECK(ledger.table().find("plans 3 hit, 2 missed, 0 given up") != std::string::npos);
  CHECK(ledger.json().find("\"plan_hits\": 3") != std::string::npos);
}
