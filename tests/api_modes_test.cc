// The API around modes: guards, gradients, source lines, names of ops.
#include <source_location>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"

#include <twofold/lib/op/apply.h>

namespace tf = twofold;
using tf::Shape;

// ---- Modes ----

TEST_CASE("The base mode is deferred; guards stack above it, on their thread only") {
  FreshGraph fresh;
  CHECK(!tf::executing_eagerly());
  {
    tf::EagerMode eager;
    CHECK(tf::executing_eagerly());
    {
      tf::DeferredMode deferred;
      CHECK(!tf::executing_eagerly());
      CHECK(tf::constant(1).is_symbolic());
      tf::EagerMode again;
      CHECK(tf::executing_eagerly());
    }
    CHECK(tf::executing_eagerly());
    bool other = true;
    std::thread([&] { other = tf::executing_eagerly(); }).join();
    CHECK(!other);
  }
  CHECK(!tf::executing_eagerly());
}

TEST_CASE("enable_eager_execution refuses once nodes exist, in TensorFlow 1's words") {
  tf::reset_default_graph();
  tf::constant(1.f);
  CHECK_ERROR((tf::enable_eager_execution(), 0), FailedPrecondition,
              "tf.enable_eager_execution must be called at program startup.");
  CHECK(!tf::executing_eagerly());
  tf::reset_default_graph();
}

TEST_CASE("enable_eager_execution is for the whole process") {
  tf::reset_default_graph();
  namespace v1 = tf::compat::v1;
  v1::enable_eager_execution();
  bool other = false;
  std::thread([&] { other = tf::executing_eagerly() && tf::constant(1.f).is_concrete(); }).join();
  const bool guarded = tf::deferred([] { return tf::executing_eagerly(); });
  const bool here = tf::executing_eagerly();
  v1::enable_eager_execution();  // again: nothing to do
  v1::disable_eager_execution();
  CHECK((other && here && !guarded));
  CHECK(!tf::executing_eagerly());
}

TEST_CASE("compat::v1 has TensorFlow 1's spelling") {
  namespace v1 = tf::compat::v1;
  v1::reset_default_graph();
  const v1::Variable w(2.f);
  const tf::Tensor x = v1::placeholder(tf::float32);
  const tf::Tensor y = w * x;
  v1::Session session;
  session.run(v1::global_variables_initializer());
  CHECK(session.run(y, {{x, 3.f}}).item<float>() == 6);
  v1::reset_default_graph();
}

TEST_CASE("eagerly and deferred run a lambda in a mode and return its result") {
  FreshGraph fresh;
  CHECK(tf::eagerly([] { return tf::constant(2) + 1; }).item<int32_t>() == 3);
  tf::EagerMode eager;
  CHECK(tf::deferred([] { return tf::constant(2) + 1; }).is_symbolic());
  int n = 0;
  int& same = tf::eagerly([&]() -> int& { return n; });
  CHECK(&same == &n);
}

TEST_CASE("Guards do not move") {
  const auto stays = []<class G> {
    return !std::is_move_constructible_v<G> && !std::is_move_assignable_v<G> && !std::is_copy_constructible_v<G>;
  };
  CHECK(stays.operator()<tf::EagerMode>());
  CHECK(stays.operator()<tf::DeferredMode>());
  CHECK(stays.operator()<tf::Graph::Scope>());
  CHECK(stays.operator()<tf::NameScope>());
  CHECK(stays.operator()<tf::DeviceScope>());
  CHECK(stays.operator()<tf::ControlDependencies>());
  CHECK(stays.operator()<tf::GradientTape>());
}

TEST_CASE("placeholder in eager mode is TensorFlow 1's error") {
  tf::EagerMode eager;
  CHECK_ERROR(tf::placeholder(tf::float32), FailedPrecondition,
              "tf.placeholder() is not compatible with eager execution.");
}

TEST_CASE("A symbol used in eager code is an error naming the line that made it") {
  FreshGraph fresh;
  const tf::Tensor symbol = tf::constant(1.f);
  const auto line = std::to_string(__LINE__ - 1);
  tf::EagerMode eager;
  CHECK_ERROR(symbol + 1.f, FailedPrecondition, "made at " + std::string(__FILE__) + ":" + line);
  CHECK_ERROR(tf::exp(symbol), FailedPrecondition, "eager code computes with values");
}

