// Handles used as they should not be: None, symbols in eager code, variables of the other mode, what was moved from.
// All of it is answered by an error that names the user's line, and nothing else happens.
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
namespace nn = twofold::nn;
using tf::Shape;
using tf::Tensor;

namespace {

/// Runs `f` eager, then deferred.
void in_both_modes(const std::function<void()>& f) {
  tf::eagerly(f);
  FreshGraph fresh;
  f();
}

/// This file and the line after the call's own.
std::string next_line(unsigned line) { return std::string(__FILE__) + ":" + std::to_string(line + 1); }

}  // namespace

// ---- None ----

TEST_CASE("Asking None for what a tensor has names the line that did") {
  const Tensor none;
  std::string here = next_line(__LINE__);
  CHECK_ERROR(none.dtype(), InvalidArgument, here);
  here = next_line(__LINE__);
  CHECK_ERROR(none.shape(), InvalidArgument, here);
  here = next_line(__LINE__);
  CHECK_ERROR(none.to("/cpu:0"), InvalidArgument, here);
  for (const auto& ask : std::vector<std::function<void()>>{
           [&] { (void)none.rank(); }, [&] { (void)none.dim(0); }, [&] { (void)none.id(); },
           [&] { (void)none.device(); }, [&] { (void)none.item<float>(); }, [&] { (void)none.data<float>(); },
           [&] { (void)none.num_elements(); }, [&] { (void)none.end(); }}) {
    CHECK_ERROR((ask(), 0), InvalidArgument, "An undefined Tensor (None) has no ");
    CHECK_ERROR((ask(), 0), InvalidArgument, __FILE__);
  }
  CHECK_ERROR(static_cast<bool>(none), InvalidArgument, "An undefined Tensor (None) has no truth");
  CHECK(none.name().empty());
  CHECK(!none.op().defined());
}

TEST_CASE("Every op refuses None, naming itself, the input and the line, in both modes") {
  in_both_modes([] {
    const Tensor none, x = tf::ones({2, 2}), v = tf::ones({2}), p = x > 0.f;
    const std::vector<std::pair<std::function<Tensor()>, std::string>> calls = {
        {[&] { return none + 1; }, "Input 0 of 'Add' is None"},
        {[&] { return 1 - none; }, "Input 1 of 'Sub' is None"},
        {[&] { return x * none; }, "Input 1 of 'Mul' is None"},
        {[&] { return none < x; }, "Input 0 of 'Less' is None"},
        {[&] { return -none; }, "Input 0 of 'Neg' is None"},
        {[&] { return tf::where(none, x, x); }, "Input 0 of 'Select' is None"},
        {[&] { return tf::where(p, x, none); }, "Input 2 of 'Select' is None"},
        {[&] { return tf::cast(none, tf::int32); }, "Input 0 of 'Cast' is None"},
        {[&] { return tf::matmul(x, none); }, "Input 1 of 'MatMul' is None"},
        {[&] { return tf::sum(none); }, "Input 0 of 'Sum' is None"},
        {[&] { return tf::argmax(none); }, "Input 0 of 'ArgMax' is None"},
        {[&] { return tf::softmax(none); }, "Input 0 of 'Softmax' is None"},
        {[&] { return tf::reshape(none, {4}); }, "Input 0 of 'Reshape' is None"},
        {[&] { return tf::reshape(x, none); }, "A shape is None"},
        {[&] { return tf::reshape_like(x, none); }, "Input 1 of 'ReshapeLike' is None"},
        {[&] { return tf::broadcast_to(x, none); }, "A shape is None"},
        {[&] { return tf::broadcast_like(none, x); }, "Input 0 of 'BroadcastLike' is None"},
        {[&] { return tf::broadcast_like(x, none); }, "Input 1 of 'BroadcastLike' is None"},
        {[&] { return tf::sum_to_like(x, none); }, "Input 1 of 'SumToLike' is None"},
        {[&] { return tf::sum_to_like(none, x); }, "Input 0 of 'SumTo' is None"},
        {[&] { return tf::pad_like(x, none, 0); }, "Input 1 of 'PadLike' is None"},
        {[&] { return tf::slice(none, 0, 1); }, "Input 0 of 'Slice' is None"},
        {[&] { return none[0]; }, "Input 0 of 'Slice' is None"},
        {[&] { return tf::expand_dims(none, 0); }, "Input 0 of 'ExpandDims' is None"},
        {[&] { return tf::concat({x, none}, 0); }, "Input 1 of 'ConcatV2' is None"},
        {[&] { return tf::concat(std::vector{none, x}, 0); }, "Input 0 of 'ConcatV2' is None"},
        {[&] { return tf::zeros_like(none); }, "Input 0 of 'ZerosLike' is None"},
        {[&] { return tf::batch_norm(none, v, v).y; }, "Input 0 of 'BatchNorm' is None"},
        {[&] { return tf::batch_norm(x, v, none).y; }, "Input 2 of 'BatchNorm' is None"},
        {[&] { return tf::running_statistics(none, v, v, v, x).mean; }, "Input 0 of 'RunningStatistics' is None"},
        {[&] { return tf::running_statistics(v, v, v, v, none).mean; }, "Input 4 of 'RunningStatistics' is None"},
        {[&] { return tf::print(none); }, "Input 0 of 'Print' is None"},
        {[&] { return tf::with_effects(none, {}); }, "Input 0 of 'WithEffects' is None"},
        {[&] { return tf::Variable(none).initial_value(); }, "Input 0 of 'Variable' is None"},
        {[&] { return tf::Variable(1.f).assign(none); }, "Input 0 of 'Assign' is None"},
        {[&] { return nn::Linear(2, 2)(none); }, "Input 0 of 'MatMul' is None"},
        {[&] { return nn::mse_loss(x, none); }, "Input 1 of 'Sub' is None"},
        {[&] { return tf::cond(none, [&] { return x; }, [&] { return x; }); }, "The predicate is None"},
        {[&] { return tf::cond(true, [&] { return none; }, [&] { return x; }); }, "returned None"},
        {[&] { return tf::while_loop([](Tensor) { return false; }, [](Tensor t) { return t; }, none); },
         "Input 0 of 'While' is None"},
        {[&] { return tf::while_loop([](Tensor) { return Tensor(); }, [](Tensor t) { return t; }, x); },
         "The predicate is None"},
        {[&] { return tf::while_loop([](Tensor t) { return tf::sum(t) < 9.f; }, [](Tensor) { return Tensor(); }, x); },
         "returned None"},
    };
    for (const auto& [call, words] : calls) {
      CHECK_ERROR(call(), InvalidArgument, words);
      CHECK_ERROR(call(), InvalidArgument, "[op ");
      CHECK_ERROR(call(), InvalidArgument, __FILE__);
    }
  });
}

