#include <twofold/lib/saved/graph_writer.h>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>

#include <twofold/graph/backprop.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>

namespace twofold::saved {
namespace {

constexpr int64_t kElementsShown = 8;
constexpr size_t kAttributesShown = 120;

// What a body is for the node that holds it.
const char* role_of(const OpDef& op, size_t i) {
  if (&op == &if_op) return i == 0 ? "then" : "else";
  if (&op == &while_op) return i == 0 ? "test" : "body";
  return "body";
}

std::string one_line(std::string s) {
  std::ranges::replace(s, '\n', ' ');
  if (s.size() > kAttributesShown) s = s.substr(0, kAttributesShown) + "...";
  return s;
}

// Of nodes with bodies these follow; a constant of many elements is known by its shape.
std::string attributes_of(const Node& n) {
  if (n.op->flags.control_flow || n.op == &parameter_op || n.op == &capture_op) return {};
  if (n.op == &constant_op) {
    const Tensor& t = n.attrs_view().as<ConstantAttrs>().value.tensor;
    if (t.shape().saturated_elements() > kElementsShown) return {};
  }
  return one_line(n.attrs_view().str());
}

std::string type_of(const TensorSpec& spec) { return fmt::format("{} {}", name_of(spec.dtype), spec.shape.str()); }

// Of what others can read: control flow's last output is a handle to what was done.
std::string types_of(const Node& n) {
  const auto shown = n.outputs.first(n.outputs.size() - (!bodies_of(*n.op, n.attrs_view()).empty() ? 1 : 0));
  std::string s;
  for (const TensorSpec& spec : shown) s += (s.empty() ? "" : ", ") + type_of(spec);
  return s;
}

std::string edge_text(const GraphData& g, Edge e) { return e.output == 0 ? g.node_name(e.node) : g.edge_name(e); }

class Text {
 public:
  std::string run(const Body& body, const FunctionNames& names) {
    out_ = names.function + '(';
    for (size_t i = 0; i < body.parameters.size(); ++i)
      out_ += fmt::format("{}{}: {}", i ? ", " : "", names.arguments[i], type_of(body.graph->spec(body.parameters[i])));
    out_ += ") {\n";
    for (size_t i = 0; i < body.parameters.size(); ++i) parameters_[body.parameters[i].key()] = names.arguments[i];
    add(body, 1, names.results);
    return out_ + "}\n";
  }

 private:
  void add(const Body& body, size_t depth, const std::vector<std::string>& results) {
    const GraphData& g = *body.graph;
    const std::string indent(2 * depth, ' ');
    for (uint32_t id = 0; id < g.size(); ++id) {
      const Node& n = g.node(id);
      out_ += indent + g.node_name(id) + " = " + std::string(n.op->name) + '(';
      if (n.op == &parameter_op && depth == 1) out_ += parameter_name(id);
      for (size_t i = 0; i < n.inputs.size(); ++i) out_ += (i ? ", " : "") + edge_text(g, n.inputs[i]);
      out_ += ')';
      if (const std::string attributes = attributes_of(n); !attributes.empty()) out_ += " {" + attributes + '}';
      if (const std::string types = types_of(n); !types.empty()) out_ += " -> " + types;
      for (size_t i = 0; i < n.controls.size(); ++i) out_ += (i ? ", " : " after ") + g.node_name(n.controls[i]);
      if (n.where.line()) out_ += "  # " + line_of(n.where);
      out_ += '\n';
      const auto bodies = bodies_of(*n.op, n.attrs_view());
      for (size_t i = 0; i < bodies.size(); ++i) {
        out_ += fmt::format("{}  {} {{\n", indent, role_of(*n.op, i));
        add(*bodies[i], depth + 2, {});
        out_ += indent + "  }\n";
      }
    }
    for (uint32_t id : body.effects) out_ += fmt::format("{}does {}\n", indent, g.node_name(id));
    for (size_t i = 0; i < body.outputs.size(); ++i)
      out_ += fmt::format("{}returns {}{}\n", indent, i < results.size() ? results[i] + " = " : "",
                          edge_text(g, body.outputs[i]));
  }

