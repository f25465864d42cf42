// Every kind of error: its code, the op, the user's file and line, the words, and the next line to type.
#include <functional>
#include <string>
#include <vector>

#include "catch.h"
#include "fresh_graph.h"

namespace tf = twofold;
using tf::Code;
using tf::Shape;

namespace {

struct Expected {
  Code code;
  std::string op;       ///< "" where no op is concerned
  std::string message;  ///< all of it
  std::string hint;     ///< all of it; "" where there is nothing to type
  std::string node = {};
};

void check_error(const std::function<void()>& f, unsigned line, const Expected& expected) {
  bool thrown = false;
  try {
    f();
  } catch (const tf::Error& e) {
    thrown = true;
    INFO(e.what());
    CHECK(name_of(e.code()) == name_of(expected.code));
    CHECK(e.message() == expected.message);
    CHECK(e.facts().op == expected.op);
    CHECK(e.facts().node == expected.node);
    CHECK(e.facts().hint == expected.hint);
    CHECK(std::string(e.facts().where.file_name()) == __FILE__);
    CHECK(e.facts().where.line() == line);
    // what() is made of the same facts.
    const std::string what = e.what();
    CHECK(what.find(std::string(name_of(expected.code)) + ": " + expected.message) == 0);
    CHECK(what.find(std::string(__FILE__) + ":" + std::to_string(line)) != std::string::npos);
    if (!expected.hint.empty()) CHECK(what.substr(what.size() - expected.hint.size() - 6) == " Try: " + expected.hint);
  }
  INFO("line " << line);
  CHECK(thrown);
}

// The error must name the line on which this stands.
#define ERROR_HERE(expression, ...) check_error([&] { (void)(expression); }, __LINE__, Expected{__VA_ARGS__})

/// Runs `f` eager and deferred: what shapes and dtypes allow is found at construction in both modes.
void in_both_modes(const std::function<void()>& f) {
  {
    tf::EagerMode eager;
    f();
  }
  FreshGraph fresh;
  f();
}

}  // namespace

TEST_CASE("Shapes that do not fit are found at construction, in both modes") {
  in_both_modes([] {
    const tf::Tensor v2 = tf::zeros({2}), v3 = tf::zeros({3}), m = tf::zeros({3, 2});
    ERROR_HERE(v2 + v3, Code::InvalidArgument, "Add",
               "Incompatible shapes: [2] vs. [3] for 'add' (op: 'Add') with input shapes: [2], [3].", "");
    ERROR_HERE(tf::matmul(m, m), Code::InvalidArgument, "MatMul",
               "Dimensions must be equal, but are 2 and 3 for 'MatMul' (op: 'MatMul') with input shapes: [3,2], [3,2].",
               "");
    ERROR_HERE(tf::matmul(v2, m), Code::InvalidArgument, "MatMul",
               "Shape must be at least rank 2 but is rank 1 for 'MatMul' (op: 'MatMul') with input shapes: [2], [3,2].",
               "tf::expand_dims(x, 0)");
    ERROR_HERE(tf::reshape(m, {4, 2}), Code::InvalidArgument, "Reshape",
               "Cannot reshape a tensor with 6 elements to shape [4,2] (8 elements) for 'Reshape' (op: 'Reshape') with "
               "input shapes: "
               "[3,2].",
               "");
    ERROR_HERE(
        tf::sum(m, 2), Code::InvalidArgument, "Sum",
        "Axis 2 is out of range for rank 2, which has axes -2..1 for 'Sum' (op: 'Sum') with input shapes: [3,2].", "");
    ERROR_HERE(tf::squeeze(m, 0), Code::InvalidArgument, "Squeeze",
               "Can not squeeze dim[0], expected a dimension of 1, got 3 for 'Squeeze' (op: 'Squeeze') with input "
               "shapes: [3,2].",
               "");
    ERROR_HERE(tf::concat({m, v2}, 0), Code::InvalidArgument, "ConcatV2",
               "Ranks of all input tensors should match: shape[0] = [3,2] vs. shape[1] = [2] for 'concat' (op: "
               "'ConcatV2') with input "
               "shapes: [3,2], [2].",
               "");
    ERROR_HERE(m[3], Code::InvalidArgument, "", "Index 3 is out of range for shape (3, 2)", "");
    ERROR_HERE(tf::zeros({})[0], Code::InvalidArgument, "", "A scalar cannot be indexed", "t.item<T>()");
  });
}

