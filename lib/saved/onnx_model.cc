#include <twofold/lib/saved/onnx_model.h>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include <twofold/graph/body.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/build_info.h>
#include <twofold/lib/saved/onnx_rules.h>

#include "lib/onnx_subset.pb.h"

namespace twofold::saved {
namespace {

namespace pb = onnx_file;

constexpr int64_t kIrVersion = 8, kOpset = 17;
constexpr size_t kMostBytes = size_t{INT32_MAX};  // of a protobuf message

void set_type(pb::ValueInfoProto& to, const std::string& name, const TensorSpec& spec, const std::string& open = {}) {
  to.set_name(name);
  auto& type = *to.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx_dtype(spec.dtype));
  if (!spec.shape.has_rank()) return;
  auto& shape = *type.mutable_shape();
  for (int i = 0; i < spec.shape.rank(); ++i) {
    auto& dim = *shape.add_dim();
    if (spec.shape.knows(i))
      dim.set_dim_value(spec.shape[i]);
    else if (!open.empty())
      dim.set_dim_param(fmt::format("{}_{}", open, i));
  }
}

/// An op that cannot go, and where.
struct Problem {
  std::string op, node, line, why, hint;
  auto operator<=>(const Problem&) const = default;
};

using Values = std::unordered_map<uint64_t, std::string>;  // names by Edge::key

class Exporting final : public OnnxTarget {
 public:
  Exporting(const ProgramRecord& program, const FunctionRecord& f, const OnnxOptions& options,
            std::source_location where)
      : program_(program), f_(f), options_(options), where_(where), top_(*model_.mutable_graph()) {}

  std::string run(const std::string& name) {
    model_.set_ir_version(kIrVersion);
    model_.set_producer_name("twofold");
    model_.set_producer_version(build_info().version);
    auto& opset = *model_.add_opset_import();
    opset.set_domain("");
    opset.set_version(kOpset);
    top_.set_name(name);
    Values values;
    for (const std::string& argument : f_.arguments) reserve(argument, "argument");
    for (const auto& r : f_.results) reserve(r.name, "result");
    for (size_t i = 0; i < f_.arguments.size(); ++i) {
      const Edge e = f_.body.parameters[i];
      values[e.key()] = f_.arguments[i];
      set_type(*top_.add_input(), f_.arguments[i], f_.body.graph->spec(e), f_.arguments[i]);
    }
    for (const auto& r : f_.results)
      if (r.output >= 0) wanted_.try_emplace(f_.body.outputs[static_cast<size_t>(r.output)].key(), r.name);
    add_nodes(f_.body, values, top_, &wanted_);
    add_results(values);
    refuse_problems();
    check_size(model_.ByteSizeLong());
    return model_.SerializeAsString();
  }

  std::string ints(const OnnxInts& values) override {
    const auto [known, is_new] = ints_.try_emplace(values);
    if (is_new) {
      auto v = Value::make(int64, Shape{values.size()});
      std::ranges::copy(values, static_cast<int64_t*>(v->data()));
      known->second = add_initializer("ints", *v);
    }
    return known->second;
  }
  std::string number(const Number& value, DType dtype) override {
    auto v = Value::make(dtype, Shape{});
    dispatch(dtype, [&]<class T>(T) { *static_cast<T*>(v->data()) = value.as<T>(); });
    const auto [known, is_new] =
        numbers_.try_emplace({dtype, std::string(static_cast<const char*>(v->data()), v->bytes())});
    if (is_new) known->second = add_initializer("number", *v);
    return known->second;
  }
  std::string unique(std::string wanted) override {
    std::string name = wanted;
    for (int64_t& n = counts_[wanted]; !names_.insert(name).second;) name = fmt::format("{}_{}", wanted, ++n);
    return name;
  }

 private:
  void reserve(const std::string& name, const char* what) {
    if (name.empty() || !names_.insert(name).second)
      fail_at(where_, "", Code::InvalidArgument,
              fmt::format("In an ONNX model names differ, and the name '{}' of {} is taken", name, what),
              R"({.arguments = {"x"}, .results = {"y"}} in tf::function's options)");
  }

  void check_size(size_t bytes) {
    if (bytes > kMostBytes)
      fail_at(where_, "", Code::Unimplemented,
              "An ONNX model of more than 2 GB needs files beside it, which save_onnx does not write",
              "tf::save(path, {{\"f\", f}}), which knows no such bound");
  }