  std::string parameter_name(uint32_t id) const {
    const auto known = parameters_.find(Edge{id, 0}.key());
    return known == parameters_.end() ? "" : known->second;
  }

  std::string out_;
  std::map<uint64_t, std::string> parameters_;
};

class Dot {
 public:
  std::string run(const Body& body, const FunctionNames& names) {
    out_ = fmt::format("digraph {} {{\n  compound=true;\n  node [shape=box, fontname=\"sans-serif\", fontsize=10];\n",
                       quoted(names.function));
    for (size_t i = 0; i < body.parameters.size(); ++i) arguments_[body.parameters[i].key()] = names.arguments[i];
    const std::string prefix = add(body, 1);
    for (size_t i = 0; i < body.outputs.size(); ++i) {
      const Edge e = body.outputs[i];
      out_ += fmt::format("  result{} [label={}, shape=doubleoctagon];\n  {}n{} -> result{} [label={}];\n", i,
                          quoted(names.results[i]), prefix, e.node, i, quoted(type_of(body.graph->spec(e))));
    }
    return out_ + "}\n";
  }

 private:
  static std::string quoted(std::string_view s) {
    std::string q = "\"";
    for (char c : s) {
      if (c == '\n') {
        q += "\\n";
        continue;
      }
      if (c == '"' || c == '\\') q += '\\';
      q += c;
    }
    return q + '"';
  }

  static const char* style_of(const Node& n) {
    if (n.op == &parameter_op || n.op == &capture_op) return ", shape=ellipse";
    if (n.op == &constant_op) return ", shape=plaintext";
    if (n.op->flags.reads_variable || n.op->flags.writes_variable) return ", shape=cylinder";
    if (n.op->flags.control_flow) return ", style=bold";
    return "";
  }

  // The prefix of its nodes' names.
  std::string add(const Body& body, size_t depth) {
    const GraphData& g = *body.graph;
    const std::string prefix = fmt::format("b{}_", bodies_++), indent(2 * depth, ' ');
    for (uint32_t id = 0; id < g.size(); ++id) {
      const Node& n = g.node(id);
      std::string label = g.node_name(id) + '\n' + std::string(n.op->name);
      if (const auto name = arguments_.find(Edge{id, 0}.key()); depth == 1 && name != arguments_.end())
        label = name->second;
      if (const std::string attributes = attributes_of(n); !attributes.empty()) label += '\n' + attributes;
      if (const std::string types = types_of(n); !types.empty()) label += '\n' + types;
      out_ += fmt::format("{}{}n{} [label={}{}];\n", indent, prefix, id, quoted(label), style_of(n));
      for (Edge e : n.inputs) out_ += fmt::format("{}{}n{} -> {}n{};\n", indent, prefix, e.node, prefix, id);
      for (uint32_t c : n.controls)
        out_ += fmt::format("{}{}n{} -> {}n{} [style=dotted];\n", indent, prefix, c, prefix, id);
      const auto bodies = bodies_of(*n.op, n.attrs_view());
      for (size_t i = 0; i < bodies.size(); ++i) {
        if (bodies[i]->graph->size() == 0) continue;
        const int cluster = clusters_++;
        out_ += fmt::format("{}subgraph cluster_{} {{\n{}  label={};\n", indent, cluster, indent,
                            quoted(fmt::format("{} of {}", role_of(*n.op, i), g.node_name(id))));
        const std::string inner = add(*bodies[i], depth + 1);
        out_ += fmt::format("{}}}\n{}{}n{} -> {}n0 [style=dashed, lhead=cluster_{}];\n", indent, indent, prefix, id,
                            inner, cluster);
      }
    }
    return prefix;
  }

  std::string out_;
  std::map<uint64_t, std::string> arguments_;
  int bodies_ = 0, clusters_ = 0;
};

}  // namespace

std::string text_of(const Body& body, const FunctionNames& names) { return Text().run(body, names); }
std::string dot_of(const Body& body, const FunctionNames& names) { return Dot().run(body, names); }

}  // namespace twofold::saved
