#include <twofold/graph/graph.h>

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include <twofold/graph/body.h>
#include <twofold/graph/body_symbols.h>
#include <twofold/graph/control.h>
#include <twofold/graph/default_graph.h>
#include <twofold/graph/graph_data.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/kernels/layout/layout.h>
#include <twofold/lib/op/constant.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/runtime/device.h>

namespace twofold {

Tensor internal::TensorParts::symbol(GraphData* graph, uint32_t node, uint16_t output) noexcept {
  Tensor t;
  SymbolOwner* owner = graph;
  if (t_state.symbols) [[unlikely]]
    owner = t_state.symbols->owner(graph, node);
  owner->retain();
  t.object_ = owner;
  t.node_ = node;
  t.output_ = output;
  t.kind_ = Tensor::Kind::symbol;
  return t;
}
Operation Tensor::op() const { return is_symbolic() ? Operation(Ref<GraphData>(graph()), node_) : Operation(); }

Operation::Operation(Ref<GraphData> graph, uint32_t node) : graph_(graph.detach()), node_(node) {}
Operation::Operation(const Operation& o) : graph_(o.graph_), node_(o.node_) {
  if (graph_) graph_->retain();
}
Operation::Operation(Operation&& o) noexcept : graph_(std::exchange(o.graph_, nullptr)), node_(o.node_) {}
Operation& Operation::operator=(Operation o) noexcept {
  std::swap(graph_, o.graph_);
  std::swap(node_, o.node_);
  return *this;
}
Operation::~Operation() {
  if (graph_) graph_->release();
}
namespace {
const Node& node_of(const Operation& o, std::source_location where = {}) {
  if (!o.defined())
    fail_at(where, "", Code::FailedPrecondition, "An undefined Operation: eager work is done already and has no node",
            "if (op.defined()) ...");
  return o.graph()->node(o.node());
}
}  // namespace
std::string Operation::name(Where where) const { return node_of(*this, where), graph_->node_name(node_); }
std::string Operation::type(Where where) const { return node_of(*this, where).op->name; }
int Operation::num_outputs(Where where) const {
  const Node& n = node_of(*this, where);
  return static_cast<int>(n.outputs.size()) - n.op->hidden;
}
Tensor Operation::output(int i, Where where) const {
  if (i < 0 || i >= num_outputs(where))
    fail_at(where, "", Code::OutOfRange,
            fmt::format("Operation '{}' has {} outputs, not {}", name(), num_outputs(), i + 1));
  return Tensor::symbol(graph_, node_, static_cast<uint16_t>(i));
}
std::source_location Operation::where() const { return node_of(*this).where; }
std::ostream& operator<<(std::ostream& out, const Operation& o) {
  if (!o.defined()) return out << "<tf.Operation (done)>";
  return out << "<tf.Operation '" << o.name() << "' type=" << o.type() << ">";
}

Graph::Graph() : data_(make_ref<GraphData>()) {}
Graph::Graph(Ref<GraphData> data) : data_(std::move(data)) {}
Graph internal::GraphParts::graph(Ref<GraphData> data) { return Graph(std::move(data)); }
GraphData* internal::GraphParts::data(const Graph& g) { return static_cast<GraphData*>(g.data_.get()); }
Graph::Scope::Scope(const Graph& g) : graph_(g.data_), current_(std::make_unique<CurrentGraph>(*g.data())) {}
Graph::Scope::~Scope() = default;
void Graph::finalize() { data()->finalize(); }
bool Graph::finalized() const { return data()->finalized(); }
int64_t Graph::num_operations() const { return data()->size(); }
std::vector<Operation> Graph::operations() const {
  std::vector<Operation> all;
  for (uint32_t i = 0; i < data()->size(); ++i) all.emplace_back(Ref<GraphData>(data()), i);
  return all;
}
Operation Graph::operation(std::string_view name, Where where) const {
  const int64_t id = data()->find(name);
  if (id < 0)
    fail_at(where, "", Code::NotFound, fmt::format("The name '{}' refers to an Operation not in the graph.", name));
  return Operation(Ref<GraphData>(data()), static_cast<uint32_t>(id));
}
Tensor Graph::tensor(std::string_view name, Where where) const {
  const SourceScope source_scope(where);
  const auto colon = name.rfind(':');
  int output = 0;
  if (colon == name.npos || colon + 1 == name.size() || name.size() - colon > 5 ||
      name.find_first_not_of("0123456789", colon + 1) != name.npos)
    fail(Code::InvalidArgument, fmt::format("'{}' is no tensor name: it must be \"<operation>:<output>\"", name),
         fmt::format("\"{}:0\"", name));
  output = std::stoi(std::string(name.substr(colon + 1)));
  const int64_t id = data()->find(name.substr(0, colon));
  if (id < 0)
    fail(Code::NotFound,
         fmt::format("The name '{}' refers to a Tensor which does not exist. The operation, '{}', does not exist in "
                     "the graph.",
                     name, name.substr(0, colon)));
  return Operation(Ref<GraphData>(data()), static_cast<uint32_t>(id)).output(output);
}
std::vector<Variable> Graph::variables() const {
  std::vector<Variable> all;
  for (const auto& v : data()->variables()) all.push_back(Variable::of(v.state, data_));
  return all;
}

NameScope::NameScope(std::string_view name, std::source_location where)
    : outer_(t_state.scope), outer_path_(t_state.scope_path) {
  const SourceScope source_scope(where);
  GraphData::check_scope_name(name);
  if (!executing_eagerly()) {
    Ref<RefCounted> kept = keep_default_graph();
    try {
      t_state.scope = current_graph().open_scope(t_state.scope, name);
    } catch (...) {
      release_default_graph(kept);
      throw;
    }
    graph_ = std::move(kept);
  }
  t_state.scope_path = scope_path_in(t_state.scope_path, name);
}
NameScope::~NameScope() {
  release_default_graph(graph_);
  t_state.scope = outer_;
  t_state.scope_path = outer_path_;
}

internal::Naming::Naming(std::string_view name, std::source_location where) : name_(name), where_(where) {
  const SourceScope source_scope(where);
  GraphData::check_name(name);
  if (executing_eagerly()) return;
  GraphData& g = current_graph();
  graph_ = Ref<RefCounted>(&g);
  begin_ = g.size();
}

bool internal::Naming::take(const GraphData* graph, uint32_t node, bool only_names) {
  if (graph != graph_.get() || node < begin_ || std::ranges::find(named_, node) != named_.end()) return false;
  named_.push_back(node);
  static_cast<GraphData*>(graph_.get())->rename(node, name_, only_names);
  return true;
}

void internal::Naming::name(Tensor& t) {
  if (!graph_ || !t.is_symbolic() || take(t.graph(), t.node())) return;
  const SourceScope source_scope(where_);
  t = identity(Operand(t, where_));
  if (!take(t.graph(), t.node(), true))
    fail(Code::InvalidArgument,
         fmt::format("{}, to be called '{}', is of another graph than the current one", to_string(t), name_),
         "auto scope = graph.as_default();");
}
void internal::Naming::name(Operation& o) {
  if (!graph_ || !o.defined() || take(o.graph(), o.node())) return;
  o = group({o}, where_);
  take(o.graph(), o.node(), true);
}

DeviceScope::DeviceScope(std::string_view name, std::source_location where) : outer_(t_state.device) {
  const SourceScope source_scope(where);
  t_state.device = parse_device(name).index;
}
DeviceScope::~DeviceScope() { t_state.device = outer_; }

Tensor placeholder(DType dtype, const Shape& shape, PlaceholderOptions options, std::source_location where) {
  SourceScope source_scope(where);
  if (executing_eagerly())
    fail(Code::FailedPrecondition, "tf.placeholder() is not compatible with eager execution.",
         "pass the value itself: tf::tensor(v)");
  if (current_graph().outer())
    fail(Code::FailedPrecondition,
         fmt::format("A placeholder was made in the body of a {}, where no run can feed it", current_graph().label()),
         "make it before the body, which may use it");
  const NextName name(options.name);
  return apply(placeholder_op, {}, PlaceholderAttrs{dtype, shape}, where);
}

// What is built here runs later, and perhaps many times.
static bool building_body() { return !executing_eagerly() && (t_state.symbols || current_graph().outer()); }

Tensor print(Operand x, std::string message) {
  const Tensor& value = x.resolve();
  if (value.is_concrete() && !building_body()) {
    write_lines(print_line(message, value));
    return done_now(print_op, value, x.where());
  }
  const Tensor symbol = value.is_concrete() ? graph_constant(value, "", x.where()) : value;
  return apply(print_op, {&symbol}, PrintAttrs{std::move(message)}, x.where());
}

Operation assert_that(Operand condition, std::string message, std::initializer_list<Operand> data) {
  const SourceScope source_scope(condition.where());
  const auto value_of = [](const Operand& x) { return x.is_literal() ? tensor(x.literal()) : x.resolve(); };
  std::vector<Tensor> inputs{value_of(condition)};
  for (const Operand& d : data) inputs.push_back(value_of(d));
  std::vector<const Tensor*> pointers;
  const Tensor* symbol = nullptr;
  for (size_t i = 0; i < inputs.size(); ++i) {
    check_input(assert_op.name, i, inputs[i], condition.where());
    pointers.push_back(&inputs[i]);
    if (inputs[i].is_symbolic()) symbol = &inputs[i];
  }
  const CurrentOp current(assert_op.name, condition.where());
  if (!symbol && (executing_eagerly() || !current_graph().outer())) {
    check_assertion(message, pointers);
    if (executing_eagerly() && t_state.observing)
      t_state.observing->eager_op(assert_op, pointers, {}, condition.where());
    return {};
  }
  if (symbol) check_not_escaped(*symbol, condition.where());
  GraphData& g = !symbol || current_graph().within(symbol->graph()) ? current_graph() : *symbol->graph();
  const EnterGraph enter(g);
  SmallVector<Edge, 4> edges;
  SmallVector<TensorSpec, 4> specs;
  for (const Tensor& t : inputs) {
    edges.push_back(edge_in(g, t, condition.where()));
    specs.push_back(g.spec(edges.back()));
  }
  const AssertAttrs attrs{std::move(message)};
  InferContext context(assert_op, specs, attrs, {});
  assert_op.infer(context);
  return Operation(Ref<GraphData>(&g), g.add(assert_op, edges, attrs, {}, "", t_state.source));
}

Operation global_variables_initializer(std::source_location where) {
  const SourceScope source_scope(where);
  if (executing_eagerly()) return {};
  GraphData& g = current_graph();
  std::vector<uint32_t> nodes;
  for (const auto& v : g.variables()) nodes.push_back(v.initializer);
  const ControlScope after(g, std::move(nodes), true);
  return Operation(Ref<GraphData>(&g), g.add(no_op_op, {}, {}, {}, "init", t_state.source));
}

Operation variables_initializer(const std::vector<Variable>& variables, std::source_location where) {
  const SourceScope source_scope(where);
  for (const Variable& v : variables)
    if (v.state()->eager_value().defined() != executing_eagerly())
      fail(Code::FailedPrecondition,
           fmt::format("The variable '{}', made at {}:{}, belongs to {}", v.name(), v.state()->where.file_name(),
                       v.state()->where.line(), executing_eagerly() ? "a graph" : "eager code"),
           "initialise it in the mode it was made in");
  if (executing_eagerly()) return {};
  GraphData& g = current_graph();
  std::vector<uint32_t> nodes;
  for (const Variable& v : variables) nodes.push_back(g.variable(*v.state()).initializer);
  const ControlScope after(g, std::move(nodes), true);
  return Operation(Ref<GraphData>(&g), g.add(no_op_op, {}, {}, {}, "init", t_state.source));
}
Operation variables_initializer(const std::map<std::string, Variable>& state, std::source_location where) {
  std::vector<Variable> variables;
  for (const auto& [name, variable] : state) variables.push_back(variable);
  return variables_initializer(variables, where);
}

std::vector<Variable> global_variables() { return get_default_graph().variables(); }
std::vector<Variable> trainable_variables() {
  std::vector<Variable> all = global_variables();
  std::erase_if(all, [](const Variable& v) { return !v.trainable(); });
  return all;
}

}  // namespace twofold