TEST_CASE("None is neither fetched nor fed nor given to a step") {
  FreshGraph fresh;
  const Tensor none, x = tf::placeholder(tf::float32, {}, {.name = "x"}), y = x + 1.f;
  tf::Session session;
  CHECK_ERROR(session.run(none), InvalidArgument, "Fetch is None");
  CHECK_ERROR(session.run(y, {{none, 1.f}}), InvalidArgument, "Feed key is None");
  CHECK_ERROR(session.run(y, {{x, none}}), InvalidArgument, "The value fed for 'x:0' is None");
  CHECK_ERROR(session.make_callable(y, {x})(none), InvalidArgument, "The value fed for 'x:0' is None");
  const auto step_on_none = [] {
    auto step = tf::step([](Tensor a) { return a; });
    CHECK_ERROR(step(Tensor()), InvalidArgument, "A step takes values; argument 0 is None");
  };
  step_on_none();
  tf::eagerly(step_on_none);
}

TEST_CASE("None among what is differentiated is an error, in both modes") {
  in_both_modes([] {
    const Tensor none, x = tf::ones({2});
    tf::GradientTape tape({.persistent = true});
    CHECK_ERROR(tape.watch(none), InvalidArgument, "is None");
    CHECK_ERROR(tape.gradient(none, x), InvalidArgument, "y number 0 of gradients() is None");
    CHECK_ERROR(tape.gradient(x, none), InvalidArgument, "x number 0 of gradients() is None");
    CHECK_ERROR(tf::gradients(none, {x}), InvalidArgument, "y number 0 of gradients() is None");
    CHECK_ERROR(tf::gradients(x, {x, none}), InvalidArgument, "x number 1 of gradients() is None");
    // As a dy it stands for no gradient.
    CHECK(!tf::gradients({x}, {x}, {none})[0].defined());
  });
}

// ---- Things of the other mode ----

