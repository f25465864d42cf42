#include <twofold/lib/saved/freeze.h>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <unordered_map>

#include <twofold/graph/backprop.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/runtime/thread_state.h>
#include <twofold/lib/saved/writer.h>

namespace twofold {
namespace {

using saved::FunctionRecord;
using saved::ProgramRecord;

bool reads_variables(const Body& b) { return b.graph && !b.reads.empty(); }

// What a node writes, by itself or in a body of its; null: nothing.
const VariableState* written_by(const Node& n) {
  if (n.op->flags.writes_variable) return variable_in(n.attrs_view())->get();
  for (const Body* b : bodies_of(*n.op, n.attrs_view()))
    if (!b->writes.empty()) return b->writes[0].get();
  return nullptr;
}

// Those of `g` that must run for these outputs and operations, in order.
std::vector<uint32_t> needed_for(const GraphData& g, std::span<const Edge> outputs,
                                 std::span<const uint32_t> operations = {}) {
  std::vector<uint32_t> stack(operations.begin(), operations.end());
  for (Edge e : outputs) stack.push_back(e.node);
  std::set<uint32_t> needed;
  while (!stack.empty()) {
    const uint32_t id = stack.back();
    stack.pop_back();
    if (!needed.insert(id).second) continue;
    for (Edge e : g.node(id).inputs) stack.push_back(e.node);
    stack.insert(stack.end(), g.node(id).controls.begin(), g.node(id).controls.end());
  }
  return {needed.begin(), needed.end()};
}

class Freezing {
 public:
  explicit Freezing(const ProgramRecord& record) {
    for (const auto& [variable, value] : record.variables) values_.emplace(variable->id, value);
  }

  void freeze(FunctionRecord& f) {
    if (f.body.outputs.empty() && std::ranges::none_of(f.results, [](const auto& r) { return r.constant.defined(); }))
      fail_at(f.where, "", Code::InvalidArgument,
              fmt::format("'{}' returns nothing, so that nothing of it is left when it is frozen", f.name),
              "freeze functions that return something");
    check_reads_before_writes(f);
    const std::vector<uint32_t> needed = needed_for(*f.body.graph, f.body.outputs);
    for (uint32_t id : needed) refuse_write(f, *f.body.graph, id);
    std::set<uint32_t> nodes(needed.begin(), needed.end());
    for (Edge e : f.body.parameters) nodes.insert(e.node);
    name_ = f.name;
    Body made = copy(f.body, {nodes.begin(), nodes.end()});
    made.effects.clear();
    f.body = std::move(made);
  }

 private:
  [[noreturn]] static void refuse(const FunctionRecord& f, const Node& n, const GraphData& g, uint32_t id,
                                  const VariableState& v) {
    throw Error(Code::FailedPrecondition,
                {.message = fmt::format("The results of '{}' need what is written to the variable '{}', so that it "
                                        "cannot be frozen",
                                        f.name, v.name),
                 .op = std::string(n.op->name),
                 .node = g.node_name(id),
                 .where = n.where,
                 .hint = "freeze functions that only read variables: those that predict"});
  }
  static void refuse_write(const FunctionRecord& f, const GraphData& g, uint32_t id) {
    if (const VariableState* v = written_by(g.node(id))) refuse(f, g.node(id), g, id, *v);
  }

  // A read that results need, behind a write that they need not: the constant would be another value.
  static void check_reads_before_writes(const FunctionRecord& f) {
    const GraphData& g = *f.body.graph;
    const auto needed = needed_for(g, f.body.outputs);
    const auto run = needed_for(g, f.body.outputs, f.body.effects);
    const auto reads = [&](uint32_t id, const VariableState* v) {
      const Node& n = g.node(id);
      if (n.op->flags.reads_variable) return variable_in(n.attrs_view())->get() == v;
      return std::ranges::any_of(bodies_of(*n.op, n.attrs_view()), [&](const Body* b) {
        return std::ranges::any_of(b->reads, [&](const auto& r) { return r.get() == v; });
      });
    };
    for (uint32_t id : run)
      if (const VariableState* v = written_by(g.node(id)))
        for (uint32_t later : needed)
          if (later > id && reads(later, v)) refuse(f, g.node(id), g, id, *v);
  }

  Ref<AttrsBox> constant(const VariableState& v) {
    return make_ref<AttrsBox>(AttrsView(ConstantAttrs{{values_.at(v.id)}}));
  }

  // A node's attributes with bodies that read no variables.
  Ref<AttrsBox> attributes(const Node& n) {
    const AttrsView attrs = n.attrs_view();
    if (n.op == &if_op) {
      const auto& a = attrs.as<IfAttrs>();
      return make_ref<AttrsBox>(AttrsView(IfAttrs{inner(a.then_body), inner(a.else_body)}));
    }
    if (n.op == &while_op) {
      const auto& a = attrs.as<WhileAttrs>();
      return make_ref<AttrsBox>(AttrsView(WhileAttrs{inner(a.test), inner(a.body)}));
    }
    if (n.op == &call_op) return make_ref<AttrsBox>(AttrsView(CallAttrs{inner(attrs.as<CallAttrs>().body)}));
    return n.attrs;
  }

