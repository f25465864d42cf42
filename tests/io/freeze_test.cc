// Programs whose variables have become constants, and saved functions as graphs of their own.
#include <cstdio>
#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include <unistd.h>

#include <twofold/twofold.h>

#include "../catch.h"
#include "../errors.h"
#include "../fresh_graph.h"
#include "../same_bits.h"
#include "../training.h"

namespace tf = twofold;
namespace nn = twofold::nn;
namespace train = twofold::train;
using namespace training;

namespace {

struct FrozenFile {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("twofold_frozen_" + std::to_string(getpid()) + ".safetensors"))
          .string();
  ~FrozenFile() { std::remove(path.c_str()); }
};

}  // namespace

TEST_CASE("A frozen function gives the same bits without variables", "[freeze]") {
  in_each_mode([](tf::Session& session) {
    tf::set_random_seed(3);
    nn::Sequential net(nn::Conv2d(1, 3, 2), nn::BatchNorm2d(3), nn::ReLU(), nn::Flatten(), nn::Linear(3, 2));
    train::Adam opt(net.parameters(), {.lr = 0.01});
    session.run(tf::global_variables_initializer());
    auto predict = tf::function(session, [&](Tensor x) { return net(x); },
                                {.shapes = {{-1, 1, 2, 2}}, .arguments = {"x"}, .results = {"scores"}});
    auto fit = tf::step(session, [&](Tensor x, Tensor y) {
      const Tensor loss = nn::mse_loss(net(x), y);
      opt.minimize(loss);
      return loss;
    });
    const Tensor x = tf::tensor({1.f, 2.f, 3.f, 4.f, -1.f, 0.f, 2.f, 5.f}, tf::Shape{2, 1, 2, 2});
    const Tensor y = tf::tensor({1.f, 0.f, 0.f, 1.f}, tf::Shape{2, 2});
    for (int i = 0; i < 3; ++i) fit(x, y);
    net.eval();
    const Tensor expected = predict(x);
    const FrozenFile file;
    tf::save(file.path, tf::freeze({{"predict", predict}}));
    const auto program = tf::load(file.path);
    CHECK(program.variables().empty());
    std::ostringstream signature;
    signature << program.signatures()[0];
    CHECK(signature.str() == "predict(x: float32 (?, 1, 2, 2)) -> (scores: float32 (?, 2))");
    auto frozen = program.function("predict");
    CHECK(testing::same_bits(expected, frozen(x)));
    // Nodes that read variables keep their names, and those of the optimiser are not there.
    const std::string text = frozen.graph_text();
    CHECK(text.find("weight/read = Const(") != std::string::npos);
    CHECK(text.find("ReadVariable") == std::string::npos);
    CHECK(text.find("Assign") == std::string::npos);
    net.train();
    fit(x, y);  // what was frozen stays
    CHECK(testing::same_bits(expected, frozen(x)));
    CHECK(testing::same_bits(expected, tf::freeze(program).function("predict")(x)));
  });
}

TEST_CASE("Branches and loops are frozen with what they read", "[freeze]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable w(3.f, {.name = "w"});
    tf::Variable untouched(1.f, {.name = "untouched"});
    session.run(tf::global_variables_initializer());
    auto inner = tf::function(session, [&](Tensor x) { return x * w; });
    auto f = tf::function(session, [&](Tensor x) {
      const auto [i, y] =
          tf::while_loop([](Tensor i, Tensor) { return i < 2; },
                         [&](Tensor i, Tensor y) {
                           return std::tuple{i + 1, tf::cond(
                                                        y > 0.f, [&] { return y * w; }, [&] { return y - w; })};
                         },
                         std::tuple{tf::constant(0), x});
      untouched.assign_add(y);
      return inner(y) + w;
    });
    CHECK(number(f(2.f)) == 2 * 9 * 3 + 3);
    const auto program = tf::freeze({{"f", f}});
    CHECK(program.variables().empty());
    auto frozen = program.function("f");
    CHECK(number(frozen(2.f)) == 57);
    CHECK(number(frozen(-1.f)) == (-1 - 6) * 3 + 3);
    if (tf::executing_eagerly())
      w.assign(0.f);
    else
      session.run(w.assign(0.f));
    CHECK(number(frozen(2.f)) == 57);
  });
}