TEST_CASE("Axes and shapes that make no sense are found at construction, in both modes") {
  in_both_modes([] {
    const tf::Tensor scalar = tf::zeros({}), m = tf::zeros({1, 1}), empty = tf::zeros({0});
    ERROR_HERE(tf::softmax(scalar), Code::InvalidArgument, "Softmax",
               "Axis -1 is out of range: a scalar has no axes for 'Softmax' (op: 'Softmax') with input shapes: [].",
               "");
    ERROR_HERE(tf::squeeze(m, {0, -2}), Code::InvalidArgument, "Squeeze",
               "Axis -2 is given twice for 'Squeeze' (op: 'Squeeze') with input shapes: [1,1].", "");
    ERROR_HERE(tf::sum(m, {1, -1}), Code::InvalidArgument, "Sum",
               "Invalid reduction arguments: Axes contains duplicate dimension: -1 for 'Sum' (op: 'Sum') with input "
               "shapes: [1,1].",
               "");
    ERROR_HERE(tf::transpose(m, {0, 0}), Code::InvalidArgument, "Transpose",
               "0 is duplicated in the permutation for 'transpose' (op: 'Transpose') with input shapes: [1,1].", "");
    ERROR_HERE(tf::expand_dims(m, {0, 0}), Code::InvalidArgument, "ExpandDims",
               "Axis 0 is given twice for 'ExpandDims' (op: 'ExpandDims') with input shapes: [1,1].", "");
    ERROR_HERE(tf::reshape(m, tf::unknown_shape), Code::InvalidArgument, "Reshape",
               "The shape asked for must have a known rank for 'Reshape' (op: 'Reshape') with input shapes: [1,1].",
               "");
    ERROR_HERE(
        tf::random_normal({2, -1}), Code::InvalidArgument, "RandomNormal",
        "The shape of random numbers must be fully known, but is (2, ?) for 'random_normal' (op: 'RandomNormal').", "");
    ERROR_HERE(tf::reshape(m, {2, -2}), Code::InvalidArgument, "",
               "A shape has the extent -2; extents are >= 0, or -1 for unknown", "");
    ERROR_HERE(tf::sum(m, {0, 1, 2, 3, 4, 5, 6, 7, 8}), Code::InvalidArgument, "",
               "A tensor of rank 9 was asked for; at most 8 axes are supported", "");
    ERROR_HERE(tf::tensor({1, 2, 3}, {2, 2}), Code::InvalidArgument, "", "3 elements cannot take the shape (2, 2)", "");
    ERROR_HERE(tf::tensor({{1, 2}, {3}}), Code::InvalidArgument, "",
               "A nested list must be rectangular: element 0 has shape (2,), element 1 has (1,)", "");
  });
}

TEST_CASE("Extents beyond all memory are told, however they come about") {
  const int64_t large = int64_t{1} << 62;
  in_both_modes([&] {
    const tf::Tensor none_wide = tf::zeros({0, large}), none = tf::zeros({0});
    CHECK(tf::reshape(none, {large, 4, 0}).shape() == Shape{large, 4, 0});
    ERROR_HERE(
        tf::reshape(none, {large, 4}), Code::ResourceExhausted, "Reshape",
        "A tensor of shape (4611686018427387904, 4) has too many elements", "");
    ERROR_HERE(tf::concat({none_wide, none_wide}, 1), Code::InvalidArgument, "ConcatV2",
               "The extents of axis 1 add up beyond int64 for 'concat' (op: 'ConcatV2') with input shapes: "
               "[0,4611686018427387904], [0,4611686018427387904].",
               "");
    CHECK(tf::softmax(none_wide).shape() == Shape{0, large});
  });
  {
    tf::EagerMode eager;
    CHECK(tf::softmax(tf::zeros({large, 0})).shape() == Shape{large, 0});
    ERROR_HERE(tf::random_normal({large}), Code::ResourceExhausted, "RandomNormal",
               "A float32 tensor of shape (4611686018427387904,) has more elements than any memory holds", "");
  }
  FreshGraph fresh;
  ERROR_HERE(tf::random_normal({large}), Code::ResourceExhausted, "RandomNormal",
             "A float32 tensor of shape (4611686018427387904,) has more elements than any memory holds", "");
}

