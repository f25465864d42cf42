// Building If and While nodes; in eager mode, calling the lambdas.
#include <twofold/graph/control_flow.h>

#include <fmt/format.h>

#include <algorithm>

#include <twofold/graph/body.h>
#include <twofold/graph/build_body.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/mode_interface.h>

namespace twofold {
namespace {

[[noreturn]] void fail_at(std::source_location where, const char* op, std::string message, std::string hint = {}) {
  throw Error(Code::InvalidArgument,
              {.message = std::move(message), .op = op, .where = where, .hint = std::move(hint)});
}

// In the words of TensorFlow's type and shape checks.
void check_predicate(const Tensor& p, const char* op, std::source_location where) {
  if (!p.defined()) fail_at(where, op, "The predicate is None: an undefined Tensor");
  if (p.dtype() != bool_)
    fail_at(where, op,
            fmt::format("Input 'pred' of '{}' Op has type {} that does not match expected type of bool.", op,
                        name_of(p.dtype())),
            "compare it: x > 0");
  if (p.shape().has_rank() && p.rank() != 0)
    fail_at(where, op,
            fmt::format("Shape must be rank 0 but is rank {} for '{}' (op: '{}') with input shapes: {}.", p.rank(),
                        op == std::string_view("If") ? "cond" : "while", op, p.shape().brackets()),
            "reduce it to one truth first");
}

// The node behind these outputs, and those that are visible.
internal::ControlFlowResult result_of(const Outputs& outputs, const OpDef& op) {
  return {{outputs.begin(), outputs.end() - op.hidden}, outputs[0].op()};
}

void check_alike(const Body& a, const Body& b, std::source_location where) {
  if (a.outputs.size() != b.outputs.size())
    fail_at(where, "If",
            fmt::format("The branches of cond must return as many tensors: then returned {}, else {}", a.outputs.size(),
                        b.outputs.size()));
  for (size_t i = 0; i < a.outputs.size(); ++i) {
    const DType x = a.output_spec(i).dtype, y = b.output_spec(i).dtype;
    if (x != y)
      fail_at(where, "If",
              fmt::format("The branches of cond must return the same dtypes: for result {} then returned {}, else {}",
                          i, name_of(x), name_of(y)),
              fmt::format("tf::cast(value, {})", spelling_of(x)));
  }
}

void check_state(std::span<const TensorSpec> state, std::span<const TensorSpec> next, std::source_location where) {
  if (state.size() != next.size())
    fail_at(where, "While",
            fmt::format("The body of while_loop returned {} values for {} loop variables", next.size(), state.size()));
  for (size_t i = 0; i < state.size(); ++i) {
    if (state[i].dtype != next[i].dtype)
      fail_at(where, "While",
              fmt::format("Loop variable {} enters the loop with dtype {}, but has dtype {} after one iteration", i,
                          name_of(state[i].dtype), name_of(next[i].dtype)),
              fmt::format("tf::cast(value, {})", spelling_of(state[i].dtype)));
  }
}

std::vector<TensorSpec> specs_of(std::span<const Tensor> tensors) {
  std::vector<TensorSpec> specs;
  for (const Tensor& t : tensors) specs.push_back({t.dtype(), t.shape()});
  return specs;
}

// What a body may return: no None, and in eager mode no symbols.
std::vector<Tensor> checked(std::vector<Tensor> values, const char* op, std::source_location where) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!values[i].defined()) fail_at(where, op, "A body of control flow returned None: an undefined Tensor");
    check_input(op, i, values[i], where);
  }
  return values;
}

std::vector<Tensor> eager_while(std::vector<Tensor> state, const internal::TestFunction& test,
                                const internal::TensorFunction& body, const BodyKey& random_test,
                                const BodyKey& random_body, std::source_location where) {
  const auto go_on = [&](std::span<const Tensor> values) {
    const WithoutTape hidden;
    const BodyExecution execution(random_test);
    const Tensor p = test(values);
    check_predicate(p, "While", where);
    return static_cast<bool>(p);
  };
  const auto iteration = [&](std::span<const Tensor> values) {
    const BodyExecution execution(random_body);
    std::vector<Tensor> next = checked(body(values), "While", where);
    check_state(specs_of(values), specs_of(next), where);
    return next;
  };
  const auto loop = [&](std::span<const Tensor> values) {
    std::vector<Tensor> now(values.begin(), values.end());
    while (go_on(now)) now = mode().call_body(now, iteration, true, where);
    return now;
  };
  return mode().call_body(state, loop, false, where);
}

}  // namespace