TEST_CASE("A symbol is an error wherever eager code takes a tensor") {
  FreshGraph fresh;
  const Tensor symbol = tf::placeholder(tf::float32, {2}, {.name = "x"});
  const std::string made = "made at " + std::string(__FILE__) + ":" + std::to_string(__LINE__ - 1);
  const tf::Operation op = tf::group({symbol});
  tf::EagerMode eager;
  const Tensor value = tf::ones({2});
  const tf::Variable v(value);
  tf::GradientTape tape({.persistent = true});
  const std::vector<std::function<void()>> uses = {
      [&] { tf::Variable w(symbol); },
      [&] { v.assign(symbol); },
      [&] { v.assign_add(symbol); },
      [&] { tf::cond(true, [&] { return symbol; }, [&] { return value; }); },
      [&] { tf::while_loop([](Tensor) { return false; }, [](Tensor t) { return t; }, symbol); },
      [&] { tf::while_loop([](Tensor t) { return tf::sum(t) < 3.f; }, [&](Tensor) { return symbol; }, value); },
      [&] { tf::concat({value, symbol}, 0); },
      [&] { tf::with_effects(value, {symbol}); },
      [&] { tf::group({symbol}); },
      [&] { tf::ControlDependencies guard({symbol}); },
      [&] { tape.watch(symbol); },
      [&] { tape.gradient(symbol, value); },
      [&] { tape.gradient(value, symbol); },
      [&] { nn::mse_loss(value, symbol); },
  };
  for (const auto& use : uses) {
    CHECK_ERROR((use(), 0), FailedPrecondition, made);
    CHECK_ERROR((use(), 0), FailedPrecondition, "eager code computes with values");
  }
  CHECK_ERROR(tf::group({op}), FailedPrecondition, "Operation 'group_deps' belongs to a graph");
  CHECK(printed(v.read()) == "[1. 1.]");
}

TEST_CASE("A variable of the other mode is not assigned either, and nothing is added to its graph") {
  FreshGraph fresh;
  const tf::Variable of_graph(1.f, {.name = "w"});
  const auto of_eager = tf::eagerly([] { return tf::Variable(1.f, {.name = "v"}); });
  for (const auto& value : {std::function<Tensor()>([&] { return of_eager.assign(2.f); }),
                            std::function<Tensor()>([&] { return of_eager.assign_add(tf::tensor(2.f)); }),
                            std::function<Tensor()>([&] { return of_eager.assign(tf::constant(2.f)); })})
    CHECK_ERROR(value(), FailedPrecondition, "The eager variable 'v:0', made at ");
  const auto nodes = fresh.graph.num_operations();
  tf::EagerMode eager;
  CHECK_ERROR(of_graph.assign(2.f), FailedPrecondition, "belongs to a graph; eager code cannot assign it");
  CHECK(fresh.graph.num_operations() == nodes);
  CHECK(of_eager.item<float>() == 1);
}

TEST_CASE("A tape made in deferred mode does not pretend to have seen eager work") {
  FreshGraph fresh;
  tf::GradientTape tape;
  tf::EagerMode eager;
  const tf::Variable v(3.f);
  CHECK_ERROR(tape.gradient(v * v, v), FailedPrecondition, "has not recorded what was done eagerly");
}

// ---- Moved from ----

TEST_CASE("Variables, graphs and callables are good after a move from them") {
  FreshGraph fresh;
  tf::Variable v(2.f, {.name = "v"});
  const tf::Variable w = std::move(v);
  CHECK(v.name() == "v:0");  // NOLINT(bugprone-use-after-move): it is what is tested
  CHECK((v + w).name() == "add:0");
  tf::Graph g = fresh.graph;
  const tf::Graph h = std::move(g);
  CHECK(g == h);
  const Tensor x = tf::placeholder(tf::float32);
  auto call = tf::Session().make_callable(x * 2.f, {x});
  const auto other = std::move(call);
  CHECK(call(3.f).item<float>() == 6);
  CHECK(other(3.f).item<float>() == 6);
}

TEST_CASE("Tensors and Operations that were moved from are None and done") {
  FreshGraph fresh;
  Tensor t = tf::tensor(1.f), symbol = tf::constant(1.f);
  tf::Operation op = tf::no_op();
  const Tensor a = std::move(t), b = std::move(symbol);
  const tf::Operation c = std::move(op);
  CHECK((!t.defined() && !symbol.defined() && !op.defined()));  // NOLINT(bugprone-use-after-move): as above
  CHECK(printed(symbol) == "None");
  CHECK(printed(op) == "<tf.Operation (done)>");
  CHECK_ERROR(op.name(), FailedPrecondition, "An undefined Operation");
  CHECK_ERROR(op.output(0), FailedPrecondition, __FILE__);
  tf::Session session;
  session.run(op);
  tf::Fetch fetch(tf::Variable(1.f));
  const tf::Fetch taken = std::move(fetch);
  CHECK_ERROR(session.run(std::vector<tf::Fetch>{fetch}), InvalidArgument, "moved from");
}