  std::string add_initializer(std::string name, const Value& value) {
    bytes_ += value.bytes();
    check_size(bytes_);
    pb::TensorProto& t = *top_.add_initializer();
    t.set_name(unique(std::move(name)));
    t.set_data_type(onnx_dtype(value.dtype()));
    for (int64_t d : value.shape().raw()) t.add_dims(d);
    const Value& host = value.on_host();
    t.set_raw_data(host.data(), host.bytes());
    return t.name();
  }

  std::string variable(const VariableState& v) {
    const auto [known, is_new] = variables_.try_emplace(v.id);
    if (is_new) {
      const auto of_v = [&](const auto& held) { return held.first->id == v.id; };
      known->second = add_initializer(v.name, *std::ranges::find_if(program_.variables, of_v)->second.value());
    }
    return known->second;
  }

  /// What a constant, a parameter and the like is without a rule; empty: it is none of these.
  std::string source(const GraphData& g, uint32_t id) {
    const Node& n = g.node(id);
    if (n.op == &constant_op)
      return add_initializer(g.node_name(id), *n.attrs_view().as<ConstantAttrs>().value.tensor.value());
    if (const auto* v = variable_in(n.attrs_view()); v && (n.op == &read_variable_op || n.op == &variable_op))
      return variable(**v);
    return {};
  }

  bool is_dropped(const OpDef& op) const {
    return options_.drop_checks &&
           (&op == &print_op || &op == &assert_op || op.name == std::string_view("CheckNumerics"));
  }

  /// Nodes that the outputs of a body need, and those that do something, in order.
  std::vector<uint32_t> needed_of(const Body& body) const {
    const GraphData& g = *body.graph;
    std::vector<bool> needed(g.size());
    for (Edge e : body.outputs) needed[e.node] = true;
    for (uint32_t id : body.effects) {
      const OpDef& op = *g.node(id).op;
      needed[id] = needed[id] || (op.flags.effect && !is_dropped(op)) || op.flags.control_flow;
    }
    std::vector<uint32_t> ids;
    for (uint32_t id = g.size(); id-- > 0;) {
      if (!needed[id]) continue;
      ids.push_back(id);
      for (Edge e : g.node(id).inputs) needed[e.node] = true;
      for (uint32_t c : g.node(id).controls)
        if (!is_dropped(*g.node(c).op)) needed[c] = true;
    }
    std::ranges::reverse(ids);
    return ids;
  }

  /// Adds what a body does; `values` has its parameters and captures, and gets all the rest.
  void add_nodes(const Body& body, Values& values, pb::GraphProto& to, const Values* wanted = nullptr) {
    const GraphData& g = *body.graph;
    for (uint32_t id : needed_of(body)) {
      const Node& n = g.node(id);
      if (values.contains(Edge{id, 0}.key())) continue;
      if (const std::string name = source(g, id); !name.empty()) {
        values[Edge{id, 0}.key()] = name;
        continue;
      }
      if (n.op == &no_op_op || (is_dropped(*n.op) && n.outputs.empty())) continue;
      OnnxNames inputs;
      for (Edge e : n.inputs) inputs.push_back(values[e.key()]);
      const int first = to.node_size();
      OnnxNames results(n.outputs.size());
      try {
        results = add_node(g, id, inputs, to);
      } catch (OnnxOp::Refused& refused) {
        problems_.insert({n.op->name, g.node_name(id), line_of(n.where), refused.why, refused.hint});
      }
      for (size_t k = 0; k < results.size(); ++k) {
        const Edge e{id, static_cast<uint16_t>(k)};
        const std::string* given = nullptr;
        if (const auto result = wanted ? wanted->find(e.key()) : Values::const_iterator();
            wanted && result != wanted->end())
          given = &result->second;
        values[e.key()] = named(g, e, results[k], given, to, first);
      }
    }
  }

  /// The value that nodes from `first` on have made under the name of the edge, or `wanted`.
  std::string named(const GraphData& g, Edge e, const std::string& made, const std::string* wanted, pb::GraphProto& to,
                    int first) {
    if (made.empty()) return made;
    for (int i = first; i < to.node_size(); ++i) {
      auto& outputs = *to.mutable_node(i)->mutable_output();
      const auto at = std::ranges::find(outputs, made);
      if (at == outputs.end()) continue;
      const std::string name =
          wanted ? *wanted
                 : unique(e.output == 0 ? g.node_name(e.node) : fmt::format("{}:{}", g.node_name(e.node), e.output));
      *at = name;
      if (outputs.size() == 1) to.mutable_node(i)->set_name(name);
      for (int k = i + 1; k < to.node_size(); ++k)
        std::ranges::replace(*to.mutable_node(k)->mutable_input(), made, name);
      if (!wanted && g.spec(e).shape.has_rank() && g.spec(e).dtype != DType::list)
        set_type(*to.add_value_info(), name, g.spec(e));
      return name;
    }
    return made;  // an input, or one that has its name
  }