namespace internal {

ControlFlowResult cond(const Operand& operand, const BranchFunction& then, const BranchFunction& otherwise) {
  const std::source_location where = t_state.source_scopes ? t_state.source : operand.where();
  const Tensor p =
      operand.is_literal() ? operand.literal().to_tensor(operand.literal().default_dtype()) : operand.resolve();
  check_predicate(p, "If", where);
  const BodyKey random_then = new_body_key("then"), random_else = new_body_key("else");
  if (!p.is_symbolic() || executing_eagerly()) {
    const bool chosen = static_cast<bool>(p);  // throws for a symbol
    const auto branch = [&](std::span<const Tensor>) {
      const BodyExecution execution(chosen ? random_then : random_else);
      return checked(chosen ? then() : otherwise(), "If", where);
    };
    return {mode().call_body({}, branch, true, where), {}};
  }
  check_not_escaped(p, where);
  GraphData& outer = surrounding_graph({&p, 1});
  const EnterGraph enter(outer);
  BuiltBody built_then =
      build_body(outer, "cond", random_then, {}, where, [&](auto) { return checked(then(), "If", where); });
  BuiltBody built_else =
      build_body(outer, "cond", random_else, {}, where, [&](auto) { return checked(otherwise(), "If", where); });
  check_alike(built_then.body, built_else.body, where);
  BodyNode node({p});
  const IfAttrs attrs{node.add(std::move(built_then)), node.add(std::move(built_else))};
  return result_of(node.make(outer, if_op, attrs, where), if_op);
}

ControlFlowResult while_loop(std::vector<Tensor> state, const TestFunction& test, const internal::TensorFunction& body,
                             std::source_location where) {
  if (t_state.source_scopes) where = t_state.source;
  for (size_t i = 0; i < state.size(); ++i) {
    check_input("While", i, state[i], where);
    check_not_escaped(state[i], where);
  }
  const BodyKey random_test = new_body_key("test"), random_body = new_body_key("body");
  if (executing_eagerly()) return {eager_while(std::move(state), test, body, random_test, random_body, where), {}};
  GraphData& outer = surrounding_graph(state);
  const EnterGraph enter(outer);
  for (Tensor& t : state)
    if (t.is_concrete()) t = Tensor::symbol(&outer, add_constant(outer, t, "", where), 0);
  std::vector<TensorSpec> specs = specs_of(state);
  BuiltBody built_body;
  for (bool settled = false; !settled;) {
    built_body = build_body(outer, "while_loop", random_body, specs, where,
                            [&](auto values) { return checked(body(values), "While", where); });
    std::vector<TensorSpec> next;
    for (size_t i = 0; i < built_body.body.outputs.size(); ++i) next.push_back(built_body.body.output_spec(i));
    check_state(specs, next, where);
    settled = true;
    for (size_t i = 0; i < specs.size(); ++i) {
      const Shape both = merged_shape(specs[i].shape, next[i].shape);
      settled = settled && both == specs[i].shape;
      specs[i].shape = both;
    }
  }
  BuiltBody built_test = build_body(outer, "while_loop", random_test, specs, where, [&](auto values) {
    const Tensor p = test(values);
    check_predicate(p, "While", where);
    return std::vector<Tensor>{p};
  });
  BodyNode node(std::move(state));
  WhileAttrs attrs;
  attrs.test = node.add(std::move(built_test));
  attrs.body = node.add(std::move(built_body));
  return result_of(node.make(outer, while_op, attrs, where), while_op);
}

void fail_structure(const char* what, const std::string& difference, std::source_location where) {
  throw Error(Code::InvalidArgument,
              {.message = fmt::format("{} must be nests of the same structure: {}", what, difference), .where = where});
}

Tensor loop_value(const Operand& value, std::span<const Tensor> state, size_t i) {
  return i < state.size() ? value.resolve(state[i].dtype()) : value.resolve();
}

}  // namespace internal

}  // namespace twofold
