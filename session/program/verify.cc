// What every program is held to between passes.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include <twofold/graph/body.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/session/program/node_error.h>
#include <twofold/session/program/node_kinds.h>
#include <twofold/session/program/program.h>

namespace twofold {
namespace {

class Verifier {
 public:
  Verifier(const Program& p, std::string_view after) : p_(p), after_(after) {}

  void run() {
    for (ValueId v = 0; v < p_.values.size(); ++v) check_value(v);
    for (index_ = 0; index_ < p_.nodes.size(); ++index_) {
      const ProgramNode& n = p_.nodes[index_];
      check(n.op && n.graph_node < p_.graph->size(), "is of no op, or of no node of the graph");
      check_outputs(n);
      if (n.dead) {
        check(!n.root, "is a root, but dead");
        check(!n.has_effect(), "has an effect, but is dead");
        continue;
      }
      for (size_t k = 0; k < n.inputs.size(); ++k) check_input(n, k);
      check_shapes(n);
      if (p_.placed) check_devices(n);
      if (n.op == &backprop_op)
        check(!p_.producer(n.inputs[0]) || p_.producer(n.inputs[0])->kept, "follows no trace");
      check_order_of_state(n);
    }
    for (size_t i = 0; i < p_.fetches.size(); ++i) check_source(p_.fetches[i], fmt::format("fetch {}", i));
    for (size_t i = 0; i < p_.feeds.size(); ++i) {
      const ValueId v = p_.feeds[i];
      check(v < p_.values.size() && p_.values[v].feed == static_cast<int32_t>(i),
            fmt::format("feed {} gives no value, or another feed's", i));
    }
  }

 private:
  static constexpr size_t kNone = ~size_t{0};

  // About node index_ or, if there is none of that number, the program.
  void check(bool holds, std::string_view what) const {
    if (!holds) broken(what);
  }
  [[noreturn]] void broken(std::string_view what) const {
    if (index_ >= p_.nodes.size())
      fail(Code::Internal, fmt::format("After {} the program is broken: {}", after_, what));
    const ProgramNode& n = p_.nodes[index_];
    const auto text = fmt::format("After {} the program is broken: its node {}{} {}", after_, index_,
                                  n.op ? fmt::format(", a {},", n.op->name) : "", what);
    if (n.graph_node >= p_.graph->size()) fail(Code::Internal, text);
    with_node(*p_.graph, n.graph_node, [&] { fail(Code::Internal, text); });
    fail(Code::Internal, text);
  }

  void check_outputs(const ProgramNode& n) const {
    check(n.first_output <= p_.values.size() && n.num_outputs <= p_.values.size() - n.first_output,
          "has outputs that are no values");
    for (uint32_t k = 0; k < n.num_outputs; ++k) {
      const int32_t maker = p_.values[n.first_output + k].producer;
      check(maker == static_cast<int32_t>(index_),
            fmt::format("has output {}, whose maker is said to be node {}", k, maker));
    }
  }

  void check_value(ValueId v) {
    const ProgramValue& value = p_.values[v];
    index_ = value.producer < 0 ? kNone : static_cast<size_t>(value.producer);
    check(index_ == kNone || index_ < p_.nodes.size(), fmt::format("value {} is of no node", v));
    if (const ProgramNode* n = p_.producer(v))
      check(v >= n->first_output && v - n->first_output < n->num_outputs,
            fmt::format("is said to make value {}, but does not", v));
    if (value.constant.defined())
      check(value.constant.dtype() == value.spec.dtype && value.spec.shape.compatible_with(value.constant.shape()),
            fmt::format("value {} is a {} of shape {}, but known to be a {} of shape {}", v, name_of(value.spec.dtype),
                        value.spec.shape.str(), name_of(value.constant.dtype()), value.constant.shape().str()));
  }

  // `v` is there to be read, by node index_ or by a fetch.
  void check_source(ValueId v, std::string_view reader) {
    check(v < p_.values.size(), fmt::format("{} reads value {}, which there is not", reader, v));
    const ProgramValue& value = p_.values[v];
    if (value.constant.defined() || value.feed >= 0) return;
    check(value.producer >= 0, fmt::format("{} reads value {}, which nobody gives", reader, v));
    if (!p_.producer(v)->dead) return;
    index_ = static_cast<size_t>(value.producer);
    broken(fmt::format("is dead, but {} reads it", reader));
  }