TEST_CASE("An eager Variable used in a graph is an error naming the line that made it") {
  FreshGraph fresh;
  const tf::Variable v = tf::eagerly([] { return tf::Variable(1.f); });
  const auto line = std::to_string(__LINE__ - 1);
  CHECK_ERROR(v + 1.f, FailedPrecondition,
              "made at " + std::string(__FILE__) + ":" + line + ", cannot be used in a graph");
  const tf::Tensor x = tf::placeholder(tf::float32);
  CHECK_ERROR(x + v, FailedPrecondition, "The eager variable 'Variable:0'");
  CHECK_ERROR(tf::Session().run(v), InvalidArgument, "Variable");
  const tf::Variable w(1.f);
  tf::EagerMode eager;
  CHECK_ERROR(w + 1.f, FailedPrecondition, "belongs to a graph; eager code cannot read it");
}

TEST_CASE("reset_default_graph empties the default graph; old tensors and sessions stay good") {
  tf::reset_default_graph();
  const tf::Tensor y = tf::constant(2.f) * 2.f;
  tf::Session session;
  tf::reset_default_graph();
  CHECK(tf::get_default_graph().num_operations() == 0);
  CHECK(session.run(y).item<float>() == 4);
  CHECK(tf::constant(1.f).name() == "Const:0");
  FreshGraph fresh;
  CHECK_ERROR((tf::reset_default_graph(), 0), FailedPrecondition, "to clear nested graphs");
}

// ---- Gradients ----

TEST_CASE("gradients adds nodes when deferred and goes over the innermost live tape when eager") {
  const auto program = [](const tf::Tensor& x) { return x * x * x; };
  {
    FreshGraph fresh;
    const tf::Tensor x = tf::placeholder(tf::float32);
    const tf::Tensor dx = tf::gradients(program(x), {x})[0];
    CHECK(dx.is_symbolic());
    CHECK(tf::Session().run(dx, {{x, 2.f}}).item<float>() == 12);
  }
  tf::EagerMode eager;
  const tf::Tensor x = tf::tensor(2.f);
  CHECK_ERROR(tf::gradients(program(x), {x}), FailedPrecondition, "no GradientTape is live");
  tf::GradientTape tape;
  tape.watch(x);
  CHECK(tf::gradients(program(x), {x})[0].item<float>() == 12);
}

TEST_CASE("A dy must be like its y, in both modes") {
  const auto program = [] {
    const tf::Tensor x = tf::ones({2});
    tf::GradientTape tape({.persistent = true});
    tape.watch(x);
    const tf::Tensor y = x * x;
    CHECK_ERROR(
        tf::gradients({y}, {x}, {tf::ones({3})}), InvalidArgument,
        "dy number 0 of gradients() must be like its y, of dtype float32 and shape (2,), but is of dtype float32 and "
        "shape (3,)");
    CHECK_ERROR(tf::gradients({y}, {x}, {tf::ones({2}, tf::float64)}), InvalidArgument, "but is of dtype float64");
    CHECK_ERROR(tf::gradients({y, y}, {x}, {tf::ones({2})}), InvalidArgument, "2 ys and 1 dys");
    CHECK(tf::gradients({y}, {x}, {tf::ones({2})})[0].defined());
  };
  tf::eagerly(program);
  FreshGraph fresh;
  program();
}

TEST_CASE("GradientTape watches, is persistent and nests, in both modes") {
  const auto program = [](const tf::Tensor& x) {
    std::vector<tf::Tensor> found;
    tf::GradientTape outer({.persistent = true});
    outer.watch(x);
    tf::Tensor dx;
    {
      tf::GradientTape inner;
      inner.watch(x);
      dx = inner.gradient(x * x * x, x);
    }
    found.push_back(dx);
    found.push_back(outer.gradient(dx, x));
    found.push_back(outer.gradient(dx * 2.f, x));
    return found;
  };
  const std::vector<tf::Tensor> eager = tf::eagerly([&] { return program(tf::tensor(2.f)); });
  CHECK((eager[0].item<float>() == 12 && eager[1].item<float>() == 12));
  CHECK(eager[2].item<float>() == 24);
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32);
  const std::vector<tf::Tensor> deferred = tf::Session().run(program(x), {{x, 2.f}});
  CHECK((deferred[0].item<float>() == 12 && deferred[1].item<float>() == 12 && deferred[2].item<float>() == 24));
}

TEST_CASE("A tape finds trainable variables by itself, and only once unless persistent, in both modes") {
  const auto program = [] {
    const tf::Variable v(3.f), still(5.f, {.trainable = false});
    tf::GradientTape tape;
    const tf::Tensor y = v * v * still;
    const std::vector<tf::Tensor> d = tape.gradient(y, {v, still});
    CHECK(!d[1].defined());
    CHECK_ERROR(tape.gradient(y, v), FailedPrecondition,
                "GradientTape.gradient can only be called once on non-persistent tapes.");
    return d[0];
  };
  CHECK(tf::eagerly(program).item<float>() == 30);
  FreshGraph fresh;
  const tf::Tensor d = program();
  tf::Session session;
  session.run(tf::global_variables_initializer());
  CHECK(session.run(d).item<float>() == 30);
}

