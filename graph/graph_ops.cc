#include <twofold/graph/graph_ops.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iostream>
#include <mutex>
#include <sstream>

#include <twofold/kernels/layout/layout.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

bool operator==(const ConstantValue& a, const ConstantValue& b) {
  if (a.tensor.same_as(b.tensor)) return true;
  const Value &x = *a.tensor.value(), &y = *b.tensor.value();
  return x.spec() == y.spec() && x.device() == y.device() && x.device().is_cpu() && x.object() == y.object() &&
         std::memcmp(x.data(), y.data(), x.bytes()) == 0;
}

uint64_t hash_field(const ConstantValue& v) {
  const Value& value = *v.tensor.value();
  uint64_t h = mix(static_cast<uint64_t>(value.dtype()), hash_field(value.shape()));
  if (!value.device().is_cpu()) return h;
  // A few elements tell constants apart well enough; equality compares them all.
  const size_t n = std::min<size_t>(value.bytes(), 256);
  return mix(h, std::hash<std::string_view>()({static_cast<const char*>(value.data()), n}));
}

std::string print_field(const ConstantValue& v) { return to_string(v.tensor); }

void perturb_field(ConstantValue& v) {
  v.tensor =
      Tensor::adopt(Value::make(v.tensor.defined() && v.tensor.dtype() == int32 ? float32 : int32, Shape{0}).detach());
}

namespace {

void infer_constant(InferContext& c) {
  const Tensor& t = c.attrs<ConstantAttrs>().value.tensor;
  c.output(t.dtype(), t.shape());
}
void infer_placeholder(InferContext& c) {
  const auto& a = c.attrs<PlaceholderAttrs>();
  c.output(a.dtype, a.shape);
}
void infer_variable(InferContext& c) {
  const auto& v = *c.attrs<VariableAttrs>().variable;
  c.output(v.dtype, v.shape);
}
void infer_nothing(InferContext&) {}
void infer_assert(InferContext& c) {
  if (c.dtype(0) != bool_)
    c.fail("The condition must be bool, not " + std::string(name_of(c.dtype(0))), "tf::assert_that(x != 0)");
  if (c.shape(0).has_rank() && c.shape(0).rank() != 0)
    c.fail("The condition must be a scalar, not of shape " + c.shape(0).str(), "tf::assert_that(tf::all(condition))");
}
void infer_same(InferContext& c) { c.output(c.dtype(0), c.shape(0)); }
void gradient_same(Backward& b) { b.dx(0, b.dy()); }
// A capture's or parameter's shape is given by whoever adds the node.
void infer_given(InferContext& c) { c.output(float32, unknown_shape); }

}  // namespace

constinit OpDef constant_op{.key = OpKey::without_kernels("Const"),
                            .doc = "A value known when the graph is built.",
                            .min_inputs = 0,
                            .max_inputs = 0,
                            .infer = infer_constant,
                            .differentiable = Differentiability::none,
                            .flags = {.session = true},
                            .attrs = &internal::kAttrsType<ConstantAttrs>};
constinit OpDef placeholder_op{.key = OpKey::without_kernels("Placeholder"),
                               .doc = "An input that every run must feed. (TensorFlow: Placeholder)",
                               .min_inputs = 0,
                               .max_inputs = 0,
                               .infer = infer_placeholder,
                               .differentiable = Differentiability::none,
                               .flags = {.session = true, .declared = true},
                               .attrs = &internal::kAttrsType<PlaceholderAttrs>};
constinit OpDef variable_op{.key = OpKey::without_kernels("Variable"),
                            .doc = "State that a session holds between runs.",
                            .min_inputs = 0,
                            .max_inputs = 0,
                            .outputs = 1,
                            .infer = infer_variable,
                            .differentiable = Differentiability::none,
                            .flags = {.session = true},
                            .attrs = &internal::kAttrsType<VariableAttrs>};