TEST_CASE("Dtypes that do not fit are found at construction, in both modes") {
  in_both_modes([] {
    const tf::Tensor i = tf::constant({1, 2}), b = tf::constant(true);
    ERROR_HERE(i * 0.5, Code::InvalidArgument, "Mul", "'Mul' has a floating literal beside a tensor of dtype int32",
               "cast the tensor: tf::cast(t, tf::float32)");
    ERROR_HERE(1.5f - i, Code::InvalidArgument, "Sub", "'Sub' has a floating literal beside a tensor of dtype int32",
               "cast the tensor: tf::cast(t, tf::float32)");
    ERROR_HERE(tf::softmax(i), Code::InvalidArgument, "Softmax",
               "Expected a floating-point tensor, got int32 for 'Softmax' (op: 'Softmax') with input shapes: [2].",
               "tf::cast(x, tf::float32)");
    ERROR_HERE(tf::sum(b), Code::InvalidArgument, "Sum",
               "Expected a tensor of numbers, got bool for 'Sum' (op: 'Sum') with input shapes: [].",
               "tf::sum(tf::cast(x, tf::int32))");
    ERROR_HERE(tf::constant(300, {.dtype = tf::uint8}), Code::InvalidArgument, "",
               "The literal 300 does not fit dtype uint8", "tf::cast(..., tf::uint8)");
    ERROR_HERE(b + 1, Code::InvalidArgument, "Add", "'Add' has an integer literal beside a tensor of dtype bool",
               "cast one of them: tf::cast(t, dtype)");
    ERROR_HERE(tf::constant(2, {.dtype = tf::bool_}), Code::InvalidArgument, "",
               "The literal 2 does not fit dtype bool", "tf::cast(..., tf::bool_)");
    ERROR_HERE(tf::cast(i, tf::uint8) + 300, Code::InvalidArgument, "Add", "The literal 300 does not fit dtype uint8",
               "tf::cast(..., tf::uint8)");
  });
}

TEST_CASE("Variables refuse what they cannot hold, in both modes") {
  in_both_modes([] {
    const tf::Variable v({1.f, 2.f}, {.name = "v"});
    const tf::Tensor wide = tf::zeros({2}, tf::float64), long_one = tf::zeros({3});
    ERROR_HERE(v.assign(wide), Code::InvalidArgument, "Assign",
               "Assign of a float64 value to the variable 'v:0' of dtype float32", "tf::cast(value, tf::float32)");
    const std::string message =
        "A value of shape (3,) cannot be assigned to variable 'v:0' of shape (2,) for 'Assign' (op: 'Assign') "
        "with input shapes: [3].";
    ERROR_HERE(v.assign(long_one), Code::InvalidArgument, "Assign", message, "");
    ERROR_HERE(tf::Variable(2.5, {.dtype = tf::int32}), Code::InvalidArgument, "",
               "The literal 2.5 does not fit dtype int32", "tf::cast(..., tf::int32)");
  });
}

TEST_CASE("Symbols asked for what only values have") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32, {}, {.name = "x"});
  const std::string symbol = "Tensor(\"x:0\", shape=(), dtype=float32) is a symbol: it has no ";
  const std::string hint = "session.run(t), or compute in tf::EagerMode";
  ERROR_HERE(x.item<float>(), Code::FailedPrecondition, "", symbol + "value until a Session has run it", hint, "x");
  ERROR_HERE(x.data<float>(), Code::FailedPrecondition, "", symbol + "data until a Session has run it", hint, "x");
  ERROR_HERE(x.num_elements(), Code::FailedPrecondition, "", symbol + "elements until a Session has run it", hint, "x");
}

