#include <twofold/session/host_reads.h>

#include <fmt/format.h>

#include <algorithm>

#include <twofold/graph/build_body.h>
#include <twofold/graph/control.h>
#include <twofold/kernels/array/array.h>
#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/literal.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/value.h>
#include <twofold/session/session_data.h>

namespace twofold::internal {
namespace {

const char* word_for(const HostRead& read, DType dtype) {
  switch (read.kind) {
    case HostRead::Kind::truth: return "bool";
    case HostRead::Kind::elements: return dtype == bool_ ? "bool" : "integer";
    case HostRead::Kind::extent: return "extent";
    case HostRead::Kind::count: return "number of elements";
  }
  return "";
}

// An answer that the graph knows by itself; undefined if it does not.
Tensor known_to_graph(const TensorSpec& spec, const HostRead& read) {
  if (read.kind == HostRead::Kind::extent && spec.shape.has_rank())
    if (const auto extent = spec.shape.extent(static_cast<int>(read.axis))) return Literal(*extent).to_tensor(int64);
  if (read.kind == HostRead::Kind::count)
    if (const auto n = spec.shape.known_elements()) return Literal(*n).to_tensor(int64);
  return {};
}

// Whether what a node gives is other in another run.
bool varies(const Node& n) {
  if (n.op == &parameter_op || n.op == &capture_op || n.op->flags.reads_variable || n.op->flags.random) return true;
  return std::ranges::any_of(bodies_of(*n.op, n.attrs_view()),
                             [](const Body* b) { return !b->reads.empty() || !b->effects.empty(); });
}

}  // namespace

std::vector<Tensor> try_out(const Session& session, GraphData& g, uint32_t end, std::span<const Edge> wanted,
                            const FedEdges& feeds) {
  Request request{.fetches = {wanted.begin(), wanted.end()}, .feeds = feeds.edges};
  for (uint32_t id = 0; id < end; ++id)
    if (has_effect(g.node(id)) && g.node(id).op != &guard_op) request.operations.push_back(id);
  return SessionParts::data(session).try_out(g, std::move(request), feeds.values);
}

HostReads::HostReads(const Session& session, GraphData& g, const BodySymbols& symbols, std::vector<Tensor> examples,
                     int64_t trace)
    : session_(session), graph_(g), symbols_(symbols), trace_(trace) {
  for (size_t i = 0; i < examples.size(); ++i) given_.add({static_cast<uint32_t>(i), 0}, examples[i]);
}

Tensor HostReads::read(Edge e, const HostRead& read) {
  const TensorSpec& spec = graph_.spec(e);
  if (spec.dtype == DType::list) return {};
  const auto where = read.where.line() ? read.where : graph_.node(e.node).where;
  if (read.kind == HostRead::Kind::elements && is_floating(spec.dtype))
    fail_at(where, "", Code::FailedPrecondition,
            fmt::format("The number of {} was read on the host while the program was traced: the graph would go on "
                        "with it, whatever it is called with",
                        twofold::to_string(Tensor::symbol(&graph_, e.node, e.output))),
            "if (x > c), whose bool guards the trace; tf::print(x) to see it; else go on with the tensor");
  const SourceScope source_scope(where);
  Tensor& answer = answers_[{e.key(), read.kind, read.axis}];
  if (answer.defined()) return answer;
  if (Tensor known = known_to_graph(spec, read); known.defined()) return answer = known;
  const Tensor asked = this->asked(e, read);
  const Edge edge{asked.node(), asked.output()};
  Tensor value = value_of(edge);
  if (depends(edge)) add_guard(edge, word_for(read, spec.dtype), value, where);
  return answer = std::move(value);
}

// The symbol of what is read, made where it is not there.
Tensor HostReads::asked(Edge e, const HostRead& read) {
  const DeferredMode deferred;
  const EnterGraph enter(graph_);
  const Tensor symbol = Tensor::symbol(&graph_, e.node, e.output);
  switch (read.kind) {
    case HostRead::Kind::truth: return symbol.dtype() == bool_ ? symbol : not_equal(symbol, 0);
    case HostRead::Kind::elements: return symbol;
    case HostRead::Kind::extent: return shape(symbol)[read.axis];
    case HostRead::Kind::count: return size(symbol);
  }
  return symbol;
}

// Along with what the program holds handles of, so that the next value follows from those.
Tensor HostReads::value_of(Edge e) {
  for (const auto& captures = graph_.captures(); captures_ < captures.size(); ++captures_)
    given_.add(captures[captures_].inner, session_.run(captures[captures_].outer));
  std::vector<Edge> wanted{e};
  decltype(known_) held;
  for (uint32_t id : symbols_.held({})) {
    const Node& n = graph_.node(id);
    if (n.op->flags.effect || n.inputs.empty()) continue;
    const size_t visible = n.outputs.size() - static_cast<size_t>(n.op->hidden);
    for (uint16_t i = 0; i < visible; ++i) {
      const Edge each{id, i};
      if (graph_.spec(each).dtype == DType::list) continue;
      if (const auto known = known_.find(each.key()); known != known_.end())
        held.insert(*known);
      else if (each != e)
        wanted.push_back(each);
    }
  }
  FedEdges feeds = given_;
  for (const auto& [key, entry] : held) feeds.add(entry.first, entry.second);
  std::vector<Tensor> values = try_out(session_, graph_, graph_.size(), wanted, feeds);
  known_ = std::move(held);
  for (size_t i = 0; i < wanted.size(); ++i) known_[wanted[i].key()] = {wanted[i], values[i]};
  return values[0];
}

bool HostReads::depends(Edge e) {
  std::vector<uint32_t> open{e.node};
  while (!open.empty()) {  // no recursion: graphs are deep
    const uint32_t id = open.back();
    if (depends_.contains(id)) {
      open.pop_back();
      continue;
    }
    const Node& n = graph_.node(id);
    bool result = varies(n), whole = true;
    for (const Edge in : n.inputs) {
      if (result) break;
      if (const auto known = depends_.find(in.node); known != depends_.end()) {
        result = known->second;
      } else {
        open.push_back(in.node);
        whole = false;
      }
    }
    if (!whole && !result) continue;
    depends_[id] = result;
  }
  return depends_.at(e.node);
}

void HostReads::add_guard(Edge e, const char* what, const Tensor& value, std::source_location where) {
  const EnterGraph enter(graph_);
  const ControlScope after(graph_, last_guard_, false);
  const GuardAttrs attrs{{copy_to(value, Device())}, what, guards_++, trace_};
  last_guard_ = {graph_.add(guard_op, {&e, 1}, attrs, {}, "", where)};
}

Tensor HostReads::of_known_shape(size_t i, const Tensor& parameter, std::source_location where) {
  const Shape& known = given_.values[i].shape();
  if (parameter.shape().is_known()) return parameter;
  const SourceScope source_scope(where);
  const Tensor extents = shape(parameter);
  const Edge edge{extents.node(), extents.output()};
  add_guard(edge, "shape", value_of(edge), where);
  return ensure_shape(parameter, known);
}

}  // namespace twofold::internal
