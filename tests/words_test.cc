// Errors that say what the program's author can do, where they once spoke of something else.
#include <map>
#include <string>
#include <vector>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
namespace nn = twofold::nn;
namespace train = twofold::train;
using tf::Tensor;

namespace {

/// Runs `f` eager, then deferred.
template <class F>
void in_both_modes(F f) {
  tf::eagerly(f);
  FreshGraph fresh;
  f();
}

/// What the error of `f` says; empty if there is none.
template <class F>
std::string said(F f) {
  try {
    f();
  } catch (const tf::Error& e) {
    return e.what();
  }
  return {};
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("A variable that is made in a body is called by its name, if it has one") {
  in_both_modes([] {
    auto nameless = tf::step([](Tensor x) { return x + tf::Variable(1.f); });
    CHECK_ERROR(nameless(1.f), FailedPrecondition, "A Variable is made in the body of a step or loop, at each of its executions");
    auto named = tf::step([](Tensor x) { return x + tf::Variable(1.f, {.name = "w"}); });
    CHECK_ERROR(named(1.f), FailedPrecondition, "The variable 'w' is made in the body of a step or loop");
  });
}

TEST_CASE("No error blames a line of the standard library") {
  FreshGraph fresh;
  const Tensor symbol = tf::placeholder(tf::float32, {2}, {.name = "x"});
  std::vector<tf::Variable> variables;
  variables.emplace_back(symbol * 2.f);
  const std::string in_eager = said([&] {
    tf::EagerMode eager;
    variables.emplace_back(symbol);
  });
  CHECK(has(in_eager, "is a symbol of a graph, made at " + std::string(__FILE__)));
  CHECK(!has(in_eager, "/c++/"));
  const std::string used = said([&] {
    tf::EagerMode eager;
    (void)(variables[0] + 1.f);
  });
  CHECK(has(used, "made at a line of the standard library, belongs to a graph"));
  CHECK(has(used, __FILE__));
  // A node made by such a line fails at the line of the run.
  tf::Session session;
  const std::string run = said([&] { session.run(variables[0]); });
  CHECK(has(run, "Attempting to use uninitialized value"));
  CHECK(has(run, __FILE__));
  CHECK(!has(run, "/c++/"));
}

TEST_CASE("A Variable that is none yet says so, and is one once it is assigned") {
  in_both_modes([] {
    const tf::Variable none;
    constexpr const char* kNone = "This Variable is none yet: it was declared without a value";
    CHECK_ERROR(none + 1.f, FailedPrecondition, kNone);
    CHECK_ERROR(none + 1.f, FailedPrecondition, __FILE__);
    CHECK_ERROR(none.read(), FailedPrecondition, kNone);
    CHECK_ERROR(none.assign(1.f), FailedPrecondition, kNone);
    CHECK_ERROR(none.assign_add(1.f), FailedPrecondition, kNone);
    CHECK_ERROR(none[0], FailedPrecondition, kNone);
    CHECK_ERROR(train::SGD({none}), FailedPrecondition, kNone);
    tf::GradientTape tape;
    CHECK_ERROR(tape.gradient(tf::constant(1.f), none), FailedPrecondition, kNone);
    std::map<std::string, tf::Variable> net;
    net["w"] = tf::Variable(2.f);
    struct Line {
      Line() { slope = tf::Variable(3.f); }
      tf::Variable slope;
    } line;
    CHECK((net["w"] * line.slope).dtype() == tf::float32);
  });
  FreshGraph fresh;
  const tf::Variable none, v(1.f);
  tf::Session session;
  CHECK_ERROR(session.run(none), FailedPrecondition, "This Variable is none yet");
  CHECK_ERROR(session.run(v, {{none, 1.f}}), FailedPrecondition, "This Variable is none yet");
  CHECK_ERROR(session.set({{none, tf::tensor(1.f)}}), FailedPrecondition, "This Variable is none yet");
  CHECK_ERROR(none.initializer(), FailedPrecondition, "This Variable is none yet");
}

TEST_CASE("A convolution says how weights are laid out") {
  in_both_modes([] {
    const Tensor x = tf::zeros({1, 1, 28, 28}), hwio = tf::zeros({5, 5, 1, 32});
    CHECK_ERROR(tf::conv2d(x, hwio), InvalidArgument, "The image has 1 channels, but the weight is for 5");
    CHECK_ERROR(tf::conv2d(x, hwio), InvalidArgument,
                "A weight is laid out OIHW: (out_channels, in_channels / groups, height, width)");
    CHECK_ERROR(tf::conv2d(x, hwio), InvalidArgument, "Try: tf::transpose(weight, {3, 2, 0, 1})");
    CHECK(tf::conv2d(x, tf::transpose(hwio, {3, 2, 0, 1})).shape() == tf::Shape{1, 32, 24, 24});
    CHECK_ERROR(tf::conv2d_transpose(tf::zeros({1, 32, 24, 24}), hwio), InvalidArgument, "IOHW: (in_channels,");
  });
}

TEST_CASE("Losses name themselves, and say what becomes of one-hot labels") {
  in_both_modes([] {
    const Tensor logits = tf::zeros({2, 3}), one_hot = tf::constant({{0.f, 1.f, 0.f}, {1.f, 0.f, 0.f}});
    const std::string hint = "Try: tf::argmax(target, 1) of one-hot labels";
    CHECK_ERROR(nn::softmax_cross_entropy(logits, one_hot), InvalidArgument,
                "softmax_cross_entropy() takes logits (batch, classes) and target (batch), the number of each right "
                "class, not (2, 3) and (2, 3) [op softmax_cross_entropy, ");
    CHECK_ERROR(nn::softmax_cross_entropy(logits, one_hot), InvalidArgument, hint);
    CHECK_ERROR(nn::nll_loss(logits, one_hot), InvalidArgument, "nll_loss() takes log_probs (batch, classes)");
    CHECK_ERROR(nn::nll_loss(logits, one_hot), InvalidArgument, hint);
    CHECK_ERROR(nn::softmax_cross_entropy(logits, tf::constant({0.f, 1.f})), InvalidArgument,
                "numbers of classes in int32 or int64, not float32");
    CHECK_ERROR(nn::softmax_cross_entropy(tf::zeros({3}), tf::constant({0})), InvalidArgument,
                "softmax_cross_entropy() takes logits (batch, classes) and target (batch), not (3,) and (1,)");
    CHECK(nn::softmax_cross_entropy(logits, tf::argmax(one_hot, 1)).shape().rank() == 0);
  });
}

TEST_CASE("An error says in which layer it happened") {
  struct Net : nn::Module {
    nn::Sequential& features = add("features", nn::Sequential(nn::ReLU(), nn::Linear(4, 8, {.bias = false})));
    nn::Conv2d& conv = add("conv", nn::Conv2d(3, 4, 3));
    Tensor forward(const Tensor& x) const override {
      return x.shape().has_rank() && x.rank() == 4 ? conv(x) : features(x);
    }
    std::string type_name() const override { return "Net"; }
  };
  in_both_modes([] {
    const Net net;
    const Tensor x = tf::zeros({2, 3});
    const std::string linear = said([&] { net(x); });
    CHECK(has(linear, "layer features.1 Linear(in_features=4, out_features=8, bias=False), " + std::string(__FILE__)));
    CHECK(has(linear, "[op MatMul, "));
    CHECK(
        has(said([&] { net(tf::zeros({1, 5, 8, 8})); }), "layer conv Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1))"));
    CHECK(has(said([&] { nn::Linear(4, 8)(x); }), "layer Linear(in_features=4, out_features=8, bias=True)"));
    CHECK(!has(said([&] { tf::matmul(x, x); }), "layer"));
    auto step = tf::step([&](Tensor t) { return net(t); });
    if (tf::executing_eagerly()) CHECK(has(said([&] { step(x); }), "layer features.1 Linear("));
  });
}

TEST_CASE("Operators of integers and bools, and what they refuse") {
  in_both_modes([] {
    tf::Session session;
    const auto shown = [&](const Tensor& t) { return printed(t.is_symbolic() ? session.run(t) : t); };
    const Tensor i = tf::constant({-7, 7}), f = tf::constant({5.5f, -1.f}),
                 p = tf::constant({true, true, false, false}), q = tf::constant({true, false, true, false});
    CHECK(shown(i % 4) == "[1 3]");
    CHECK(shown(7 % tf::constant({4, -4})) == "[ 3 -1]");
    CHECK(shown(f % 2.f) == "[1.5 1. ]");
    CHECK(shown(p & q) == "[ True False False False]");
    CHECK(shown(p | q) == "[ True  True  True False]");
    CHECK(shown(p ^ q) == "[False  True  True False]");
    CHECK(shown(~p) == "[False False  True  True]");
    CHECK(shown((f > 0.f) & (f < 6.f)) == "[ True False]");
    CHECK_ERROR(i & i, InvalidArgument, "[op LogicalAnd, ");
    CHECK_ERROR(~i, InvalidArgument, "bool");
    Tensor t = f, before = t;
    t += 1;
    t *= tf::constant(2.f), t -= f, t /= 2.f;
    CHECK(shown(t) == "[3.75 0.5 ]");
    CHECK(shown(before) == "[ 5.5 -1. ]");
    CHECK(before.same_as(f));
    const std::string line = std::string(__FILE__) + ":" + std::to_string(__LINE__ + 1);
    CHECK_ERROR(t += tf::zeros({3}), InvalidArgument, line);
  });
}