TEST_CASE("Values asked for what they do not have") {
  const tf::Tensor t = tf::tensor({1.5f, 2.f});
  ERROR_HERE(t.item<float>(), Code::InvalidArgument, "", "item() needs exactly one element; the shape is (2,)",
             "t.data<T>() for all of them");
  ERROR_HERE(t[0].item<int32_t>(), Code::InvalidArgument, "",
             "item<int32>() would lose: the value is 1.5 of dtype float32", "tf::cast(t, tf::int32)");
  ERROR_HERE(t.data<int64_t>(), Code::InvalidArgument, "", "data<int64>() of a tensor of dtype float32",
             "tf::cast(t, tf::int64)");
  ERROR_HERE(t.dim(1), Code::OutOfRange, "", "dim(1) of a tensor of shape (2,)", "");
}

TEST_CASE("Modes that do not go together") {
  FreshGraph fresh;
  const tf::Variable v(1.f, {.name = "v"});
  tf::EagerMode eager;
  ERROR_HERE(tf::placeholder(tf::float32), Code::FailedPrecondition, "",
             "tf.placeholder() is not compatible with eager execution.", "pass the value itself: tf::tensor(v)");
  const tf::Tensor x = tf::tensor(1.f);
  ERROR_HERE(tf::gradients(x, {x}), Code::FailedPrecondition, "",
             "tf.gradients is not supported when eager execution is enabled and no GradientTape is live.",
             "tf::GradientTape tape; ... tape.gradient(y, x), or a tf::step around the opt.minimize(loss)");
  tf::GradientTape tape;
  ERROR_HERE(tape.gradient(tf::tensor(1), x), Code::InvalidArgument, "",
             "Only floating tensors have gradients; y number 0 has dtype int32", "tf::cast(y, tf::float32)");
}

TEST_CASE("Runs that cannot be begun name their own line") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32, {-1, 2}, {.name = "x"}), y = x * 2.f;
  tf::Session session;
  ERROR_HERE(session.run(y, {{x, {1.f, 2.f, 3.f}}}), Code::InvalidArgument, "",
             "Cannot feed value of shape (3,) for Tensor 'x:0', which has shape '(?, 2)'", "");
  ERROR_HERE(session.run(y, {{x, y}}), Code::InvalidArgument, "",
             "The value of a feed cannot be a symbolic Tensor: Tensor(\"mul:0\", shape=(?, 2), dtype=float32) was "
             "given for 'x:0'",
             "session.run it first, and feed the value");
  ERROR_HERE(session.run("z:0"), Code::NotFound, "",
             "The name 'z:0' refers to a Tensor which does not exist. The operation, 'z', does not exist in the graph.",
             "");
  ERROR_HERE(session.run("x:1"), Code::OutOfRange, "", "Operation 'x' has 1 outputs, not 2", "");
  ERROR_HERE(session.run("x:"), Code::InvalidArgument, "",
             "'x:' is no tensor name: it must be \"<operation>:<output>\"", "\"x::0\"");
  ERROR_HERE(session.run(tf::Tensor()), Code::InvalidArgument, "", "Fetch is None: an undefined Tensor cannot be run",
             "");
  ERROR_HERE(session.run(tf::tensor(1)), Code::InvalidArgument, "",
             "Fetch 1 is a value already, not a symbol of this graph", "use it as it is");
  ERROR_HERE(session.run(y, {{tf::group({y}), 1}}), Code::InvalidArgument, "",
             "An Operation cannot be fed; feed one of its output tensors", "\"name:0\"");
  ERROR_HERE(session.run(y, {{"x", 1}}), Code::InvalidArgument, "",
             "An Operation cannot be fed; feed one of its output tensors", "\"x:0\"");
  ERROR_HERE(session.make_callable(y, {x, x}), Code::InvalidArgument, "", "'x:0' is fed twice in one run", "");
  session.close();
  ERROR_HERE(session.run(y), Code::FailedPrecondition, "", "Attempted to use a closed Session.",
             "tf::Session session;");
}