  void check_input(const ProgramNode& n, size_t k) {
    const ValueId v = n.inputs[k];
    check(v < p_.values.size(), fmt::format("reads value {}, which there is not", v));
    check(p_.values[v].producer < static_cast<int32_t>(index_),
          fmt::format("reads value {} before node {} makes it", v, p_.values[v].producer));
    if (!n.reads_shape_alone(k)) check_source(v, fmt::format("input {} of node {}", k, index_));
  }

  // Shapes that are not known before the run are for nodes that are dynamic.
  void check_shapes(const ProgramNode& n) const {
    if (n.dynamic) return;
    for (ValueId v : n.inputs)
      check(p_.spec(v).shape.is_known(), fmt::format("is not dynamic, but reads value {} of unknown shape", v));
    for (const ProgramValue& v : p_.outputs(n))
      check(v.spec.shape.is_known(), "is not dynamic, but makes a value of unknown shape");
  }

  void check_devices(const ProgramNode& n) const {
    for (uint32_t k = 0; k < n.num_outputs; ++k) {
      const ProgramValue& v = p_.values[n.first_output + k];
      check(v.constant.defined() || v.device == n.device,
            fmt::format("runs on {}, but its output {} lies on {}", n.device.name(), k, v.device.name()));
    }
    if (takes_tensors(n)) return;
    for (size_t k = 0; k < n.inputs.size(); ++k) {
      if (n.reads_shape_alone(k) || p_.spec(n.inputs[k]).dtype == DType::list) continue;
      const Device wanted = n.op->reads_on_host(k) ? Device{} : n.device;
      const Device lies = p_.values[n.inputs[k]].device;
      check(lies == wanted, fmt::format("reads input {} on {}, but it lies on {}", k, wanted.name(), lies.name()));
    }
  }

  // A variable's reads and writes come in the graph's order, the reads between two writes in any.
  void check_order_of_state(const ProgramNode& n) {
    if (const auto* v = variable_in(n.attrs_view())) touch(n, **v, is_assignment(n));
    for (const Body* b : bodies_of(*n.op, n.attrs_view())) {
      for (const auto& v : b->reads) touch(n, *v, false);
      for (const auto& v : b->writes) touch(n, *v, true);
    }
  }
  void touch(const ProgramNode& n, const VariableState& v, bool write) {
    Touched& last = touched_[&v];
    check(n.graph_node >= last.write && (!write || n.graph_node >= last.read),
          fmt::format("{} the variable '{}' later than what the graph has behind it", write ? "writes" : "reads",
                      v.name));
    if (write) last.write = n.graph_node;
    last.read = std::max(last.read, n.graph_node);
  }

  struct Touched {
    uint32_t read = 0, write = 0;  // the latest, by node of the graph
  };
  const Program& p_;
  const std::string_view after_;
  size_t index_ = kNone;
  std::unordered_map<const VariableState*, Touched> touched_;
};

}  // namespace

void Program::verify(std::string_view after) const {
  Verifier(*this, after).run();
  if (lists_.built()) verify_readers(after);
}

void Program::verify_readers(std::string_view after) const {
  const auto check = [&](bool holds, ValueId v) {
    if (!holds)
      fail(Code::Internal, fmt::format("After {} the program is broken: who reads value {} is not known", after, v));
  };
  ReaderLists lists = lists_;  // looking takes out of it what has ended
  std::vector<uint32_t> readings(values.size(), 0);
  for (ValueId v : fetches) ++readings[v];
  for (const ProgramNode& n : nodes)
    if (!n.dead)
      for (ValueId v : n.inputs) ++readings[v];
  for (ValueId v = 0; v < values.size(); ++v) {
    for (const Reader r : Readers(lists, v)) {
      if (!r.is_fetch())
        check(r.node < nodes.size() && !nodes[r.node].dead && r.input < nodes[r.node].inputs.size(), v);
      check((r.is_fetch() ? fetches[r.input] : nodes[r.node].inputs[r.input]) == v && readings[v]-- > 0, v);
    }
    check(readings[v] == 0, v);
  }
}

}  // namespace twofold
