// Control dependencies, and the ops that exist for their sake: group, no_op, with_effects.
#include <twofold/graph/control.h>

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include <twofold/graph/body.h>
#include <twofold/graph/default_graph.h>
#include <twofold/graph/graph.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/kernels/layout/layout.h>
#include <twofold/lib/op/mode.h>

namespace twofold {

thread_local constinit ControlScope* ControlScope::t_innermost = nullptr;

std::span<const uint32_t> ControlScope::current(const GraphData& g) {
  for (const ControlScope* s = t_innermost; s; s = s->outer_)
    if (s->graph_ == &g) return s->nodes_;
  return {};
}

ControlScope::ControlScope(GraphData& g, std::vector<uint32_t> nodes, bool clear)
    : graph_(&g), nodes_(std::move(nodes)), outer_(t_innermost) {
  if (!clear) {
    for (uint32_t n : current(g))
      if (std::ranges::find(nodes_, n) == nodes_.end()) nodes_.push_back(n);
  }
  t_innermost = this;
}
ControlScope::~ControlScope() {
  for (ControlScope** at = &t_innermost; *at; at = &(*at)->outer_)
    if (*at == this) {
      *at = outer_;
      return;
    }
}

namespace {

// Adds the node behind something to run to `nodes` of `g`; the concrete and the undefined have nothing left to run.
void add_node(std::vector<uint32_t>& nodes, GraphData& g, const Fetch& f, std::source_location where) {
  const GraphData* from = nullptr;
  uint32_t node = 0;
  std::string text;
  switch (f.kind()) {
    case Fetch::Kind::tensor:
      if (!f.tensor().is_symbolic()) return;
      check_not_escaped(f.tensor(), where);
      from = f.tensor().graph(), node = f.tensor().node(), text = to_string(f.tensor());
      break;
    case Fetch::Kind::operation:
      if (!f.operation().defined()) return;
      from = f.operation().graph(), node = f.operation().node(), text = f.operation().name();
      break;
    case Fetch::Kind::variable: return;
    case Fetch::Kind::name: {
      int64_t id = -1;
      for (const GraphData* each = &g; each && id < 0; each = each->outer()) {
        id = each->find(f.name().substr(0, f.name().find(':')));
        from = each;
      }
      if (id < 0) fail(Code::NotFound, fmt::format("The name '{}' refers to an Operation not in the graph.", f.name()));
      node = static_cast<uint32_t>(id);
      break;
    }
  }
  if (from == &g) return nodes.push_back(node);
  if (!g.within(from)) fail(Code::InvalidArgument, fmt::format("{} is not an element of this graph", text));
  // Of a graph around this one: before the node that holds this one.
  GraphData* body = &g;
  while (body->outer() != from) body = body->outer();
  body->follow(node);
}

// Eager, what is given has been done; what belongs to a graph never is.
void check_done(const std::vector<Fetch>& all, const char* op, std::source_location where) {
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].tensor().is_symbolic()) check_input(op, i, all[i].tensor(), where);
    if (const Operation& o = all[i].operation(); o.defined())
      fail_at(where, op, Code::FailedPrecondition,
              fmt::format("Operation '{}' belongs to a graph, made at {}; eager code cannot run it", o.name(),
                          line_of(o.where())),
              "session.run(op), or leave eager mode");
  }
}

}  // namespace

ControlDependencies::ControlDependencies(const std::vector<Fetch>& before, std::source_location where) {
  const SourceScope source_scope(where);
  if (executing_eagerly()) {
    check_done(before, "control_dependencies", where);
    return;
  }
  Ref<RefCounted> kept = keep_default_graph();
  try {
    GraphData& g = current_graph();
    std::vector<uint32_t> nodes;
    for (const Fetch& f : before) add_node(nodes, g, f, where);
    scope_ = std::make_unique<ControlScope>(g, std::move(nodes), before.empty());
  } catch (...) {
    release_default_graph(kept);
    throw;
  }
  graph_ = std::move(kept);
}
ControlDependencies::~ControlDependencies() {
  scope_.reset();
  release_default_graph(graph_);
}

Operation group(const std::vector<Fetch>& all, std::source_location where) {
  const SourceScope source_scope(where);
  if (executing_eagerly()) {
    check_done(all, "group", where);
    return {};
  }
  GraphData& g = current_graph();
  std::vector<uint32_t> nodes;
  for (const Fetch& f : all) add_node(nodes, g, f, where);
  const ControlScope after(g, std::move(nodes), false);
  return Operation(Ref<GraphData>(&g), g.add(no_op_op, {}, {}, {}, "group_deps", t_state.source));
}

Operation no_op(std::source_location where) {
  const SourceScope source_scope(where);
  if (executing_eagerly()) return {};
  GraphData& g = current_graph();
  return Operation(Ref<GraphData>(&g), g.add(no_op_op, {}, {}, {}, "", t_state.source));
}

Tensor with_effects(Operand y, const std::vector<Fetch>& effects) {
  const SourceScope source_scope(y.where());
  const Tensor& value = y.resolve();
  check_input(with_effects_op.name, 0, value, y.where());
  if (executing_eagerly()) {
    check_done(effects, with_effects_op.name, y.where());
    return done_now(with_effects_op, value, y.where());
  }
  check_not_escaped(value, y.where());
  GraphData& current = current_graph();
  GraphData& g = value.is_symbolic() && !current.within(value.graph()) ? *value.graph() : current;
  const EnterGraph enter(g);
  std::vector<uint32_t> nodes;
  for (const Fetch& f : effects) add_node(nodes, g, f, y.where());
  const ControlScope after(g, std::move(nodes), false);
  const Tensor symbolic = value.is_symbolic() ? value : graph_constant(value, "", y.where());
  return apply(with_effects_op, {&symbolic}, y.where());
}

}  // namespace twofold