  OnnxNames add_node(const GraphData& g, uint32_t id, const OnnxNames& inputs, pb::GraphProto& to) {
    const Node& n = g.node(id);
    if (n.op == &if_op) return add_if(g, id, inputs, to);
    if (n.op == &while_op) return add_while(g, id, inputs, to);
    if (n.op == &call_op) {
      const Body& body = n.attrs_view().as<CallAttrs>().body;
      Values values = values_in(body, inputs, inputs);
      add_nodes(body, values, to);
      OnnxNames results = outputs_of(body, values);
      results.resize(n.outputs.size());
      return results;
    }
    if (is_dropped(*n.op)) return {inputs[0]};
    const OnnxRule* rule = find_onnx_rule(n.op->name);
    if (!rule || !rule->write)
      throw OnnxOp::Refused{std::string(rule ? rule->why : "save_onnx has no rule for it"),
                            std::string(rule ? rule->hint : "")};
    const DType dtype = n.inputs.empty() ? n.outputs[0].dtype : g.spec(n.inputs[0]).dtype;
    if (!holds(rule->dtypes, dtype))
      throw OnnxOp::Refused{fmt::format("it is of dtype {}, which {} does not take", name_of(dtype), rule->onnx), {}};
    if (std::ranges::find(inputs, "") != inputs.end()) return OnnxNames(n.outputs.size());  // of what was refused
    OnnxOp op(*rule, g, id, inputs, to, *this);
    rule->write(op);
    return op.results();
  }

  /// What a body starts with: its parameters, and captures by their places among the inputs of its node.
  static Values values_in(const Body& body, const OnnxNames& parameters, const OnnxNames& inputs) {
    Values values;
    for (size_t i = 0; i < body.parameters.size(); ++i) values[body.parameters[i].key()] = parameters[i];
    for (size_t i = 0; i < body.captures.size(); ++i) values[body.captures[i].key()] = inputs[body.capture_inputs[i]];
    return values;
  }
  static OnnxNames outputs_of(const Body& body, Values& values) {
    OnnxNames names;
    for (Edge e : body.outputs) names.push_back(values[e.key()]);
    return names;
  }

  /// An output of a subgraph, which has a node of its own there.
  void add_output(pb::GraphProto& to, const std::string& value, const TensorSpec& spec) {
    const std::string name = unique(to.name() + "/output");
    add_onnx_node(to, "Identity", {value}, {name}, name, {});
    set_type(*to.add_output(), name, spec);
  }

  pb::GraphProto& add_subgraph(pb::NodeProto& node, const char* attribute, const std::string& name) {
    pb::AttributeProto& a = *node.add_attribute();
    a.set_name(attribute);
    a.set_type(pb::AttributeProto::GRAPH);
    a.mutable_g()->set_name(name);
    return *a.mutable_g();
  }

  OnnxNames result_names(const GraphData& g, uint32_t id, size_t n) {
    OnnxNames names;
    for (size_t i = 0; i < n; ++i) names.push_back(unique(fmt::format("{}/{}", g.node_name(id), i)));
    return names;
  }

  OnnxNames add_if(const GraphData& g, uint32_t id, const OnnxNames& inputs, pb::GraphProto& to) {
    const IfAttrs& a = g.node(id).attrs_view().as<IfAttrs>();
    const size_t n = a.then_body.outputs.size();
    OnnxNames results = result_names(g, id, std::max<size_t>(n, 1));
    pb::NodeProto node;
    for (const auto& [attribute, body] :
         {std::pair("then_branch", &a.then_body), std::pair("else_branch", &a.else_body)}) {
      pb::GraphProto& branch = add_subgraph(node, attribute, g.node_name(id) + "/" + attribute);
      Values values = values_in(*body, {}, inputs);
      add_nodes(*body, values, branch);
      for (size_t i = 0; i < n; ++i) add_output(branch, values[body->outputs[i].key()], body->output_spec(i));
    }
    if (n) {  // a branch that only does something has been refused
      add_onnx_node(to, "If", {inputs[0]}, results, results[0], {}).mutable_attribute()->Swap(node.mutable_attribute());
    }
    results.resize(g.node(id).outputs.size());
    return results;
  }