TEST_CASE("An unconnected gradient is an undefined Tensor that prints None, in both modes") {
  const auto program = [] {
    const tf::Variable v(3.f), other(1.f);
    tf::GradientTape tape;
    const tf::Tensor d = tape.gradient(v * 2.f, other);
    CHECK(!d.defined());
    CHECK(printed(d) == "None");
    CHECK_ERROR(d + 1.f, InvalidArgument, "None");
    return 0;
  };
  tf::eagerly(program);
  FreshGraph fresh;
  program();
}

// ---- Operators and source lines ----

TEST_CASE("The user's line is known through operators and functions") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32);
  const auto line_of = [](const tf::Tensor& t) {
    CHECK(std::string(t.op().where().file_name()) == __FILE__);
    return t.op().where().line();
  };
  CHECK(line_of(x) == __LINE__ - 5);
  CHECK(line_of(x + 1.f) == __LINE__);
  CHECK(line_of(1.f - x) == __LINE__);
  CHECK(line_of(-x) == __LINE__);
  CHECK(line_of(x < x) == __LINE__);
  CHECK(line_of(tf::exp(x)) == __LINE__);
  CHECK(line_of(tf::sum(x)) == __LINE__);
  CHECK(line_of(tf::matmul(x, x)) == __LINE__);
  CHECK(line_of(tf::constant(1)) == __LINE__);
  CHECK(line_of(tf::zeros({2})) == __LINE__);
  CHECK(line_of(tf::random_normal({2})) == __LINE__);
  CHECK(line_of(tf::softmax(x)) == __LINE__);
  CHECK(line_of(tf::concat({x, x}, 0)) == __LINE__);
  CHECK(line_of(tf::cast(x, tf::float64)) == __LINE__);
  CHECK(line_of(tf::identity(x)) == __LINE__);
  const tf::Variable v(1.f);
  CHECK(line_of(v.initial_value()) == __LINE__ - 1);
  CHECK(line_of(v.read()) == __LINE__);
  CHECK(line_of(v.assign(x)) == __LINE__);
  CHECK(line_of(v.assign_add(2.f)) == __LINE__);
  CHECK(line_of(v + x) == __LINE__);
  CHECK(tf::group({x}).where().line() == __LINE__);
  CHECK(tf::no_op().where().line() == __LINE__);
  CHECK(tf::global_variables_initializer().where().line() == __LINE__);
}

TEST_CASE("A variable read by conversion has the variable's line, never one of the library's") {
  FreshGraph fresh;
  const tf::Variable v(1.f);
  const auto line = static_cast<uint_least32_t>(__LINE__ - 1);
  const tf::Tensor t = v;
  CHECK(t.op().type() == "ReadVariable");
  CHECK(std::string(t.op().where().file_name()) == __FILE__);
  CHECK(t.op().where().line() == line);
}

TEST_CASE("Errors of a step and of evaluate name the program's lines") {
  const std::string file = __FILE__;
  FreshGraph fresh;
  const tf::Variable w(2.f);
  tf::Session session;
  session.run(w.initializer());
  auto step = tf::step(session, [&](tf::Tensor x) { return x * w; });
  const std::string made = file + ":" + std::to_string(__LINE__ - 1);
  CHECK(step(2.f).item<float>() == 4);
  CHECK_ERROR(step(tf::Tensor()), InvalidArgument, made);
  CHECK_ERROR(step.evaluate("nobody:0"), NotFound, file);
  session.close();
  CHECK_ERROR(step(1.f), FailedPrecondition, made);
  CHECK_ERROR(step.evaluate(w), FailedPrecondition, file + ":" + std::to_string(__LINE__));
}

namespace {
// A function of a toolkit.
tf::Tensor dense(const tf::Tensor& x, std::source_location where = std::source_location::current()) {
  const tf::SourceScope source_scope(where);
  return tf::relu(x * 2.f + 1.f);
}
tf::Tensor two_layers(const tf::Tensor& x, std::source_location where = std::source_location::current()) {
  const tf::SourceScope source_scope(where);
  return dense(dense(x));
}
}  // namespace

