#include <twofold/session/traced_function.h>

#include <fmt/format.h>

#include <algorithm>

#include <twofold/graph/control.h>
#include <twofold/graph/graph.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/runtime/thread_state.h>
#include <twofold/session/host_reads.h>

namespace twofold::internal {
namespace {

// In a body that is traced, what a result is: a variable is read at the end.
Tensor symbol_now(const Fetch& f, GraphData& home) {
  if (f.kind() == Fetch::Kind::variable) return Variable::of(f.variable()).read();
  if (f.kind() == Fetch::Kind::name) {
    GraphData& inside = current_graph();
    const std::string node = f.name().substr(0, f.name().find(':'));
    return Graph::of(Ref<GraphData>(inside.find(node) >= 0 ? &inside : &home)).tensor(f.name());
  }
  return f.tensor();  // undefined for an Operation, as in a run's results
}

std::string line_of_node(const GraphData& g, uint32_t id) {
  return fmt::format("'{}' at {}", g.node_name(id), line_of(g.node(id).where));
}

}  // namespace

TensorSpec argument_spec(const Signature& signature, std::span<const Shape> shapes, size_t i) {
  const auto& [dtype, rank] = signature.arguments[i];
  const bool declared = i < shapes.size() && shapes[i].has_rank();
  return {dtype, declared ? shapes[i] : rank < 0 ? unknown_shape : Shape::of_rank(rank)};
}

std::string to_string(const Signature& signature, std::span<const Shape> shapes) {
  std::string text;
  for (size_t i = 0; i < signature.arguments.size(); ++i) {
    const TensorSpec spec = argument_spec(signature, shapes, i);
    text += fmt::format("{}{} {}", i ? ", " : "", name_of(spec.dtype),
                        spec.shape.has_rank() ? spec.shape.str() : "of unknown rank");
  }
  return text.empty() ? "no arguments" : text;
}

TracedFunction trace(const Tracing& tracing, const Signature& signature, const FunctionRunner::Body& body) {
  TracedFunction made{.signature = signature};
  const DeferredMode deferred;
  const CurrentGraph in_home(tracing.home);
  const ControlScope free(tracing.home, {}, true);  // a call is bound by what is in force where it is made
  const OnDevice on({signature.device});
  std::vector<TensorSpec> specs;
  for (size_t i = 0; i < signature.arguments.size(); ++i) specs.push_back(argument_spec(signature, tracing.shapes, i));
  std::optional<HostReads> reads;  // outlives the symbols, which ask it
  std::optional<BodySymbols> symbols;
  std::vector<Fetch> returned;
  const bool is_step = tracing.kind == FunctionRunner::Kind::step;
  BuiltBody built = build_body(
      tracing.home, is_step ? "step" : "function", tracing.key, specs, tracing.where,
      [&](std::span<const Tensor> arguments) {
        const SwitchReads switches;
        std::vector<Tensor> given(arguments.begin(), arguments.end());
        if (const Examples* examples = tracing.examples) {
          reads.emplace(examples->session, current_graph(), *symbols, examples->values, examples->trace);
          const auto line = examples->where.line() ? examples->where : tracing.where;
          if (examples->known_shapes)
            for (size_t i = 0; i < given.size(); ++i) given[i] = reads->of_known_shape(i, given[i], line);
          symbols->answer_by(*reads);
        }
        made.nest = std::make_shared<const std::any>(body(given, returned));
        made.settings = switches.list();
        t_state.traces_values = false;  // what follows is no code of the program's
        std::vector<Tensor> outputs;
        for (size_t i = 0; i < returned.size(); ++i) {
          const Tensor t = symbol_now(returned[i], tracing.home);
          made.values.push_back(t.is_symbolic() ? Tensor() : t);
          if (!t.is_symbolic()) continue;
          outputs.push_back(t);
          made.places.push_back(i);
        }
        return outputs;
      },
      &symbols);
  symbols->close();
  const GraphData& g = *built.body.graph;
  std::vector<uint32_t> known;  // handles that the nest holds, which is wanted for its form
  for (const Fetch& f : returned)
    if (f.tensor().is_symbolic() && f.tensor().graph() == &g) known.push_back(f.tensor().node());
  returned.clear();
  made.held = symbols->held(known);
  made.used = symbols->shared_values();
  made.info.signature = to_string(signature, tracing.shapes);
  made.info.nodes = g.size();
  for (const auto* variables : {&built.body.reads, &built.body.writes})
    for (const auto& v : *variables)
      if (std::ranges::find(made.info.variables, v->name) == made.info.variables.end())
        made.info.variables.push_back(v->name);
  for (const Capture& c : built.captures) {
    built.body.captures.push_back(c.inner);
    built.body.capture_inputs.push_back(static_cast<uint32_t>(specs.size() + made.captured.size()));
    made.captured.push_back(c.outer);
  }
  made.follows = std::move(built.follows);
  made.body = std::move(built.body);
  if (tracing.examples) made.guards = guards_of(made.body);
  return made;
}

std::string difference(const Body& a, const Body& b) {
  const GraphData &x = *a.graph, &y = *b.graph;
  const uint32_t n = std::min(x.size(), y.size());
  for (uint32_t id = 0; id < n; ++id) {
    const Node &p = x.node(id), &q = y.node(id);
    if (p.op != q.op)
      return fmt::format("{} made {} and then {} made {}", line_of(p.where), p.op->name, line_of(q.where), q.op->name);
    if (!std::ranges::equal(p.inputs, q.inputs)) return line_of_node(x, id) + " has other inputs";
    if (p.op == &constant_op && !(p.attrs_view() == q.attrs_view()))
      return fmt::format("the constant {} is {} and then {}", line_of_node(x, id), p.attrs_view().str(),
                         q.attrs_view().str());
    const auto inner = bodies_of(*p.op, p.attrs_view()), others = bodies_of(*q.op, q.attrs_view());
    for (size_t i = 0; i < inner.size(); ++i)
      if (std::string text = difference(*inner[i], *others[i]); !text.empty()) return text;
    if (inner.empty() && p.attrs && !(p.attrs_view() == q.attrs_view()))
      return fmt::format("{} has the attributes {} and then {}", line_of_node(x, id), p.attrs_view().str(),
                         q.attrs_view().str());
  }
  if (x.size() != y.size()) return fmt::format("{} is made in one only", line_of_node(x.size() > n ? x : y, n));
  if (a.outputs != b.outputs) return "they return other tensors";
  return {};
}

}  // namespace twofold::internal