  OnnxNames add_while(const GraphData& g, uint32_t id, const OnnxNames& inputs, pb::GraphProto& to) {
    const WhileAttrs& a = g.node(id).attrs_view().as<WhileAttrs>();
    const size_t n = a.body.parameters.size();
    const OnnxNames initial(inputs.begin(), inputs.begin() + static_cast<std::ptrdiff_t>(n));
    const std::string name = g.node_name(id);
    // The test stands before the loop, of the initial state, and at the end of its body, of the new one.
    Values before = values_in(a.test, initial, inputs);
    add_nodes(a.test, before, to);
    OnnxNames given{"", before[a.test.outputs[0].key()]};
    given.insert(given.end(), initial.begin(), initial.end());

    pb::NodeProto node;
    pb::GraphProto& loop = add_subgraph(node, "body", name + "/body");
    set_type(*loop.add_input(), unique(name + "/pass"), {int64, Shape{}});
    set_type(*loop.add_input(), unique(name + "/goes_on"), {bool_, Shape{}});
    OnnxNames state;
    for (size_t i = 0; i < n; ++i) {
      state.push_back(unique(fmt::format("{}/state_{}", name, i)));
      set_type(*loop.add_input(), state.back(), a.body.graph->spec(a.body.parameters[i]));
    }
    Values values = values_in(a.body, state, inputs);
    add_nodes(a.body, values, loop);
    const OnnxNames next = outputs_of(a.body, values);
    Values after = values_in(a.test, next, inputs);
    add_nodes(a.test, after, loop);
    add_output(loop, after[a.test.outputs[0].key()], {bool_, Shape{}});
    for (size_t i = 0; i < n; ++i) add_output(loop, next[i], a.body.graph->spec(a.body.parameters[i]));
    OnnxNames results = result_names(g, id, n);
    add_onnx_node(to, "Loop", given, results, name, {}).mutable_attribute()->Swap(node.mutable_attribute());
    results.resize(g.node(id).outputs.size());
    return results;
  }

  void add_results(Values& values) {
    for (const auto& r : f_.results) {
      TensorSpec spec;
      std::string value;
      if (r.output >= 0) {
        const Edge e = f_.body.outputs[static_cast<size_t>(r.output)];
        spec = f_.body.graph->spec(e);
        value = values[e.key()];
      } else if (r.constant.defined()) {
        spec = {r.constant.dtype(), r.constant.shape()};
        value = add_initializer(r.name + "/value", *r.constant.value());
      } else {
        continue;  // it only does something, which has been refused
      }
      if (!spec.shape.has_rank())
        problems_.insert({"result", r.name, line_of(f_.where), "ONNX wants to know the rank of a model's outputs",
                          "tf::ensure_shape(y, {-1, -1})"});
      if (value != r.name) add_onnx_node(top_, "Identity", {value}, {r.name}, r.name, {});
      set_type(*top_.add_output(), r.name, spec, r.name);
    }
  }

  void refuse_problems() const {
    if (problems_.empty()) return;
    std::string list, hint;
    for (const Problem& p : problems_) {
      list += fmt::format("\n  {} '{}' at {}: {}", p.op, p.node, p.line, p.why);
      if (hint.empty()) hint = p.hint;
    }
    fail_at(where_, "", Code::Unimplemented,
            fmt::format("{} cannot be an ONNX model, for these ops have no place in one:{}\n", f_title(), list), hint);
  }
  std::string f_title() const { return fmt::format("The function made at {}", line_of(f_.where)); }

  const ProgramRecord& program_;
  const FunctionRecord& f_;
  const OnnxOptions& options_;
  const std::source_location where_;
  pb::ModelProto model_;
  pb::GraphProto& top_;
  Values wanted_;  // results' names
  std::unordered_set<std::string> names_;
  std::unordered_map<std::string, int64_t> counts_;
  std::map<OnnxInts, std::string> ints_;
  std::map<std::pair<DType, std::string>, std::string> numbers_;
  std::unordered_map<uint64_t, std::string> variables_;
  std::set<Problem> problems_;
  size_t bytes_ = 0;
};

}  // namespace

std::string onnx_model(const ProgramRecord& program, const FunctionRecord& f, const std::string& name,
                       const OnnxOptions& options, std::source_location where) {
  return Exporting(program, f, options, where).run(name);
}

}  // namespace twofold::saved