TEST_CASE("In toolkit functions the outermost user line wins; gradient nodes inherit their forward op's line") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32);
  const tf::Tensor y = two_layers(x);
  const auto line = static_cast<uint_least32_t>(__LINE__ - 1);
  for (const tf::Operation& op : fresh.graph.operations())
    if (op.type() != "Placeholder") CHECK(op.where().line() == line);
  const auto forward = fresh.graph.num_operations();
  tf::gradients(y, {x});
  int64_t inherited = 0;
  for (int64_t i = forward; i < fresh.graph.num_operations(); ++i)
    inherited += fresh.graph.operations()[static_cast<size_t>(i)].where().line() == line;
  CHECK(inherited >= 4);  // ReluGrad and Mul of both layers
}

// ---- Names ----

TEST_CASE("Op functions have TensorFlow's names and node names are TensorFlow 1's") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32, {2, 2});
  const std::vector<std::pair<tf::Tensor, std::string>> made = {
      {tf::add(x, x), "add"},
      {tf::subtract(x, x), "sub"},
      {tf::multiply(x, x), "mul"},
      {tf::divide(x, x), "truediv"},
      {tf::negative(x), "Neg"},
      {tf::matmul(x, x), "MatMul"},
      {tf::reduce_sum(x), "Sum"},
      {tf::reduce_mean(x), "Mean"},
      {tf::reduce_max(x), "Max"},
      {tf::expand_dims(x, 0), "ExpandDims"},
      {tf::squeeze(x), "Squeeze"},
      {tf::transpose(x), "transpose"},
      {tf::reshape(x, {4}), "Reshape"},
      {tf::concat({x, x}, 0), "concat"},
      {tf::softmax(x), "Softmax"},
      {tf::log_softmax(x), "LogSoftmax"},
      {tf::square(x), "Square"},
      {tf::exp(x), "Exp"},
      {tf::tanh(x), "Tanh"},
      {tf::sigmoid(x), "Sigmoid"},
      {tf::relu(x), "Relu"},
      {tf::minimum(x, x), "Minimum"},
      {tf::maximum(x, x), "Maximum"},
      {tf::pow(x, x), "Pow"},
      {tf::abs(x), "Abs"},
      {tf::equal(x, x), "Equal"},
      {tf::less(x, x), "Less"},
      {tf::argmax(x), "ArgMax"},
      {tf::cast(x, tf::int32), "Cast"},
      {tf::identity(x), "Identity"},
      {tf::stop_gradient(x), "StopGradient"},
      {tf::shape(x), "Shape"},
      {tf::constant(1), "Const"},
      {tf::zeros({1}), "zeros"},
      {tf::ones({1}), "ones"},
      {tf::random_normal({1}), "random_normal"},
      {tf::random_uniform({1}), "random_uniform"},
  };
  for (const auto& [t, name] : made) CHECK(t.op().name() == name);
  CHECK(x.op().name() == "Placeholder");
  CHECK(tf::no_op().name() == "NoOp");
  CHECK(tf::group({x}).name() == "group_deps");
  CHECK(tf::global_variables_initializer().name() == "init");
  CHECK(tf::sum(x, 0).name() == "Sum_1:0");
}

TEST_CASE("Axes are int64 and negative ones count from the end") {
  const tf::Tensor x = tf::tensor({{1, 2, 3}, {4, 5, 6}});
  CHECK(printed(tf::sum(x, -1)) == "[ 6 15]");
  CHECK(printed(tf::sum(x, int64_t{-2})) == "[5 7 9]");
  CHECK(printed(tf::sum(x, {-1, 0})) == "21");
  CHECK(tf::expand_dims(x, -1).shape() == Shape{2, 3, 1});
  CHECK(tf::concat({x, x}, -1).shape() == Shape{2, 6});
  CHECK(tf::transpose(x, {-1, 0}).shape() == Shape{3, 2});
  CHECK(tf::argmax(x, -1).shape() == Shape{2});
  CHECK_ERROR(tf::sum(x, 2), InvalidArgument, "out of range");
  CHECK_ERROR(tf::sum(x, -3), InvalidArgument, "out of range");
}

TEST_CASE("Options are aggregates for designated initialisers") {
  const tf::Tensor x = tf::tensor({{1.f, 2.f}, {3.f, 4.f}});
  CHECK(tf::sum(x, 0, {.keepdims = true}).shape() == Shape{1, 2});
  CHECK(printed(tf::matmul(x, x, {.transpose_b = true})) == "[[ 5. 11.]\n [11. 25.]]");
  CHECK(tf::eagerly([] { return tf::random_normal({2}, {.mean = 5, .stddev = 0}); })[0].item<float>() == 5);
}