  // Where nothing is to be replaced it stays the same one, which gradients are of.
  Body inner(const Body& from) {
    if (!reads_variables(from)) return from;
    std::vector<uint32_t> all(from.graph->size());
    for (uint32_t id = 0; id < all.size(); ++id) all[id] = id;
    return copy(from, all);
  }

  static void check_gradient(const Node& n, const std::string& function) {
    const auto& a = n.attrs_view().as<BackpropAttrs>();
    const bool reads = std::ranges::any_of(a.gradients, [](const BodyGradient& g) {
      if (!g.body.graph) return false;
      for (uint32_t id = 0; id < g.body.graph->size(); ++id)
        if (const Node& each = g.body.graph->node(id);
            each.op->flags.reads_variable || std::ranges::any_of(bodies_of(*each.op, each.attrs_view()),
                                                                 [](const Body* b) { return reads_variables(*b); }))
          return true;
      return false;
    });
    if (reads || !a.variables.empty())
      throw Error(Code::Unimplemented,
                  {.message = fmt::format("The results of '{}' need a gradient through control flow whose bodies read "
                                          "variables, which cannot be frozen",
                                          function),
                   .op = std::string(n.op->name),
                   .where = n.where,
                   .hint = "freeze functions that predict; a program with its gradients is saved as it is: tf::save"});
  }

  Body copy(const Body& from, const std::vector<uint32_t>& nodes) {
    const GraphData& g = *from.graph;
    auto graph = make_ref<GraphData>(nullptr, g.label());
    GraphData& to = *graph;
    to.take_eager_variables();
    const std::vector<MadeIn> made_in = g.made_in();
    size_t made_at = 0;
    std::unordered_map<uint32_t, uint32_t> places;
    const auto edge = [&](Edge e) { return Edge{places.at(e.node), e.output}; };
    for (uint32_t id : nodes) {
      const Node& n = g.node(id);
      if (n.op == &backprop_op) check_gradient(n, name_);
      const size_t before = made_at;
      while (made_at < made_in.size() && made_in[made_at].first <= id) ++made_at;
      if (made_at != before) to.append_made_in(made_in[made_at - 1]);
      const bool reads = n.op->flags.reads_variable;
      std::vector<Edge> inputs;
      std::vector<uint32_t> controls;
      for (Edge e : n.inputs) inputs.push_back(edge(e));
      if (!reads)
        for (uint32_t c : n.controls) controls.push_back(places.at(c));
      const Ref<AttrsBox> attrs = reads ? constant(**variable_in(n.attrs_view())) : attributes(n);
      TensorSpec spec;
      if (reads) spec = attrs->view().as<ConstantAttrs>().value.tensor.value()->spec();
      places[id] = to.append({.op = reads ? &constant_op : n.op,
                              .attrs = attrs,
                              .inputs = inputs,
                              .outputs = reads ? std::span<const TensorSpec>(&spec, 1) : n.outputs,
                              .controls = controls,
                              .scope = to.scope_id(std::string(g.scope_name(n))),
                              .base = to.base_id(g.base_name(n)),
                              .ordinal = n.ordinal,
                              .device = n.device,
                              .only_names = n.only_names,
                              .generation = n.generation,
                              .where = n.where});
    }
    to.close();
    Body made{.graph = graph, .capture_inputs = from.capture_inputs};
    for (Edge e : from.parameters) made.parameters.push_back(edge(e));
    for (Edge e : from.captures) made.captures.push_back(edge(e));
    for (Edge e : from.outputs) made.outputs.push_back(edge(e));
    for (uint32_t id : from.effects)
      if (const auto place = places.find(id); place != places.end()) made.effects.push_back(place->second);
    return made;
  }

  std::unordered_map<uint64_t, Tensor> values_;  // by variable
  std::string name_;                             // of the function under way
};

// As a file would have it: with bodies and counts of random ops of its own.
SavedProgram frozen(ProgramRecord record, std::source_location where) {
  Freezing freezing(record);
  for (FunctionRecord& f : record.functions) freezing.freeze(f);
  record.variables.clear();
  auto [tensors, metadata] = saved::write_program(record, {});
  const std::string source = "a frozen program";
  const io::Safetensors file(source, std::move(tensors), std::move(metadata));
  return saved::program_of(saved::read_program(file, source), {}, where);
}

}  // namespace

SavedProgram freeze(std::initializer_list<internal::ToSave> functions, std::source_location where) {
  const SourceScope source_scope(where);
  return frozen(saved::record_of(functions, where), where);
}

SavedProgram freeze(const SavedProgram& program, const std::vector<std::string>& functions,
                    std::source_location where) {
  const SourceScope source_scope(where);
  for (const std::string& name : functions) (void)program.function(name, where);  // throws NotFound
  ProgramRecord record = saved::record_of(program, where);
  if (!functions.empty())
    std::erase_if(record.functions,
                  [&](const FunctionRecord& f) { return std::ranges::find(functions, f.name) == functions.end(); });
  return frozen(std::move(record), where);
}

}  // namespace twofold