TEST_CASE("A callable's errors name the line that made it") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32, {2}, {.name = "x"});
  tf::Session session;
  const auto call = session.make_callable(x * 2.f, {x});
  const unsigned line = __LINE__ - 1;
  check_error([&] { call(1.f, 2.f); }, line,
              {Code::InvalidArgument, "", "A callable of 1 feeds was given 2 values", ""});
  check_error(
      [&] { call(1.f); }, line,
      {Code::InvalidArgument, "", "Cannot feed value of shape () for Tensor 'x:0', which has shape '(2,)'", ""});
}

TEST_CASE("Nodes that fail in a run name the line that made them") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32, tf::unknown_shape, {.name = "x"});
  const unsigned x_line = __LINE__ - 1;
  const tf::Variable w({1.f, 2.f}, {.name = "w"});
  const tf::Tensor read = w * 1.f;
  const unsigned read_line = __LINE__ - 1;
  const tf::Tensor y = x + tf::zeros({3});
  const unsigned y_line = __LINE__ - 1;
  const tf::Tensor store = w.assign(x);
  const unsigned store_line = __LINE__ - 1;
  tf::Session session;
  check_error(
      [&] { session.run(x); }, x_line,
      {Code::InvalidArgument, "Placeholder", "You must feed a value for placeholder tensor 'x' with dtype float32",
       "session.run(fetches, {{x, value}})", "x"});
  check_error([&] { session.run(read); }, read_line,
              {Code::FailedPrecondition, "ReadVariable", "Attempting to use uninitialized value w",
               "session.run(tf::global_variables_initializer()), or, to leave others as they are, "
               "session.run(tf::variables_initializer({v})); of an optimiser made later: session.run(opt.initializer())",
               "w/read"});
  check_error([&] { session.run(y, {{x, {1.f, 2.f}}}); }, y_line,
              {Code::InvalidArgument, "Add",
               "Incompatible shapes: [2] vs. [3] for 'add' (op: 'Add') with input shapes: [2], [3].", "", "add"});
  check_error([&] { session.run(store, {{x, {1.f, 2.f, 3.f}}}); }, store_line,
              {Code::InvalidArgument, "Assign",
               "A value of shape (3,) cannot be assigned to variable 'w:0' of shape (2,) for 'Assign' (op: 'Assign') "
               "with input shapes: "
               "[3].",
               "", "Assign"});
}

TEST_CASE("Graphs, names and devices") {
  FreshGraph fresh;
  const tf::Tensor x = tf::constant(1.f, {.name = "x"});
  ERROR_HERE(fresh.graph.operation("nobody"), Code::NotFound, "",
             "The name 'nobody' refers to an Operation not in the graph.", "");
  ERROR_HERE(fresh.graph.tensor("x"), Code::InvalidArgument, "",
             "'x' is no tensor name: it must be \"<operation>:<output>\"", "\"x:0\"");
  ERROR_HERE(tf::constant(1.f, {.name = "a b"}), Code::InvalidArgument, "", "'a b' is not a valid node name", "\"a_b\"");
  ERROR_HERE(tf::NameScope("a b"), Code::InvalidArgument, "", "'a b' is not a valid scope name", "\"a_b\"");
  ERROR_HERE(tf::NameScope("/-_ä"), Code::InvalidArgument, "", "'/-_ä' is not a valid scope name", "\"scope\"");
  ERROR_HERE(tf::DeviceScope("/tpu:0"), Code::InvalidArgument, "", "'/tpu:0' is no device name",
             "\"/cpu:0\" or \"/gpu:0\"");
  ERROR_HERE(tf::ControlDependencies({"nobody"}), Code::NotFound, "",
             "The name 'nobody' refers to an Operation not in the graph.", "");
  fresh.graph.finalize();
  ERROR_HERE(x + x, Code::FailedPrecondition, "Add", "Graph is finalized and cannot be modified.",
             "build everything before finalize()");
}

