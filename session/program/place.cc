#include <algorithm>
#include <map>

#include <twofold/graph/graph_ops.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/value.h>
#include <twofold/session/program/node_kinds.h>
#include <twofold/session/program/passes.h>
#include <twofold/session/program/program.h>

namespace twofold {
namespace {

class Placement {
 public:
  Placement(Program& p, Device otherwise) : p_(p), otherwise_(otherwise) {}

  void run() {
    std::vector<ProgramNode> placed;
    placed.reserve(p_.nodes.size());
    std::swap(placed, p_.nodes);
    for (ProgramNode& n : placed) {
      n.device = device_for(n);
      if (!takes_tensors(n)) take_inputs(n);
      const auto index = static_cast<int32_t>(p_.nodes.size());
      for (uint32_t k = 0; k < n.num_outputs; ++k) {
        ProgramValue& v = p_.values[n.first_output + k];
        v.producer = index, v.device = n.device;
        // Known already, on the host.
        if (v.constant.defined()) v.device = v.constant.value()->device();
      }
      p_.nodes.push_back(std::move(n));
    }
  }

 private:
  Device device_for(const ProgramNode& n) const {
    const Node& node = p_.graph->node(n.graph_node);
    if (n.op == &transfer_op) return {static_cast<int8_t>(n.attrs_view().as<TransferAttrs>().device)};
    // All that an update is lowered to is done where the variable lies.
    if (const auto* v = variable_in(node.attrs_view())) return slot_device(**v, otherwise_);
    const auto device_of_input = [&](size_t i) { return p_.values[n.inputs[i]].device; };
    // Inputs on other GPUs are taken along.
    if (const auto d = device_of(*n.op, node.device, n.inputs.size(), device_of_input, [](Device, Device) {}))
      return *d;
    bool from_host = false, all_on_host = true;  // what is computed from shapes stays where they are
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      if (!says_where(*n.op, i, n.inputs.size())) continue;
      const ProgramValue& v = p_.values[n.inputs[i]];
      const bool computed_on_host = v.producer >= 0 && p_.nodes[static_cast<size_t>(v.producer)].device.is_cpu();
      from_host = from_host || computed_on_host;
      all_on_host = all_on_host && (computed_on_host || v.constant.defined());
    }
    return from_host && all_on_host ? Device{} : otherwise_;
  }

  void take_inputs(ProgramNode& n) {
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const ValueId v = n.inputs[i];
      const Device wanted = n.op->reads_on_host(i) ? Device{} : n.device;
      if (p_.values[v].device == wanted || n.op->reads_shape(i)) continue;
      if (p_.values[v].spec.dtype == DType::list) continue;  // its elements stay where they are
      n.inputs[i] = taken(v, wanted, n.graph_node);
    }
  }

  // The value `v` on `device`: a constant is copied now, others by a node.
  ValueId taken(ValueId v, Device device, uint32_t graph_node) {
    const auto [known, fresh] = taken_.emplace(std::pair(v, device.index), static_cast<ValueId>(p_.values.size()));
    if (!fresh) return known->second;
    const ProgramValue from = p_.values[v];
    p_.values.push_back({.spec = from.spec, .device = device});
    if (from.constant.defined()) {
      p_.values.back().constant = copy_to(from.constant, device);
      return known->second;
    }
    ProgramNode n;
    n.op = &transfer_op;
    n.attrs = make_ref<AttrsBox>(AttrsView(TransferAttrs{device.index}));
    n.inputs.push_back(v);
    n.first_output = known->second;
    n.num_outputs = 1;
    n.graph_node = graph_node;
    n.device = device;
    p_.values.back().producer = static_cast<int32_t>(p_.nodes.size());
    p_.nodes.push_back(std::move(n));
    return known->second;
  }

  Program& p_;
  const Device otherwise_;
  std::map<std::pair<ValueId, int8_t>, ValueId> taken_;
};

// Whether anything may lie or run elsewhere than on the CPU.
bool all_on_cpu(const Program& p, Device otherwise) {
  const auto on_cpu = [&](const ProgramNode& n) {
    const auto* variable = variable_in(n.attrs_view());
    return p.graph->node(n.graph_node).device <= 0 && n.op != &transfer_op && (!variable || (*variable)->device <= 0);
  };
  return otherwise.is_cpu() && std::ranges::all_of(p.values, [](const ProgramValue& v) { return v.device.is_cpu(); }) &&
         std::ranges::all_of(p.nodes, on_cpu);
}

}  // namespace

void place(Program& p, Device otherwise) {
  if (!all_on_cpu(p, otherwise)) Placement(p, otherwise).run();
  p.placed = true;
  if (verifies_programs()) p.verify("placement");
}

}  // namespace twofold