TEST_CASE("A step freezes to what it returns, if its update comes after that", "[freeze]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable w(3.f, {.name = "w"});
    session.run(tf::global_variables_initializer());
    auto before = tf::function(session, [&](Tensor x) {
      const Tensor y = w * x;
      w.assign_add(1.f);
      return y;
    });
    auto after = tf::function(session, [&](Tensor x) {
      w.assign_add(1.f);
      return w * x;
    });
    auto written = tf::function(session, [&](Tensor x) { return w.assign_add(x); });
    auto in_branch = tf::function(session, [&](Tensor x) {
      const Tensor t = tf::cond(
          x > 0.f, [&] { return w.assign(x); }, [&] { return x; });
      return t + 1.f;
    });
    auto nothing = tf::function(session, [&](Tensor x) { w.assign(x); });
    before(1.f), after(1.f), written(1.f), in_branch(1.f);
    CHECK(number(before(2.f)) == 2);
    const auto program = tf::freeze({{"f", before}});  // w is 2 now
    CHECK(number(program.function("f")(2.f)) == 4);
    CHECK(number(program.function("f")(2.f)) == 4);
    const auto freeze_after = [&] { return tf::freeze({{"after", after}}); };
    CHECK_ERROR(freeze_after(), FailedPrecondition, "The results of 'after'");
    CHECK_ERROR(freeze_after(), FailedPrecondition, "variable 'w'");
    CHECK_ERROR(freeze_after(), FailedPrecondition, "AssignAdd");
    CHECK_ERROR(freeze_after(), FailedPrecondition, "freeze_test.cc:");
    const auto freeze = [](const auto& f) { return tf::freeze({{"f", f}}); };
    CHECK_ERROR(freeze(written), FailedPrecondition, "");
    CHECK_ERROR(freeze(in_branch), FailedPrecondition, "'w'");
    nothing(1.f);
    CHECK_ERROR(freeze(nothing), InvalidArgument, "returns nothing");
    CHECK_ERROR(tf::freeze(program, {"g"}), NotFound, "");
  });
}

TEST_CASE("Random ops of a frozen program go on by themselves", "[freeze]") {
  in_each_mode([](tf::Session& session) {
    tf::set_random_seed(11);
    auto f = tf::function(session, [](Tensor x) { return tf::random_normal({3}) * x; });
    f(1.f);
    const auto program = tf::freeze({{"f", f}});
    auto frozen = program.function("f");
    for (int i = 0; i < 3; ++i) CHECK(testing::same_bits(f(1.f), frozen(1.f)));
  });
}

TEST_CASE("Gradients through control flow that reads variables are refused", "[freeze]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable w(3.f, {.name = "w"});
    session.run(tf::global_variables_initializer());
    const auto gradient = [&](Tensor x, bool of_variable) {
      tf::GradientTape tape;
      tape.watch(x);
      const Tensor y = tf::cond(
          x > 0.f, [&] { return of_variable ? x * x * w : x * x; }, [&] { return x; });
      return tape.gradient(y, x);
    };
    auto f = tf::function(session, [&](Tensor x) { return gradient(x, true) * 1.f; });
    auto g = tf::function(session, [&](Tensor x) { return gradient(x, false) * w; });
    CHECK(number(f(2.f)) == 12);
    CHECK(number(g(2.f)) == 12);
    const auto freeze_f = [&] { return tf::freeze({{"f", f}}); };
    CHECK_ERROR(freeze_f(), Unimplemented, "Backprop");
    CHECK(number(tf::freeze({{"g", g}}).function("g")(2.f)) == 12);
  });
}

TEST_CASE("A saved function is a graph of its own for sessions of any options", "[saved]") {
  const FrozenFile file;
  tf::eagerly([&] {
    tf::Variable w(2.f, {.name = "w"});
    auto f = tf::function(
        [&](Tensor x) {
          const Tensor y = w * x;
          w.assign_add(1.f);
          return std::tuple{y, tf::tensor(7)};
        },
        {.arguments = {"x"}, .results = {"y", "seven"}});
    auto none = tf::function([&] { w.assign(10.f); });
    f(1.f);
    none();
    w.assign(2.f);
    tf::save(file.path, {{"f", f}, {"none", none}});
  });
  const auto program = tf::load(file.path);
  CHECK(program.info().format == 1);
  CHECK(program.info().producer == "twofold " + tf::build_info().version);
  for (const bool optimize : {false, true}) {
    const tf::SavedGraph call = program.function("f").in_graph();
    REQUIRE(call.arguments.size() == 1);
    REQUIRE(call.results.size() == 2);
    CHECK(call.results[1].first == "seven");
    CHECK(call.results[1].second.item<int32_t>() == 7);
    const tf::Session session(call.graph, {.optimize = optimize});
    const float before = optimize ? 3 : 2;
    CHECK(number(session.run(call.results[0].second, {{call.arguments[0].second, 5.f}})) == 5 * before);
    CHECK(number(tf::eagerly([&] { return program.variables().at("w").read(); })) == before + 1);
  }
  const tf::SavedGraph none = program.function("none").in_graph();
  tf::Session(none.graph).run(none.call);
  CHECK(number(tf::eagerly([&] { return program.variables().at("w").read(); })) == 10);
  CHECK_ERROR(program.function("f").in_graph(1), OutOfRange, "'f' has 1 signature");
  CHECK_ERROR(program.function("f").graph_text(tf::GraphFormat::dot, 2), OutOfRange, "");
}