TEST_CASE("What has no place to stand names its line as well") {
  FreshGraph fresh;
  const tf::Tensor t = tf::tensor(1.f);
  ERROR_HERE(t.to("/tpu:0"), Code::InvalidArgument, "", "'/tpu:0' is no device name", "\"/cpu:0\" or \"/gpu:0\"");
  ERROR_HERE(t.end(), Code::InvalidArgument, "", "A scalar has no axis to iterate over", "t.item<T>()");
  ERROR_HERE((tf::set_num_threads(100000), 0), Code::InvalidArgument, "",
             "set_num_threads(100000): there can be 1 to 1024 threads", "");
  ERROR_HERE(
      (tf::reset_default_graph(), 0), Code::FailedPrecondition, "",
      "Do not use tf.reset_default_graph() to clear nested graphs. If you need a cleared graph, exit the nesting and "
      "create a new graph. (An as_default, name_scope or control_dependencies is alive on this thread)",
      "tf::Graph graph; auto scope = graph.as_default();");
  ERROR_HERE(tf::group({"nobody"}), Code::NotFound, "", "The name 'nobody' refers to an Operation not in the graph.",
             "");
  fresh.graph.finalize();
  const std::string finalized = "Graph is finalized and cannot be modified.",
                    hint = "build everything before finalize()";
  ERROR_HERE(tf::no_op(), Code::FailedPrecondition, "", finalized, hint);
  ERROR_HERE(tf::group({}), Code::FailedPrecondition, "", finalized, hint);
  ERROR_HERE(tf::global_variables_initializer(), Code::FailedPrecondition, "", finalized, hint);
}

TEST_CASE("A device that is not there is NotFound and lists those that are") {
  try {
    tf::DeviceScope scope("/gpu:99");
    FAIL("there are not a hundred GPUs");
  } catch (const tf::Error& e) {
    CHECK(name_of(e.code()) == "NotFound");
    CHECK(e.message().find("There is no device '/gpu:99'") == 0);
    CHECK(e.message().find("/cpu:0") != std::string::npos);
    CHECK(e.facts().where.line() == __LINE__ - 6);
  }
}

TEST_CASE("Memory that cannot be had is ResourceExhausted") {
  tf::EagerMode eager;
  const auto huge = int64_t{1} << 46;
  try {
    tf::zeros({huge});
    FAIL("256 TiB were had");
  } catch (const tf::Error& e) {
    CHECK(name_of(e.code()) == "ResourceExhausted");
    CHECK(e.facts().where.line() == __LINE__ - 4);
  }
  CHECK(tf::zeros({4}).num_elements() == 4);  // and life goes on
}

TEST_CASE("The order of facts in what()") {
  const tf::Error e(
      Code::DataLoss,
      {.message = "M", .op = "Op", .node = "a/Op_1", .where = std::source_location::current(), .hint = "H"});
  CHECK(std::string(e.what()) == "DataLoss: M [op Op, node 'a/Op_1', " + std::string(__FILE__) + ":" +
                                     std::to_string(e.facts().where.line()) + "] Try: H");
  CHECK(std::string(tf::Error(Code::Cancelled, {.message = "M"}).what()) == "Cancelled: M");
  const std::vector<std::pair<Code, std::string>> names = {{Code::InvalidArgument, "InvalidArgument"},
                                                           {Code::FailedPrecondition, "FailedPrecondition"},
                                                           {Code::NotFound, "NotFound"},
                                                           {Code::OutOfRange, "OutOfRange"},
                                                           {Code::Unimplemented, "Unimplemented"},
                                                           {Code::ResourceExhausted, "ResourceExhausted"},
                                                           {Code::DataLoss, "DataLoss"},
                                                           {Code::Cancelled, "Cancelled"},
                                                           {Code::Internal, "Internal"}};
  for (const auto& [code, name] : names) CHECK(name_of(code) == name);
}