constinit OpDef no_op_op{.key = OpKey::without_kernels("NoOp"),
                         .doc = "Does nothing; runs what it depends on by control.",
                         .min_inputs = 0,
                         .max_inputs = 0,
                         .outputs = 0,
                         .infer = infer_nothing,
                         .differentiable = Differentiability::none,
                         .flags = {.session = true}};
constinit OpDef capture_op{.key = OpKey::without_kernels("Capture"),
                           .node_name = "capture",
                           .doc = "In a body: a value of the graph around it.",
                           .min_inputs = 0,
                           .max_inputs = 0,
                           .infer = infer_given,
                           .differentiable = Differentiability::none,
                           .flags = {.session = true, .declared = true},
                           .attrs = &internal::kAttrsType<CaptureAttrs>};
constinit OpDef parameter_op{.key = OpKey::without_kernels("Parameter"),
                             .node_name = "parameter",
                             .doc = "In a body: a value it is called with.",
                             .min_inputs = 0,
                             .max_inputs = 0,
                             .infer = infer_given,
                             .differentiable = Differentiability::none,
                             .flags = {.session = true, .declared = true},
                             .attrs = &internal::kAttrsType<ParameterAttrs>};
constinit OpDef print_op{.key = OpKey::without_kernels("Print"),
                         .doc = "Writes its input when it runs; the input itself. (TensorFlow: Print)",
                         .infer = infer_same,
                         .differentiable = Differentiability::rule,
                         .gradient = gradient_same,
                         .flags = {.alias = true, .effect = true, .session = true, .on_host = true},
                         .attrs = &internal::kAttrsType<PrintAttrs>};
constinit OpDef assert_op{.key = OpKey::without_kernels("Assert"),
                          .doc = "Fails when it runs unless input 0 is true; prints the others. (TensorFlow: Assert)",
                          .max_inputs = -1,
                          .outputs = 0,
                          .infer = infer_assert,
                          .differentiable = Differentiability::none,
                          .flags = {.effect = true, .can_fail = true, .session = true, .on_host = true},
                          .attrs = &internal::kAttrsType<AssertAttrs>};
constinit OpDef with_effects_op{.key = OpKey::without_kernels("WithEffects"),
                                .node_name = "with_effects",
                                .doc = "Its input, once the effects tied to it by control are done.",
                                .infer = infer_same,
                                .differentiable = Differentiability::rule,
                                .gradient = gradient_same,
                                .flags = {.alias = true, .lists = true}};

__attribute__((constructor(101))) static void register_graph_ops() {
  for (OpDef* op : {&constant_op, &placeholder_op, &variable_op, &no_op_op, &capture_op, &parameter_op, &print_op,
                    &assert_op, &with_effects_op})
    register_op(*op);
}

Tensor done_now(const OpDef& op, const Tensor& x, std::source_location where) {
  Tensor y;
  {
    const ObservedThread::Hidden one_op;
    y = identity(Operand(x, where));
  }
  const Tensor* const inputs[] = {&x};
  if (executing_eagerly() && t_state.observing) t_state.observing->eager_op(op, inputs, {&y, 1}, where);
  return y;
}

void check_assertion(const std::string& message, std::span<const Tensor* const> inputs) {
  const Value& condition = *inputs[0]->value();
  if (condition.dtype() != bool_ || condition.shape().rank() != 0)
    fail(Code::InvalidArgument,
         fmt::format("The condition must be a bool scalar, not {} of shape {}", name_of(condition.dtype()),
                     condition.shape().str()),
         "tf::assert_that(tf::all(condition))");
  if (inputs[0]->item<bool>()) return;
  std::string text = "assertion failed:";
  if (!message.empty()) text += " [" + message + "]";
  for (const Tensor* t : inputs.subspan(1)) {
    const std::string data = to_string(*t);
    text += data.starts_with('[') ? " " + data : " [" + data + "]";
  }
  fail(Code::InvalidArgument, text);
}

std::string print_line(const std::string& message, const Tensor& value) {
  std::ostringstream line;
  line << message << value << '\n';
  return line.str();
}

void write_lines(const std::string& lines) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  std::cout << lines << std::flush;
}

}  // namespace twofold
