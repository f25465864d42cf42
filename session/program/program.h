// A run's work while it is being planned: what is left of the graph, with shapes as fed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <twofold/graph/graph_data.h>
#include <twofold/lib/core/small_vector.h>

namespace twofold {

using ValueId = uint32_t;

/// One value of a program. Where the shape is not known before the run, whatever reads it is executed dynamically.
struct ProgramValue {
  TensorSpec spec;
  int32_t producer = -1;  ///< index of a ProgramNode; -1: fed, a parameter, a constant
  int32_t feed = -1;      ///< number of the feed that gives it
  Device device;          ///< where it lies, once nodes are placed
  Tensor constant;        ///< defined: known now
};

/// One op of a program. Nodes are in an order of execution that respects the graph's.
struct ProgramNode {
  const OpDef* op = nullptr;
  Ref<AttrsBox> attrs;
  SmallVector<ValueId, 2> inputs;
  ValueId first_output = 0;
  uint32_t num_outputs = 0;
  uint32_t graph_node = 0;  ///< for errors: name and line
  Device device;            ///< where it runs, once nodes are placed
  bool dead = false;
  bool traced = false;   ///< control flow whose gradient is wanted
  bool dynamic = false;  ///< some shape is unknown: inferred, prepared and launched at run time
  bool root = false;     ///< kept though nobody reads it: fetched for its effect, or a control dependency

  AttrsView attrs_view() const { return attrs ? attrs->view() : AttrsView(); }
  bool has_effect() const { return op->flags.effect; }
};

/// What is asked of a graph and given to it.
struct Request {
  std::vector<Edge> fetches;
  std::vector<uint32_t> operations;                   ///< nodes to run for their effect
  std::vector<Ref<VariableState>> fetched_variables;  ///< read after all writes
  std::vector<Edge> feeds;
  std::vector<Ref<VariableState>> fed_variables;  ///< numbered after `feeds`
  std::vector<TensorSpec> feed_specs;             ///< of both
  std::vector<Device> feed_devices;               ///< of both, where their values lie
  bool nested = false;                            ///< of a body, which runs within another run
};

struct Program {
  GraphData* graph = nullptr;
  std::vector<ProgramNode> nodes;
  std::vector<ProgramValue> values;
  std::vector<ValueId> fetches;  ///< by Request::fetches
  std::vector<Ref<VariableState>> fetched_variables;
  std::vector<ValueId> feeds;                     ///< by number; kNoValue: not needed
  std::vector<Ref<VariableState>> fed_variables;  ///< by the last numbers of feeds
  bool nested = false;                            ///< as Request's

  static constexpr ValueId kNoValue = ~ValueId{0};

  std::span<const ProgramValue> outputs(const ProgramNode& n) const { return {&values[n.first_output], n.num_outputs}; }
};

/// The nodes that `request` needs, in order; a feed cuts the graph.
std::vector<uint32_t> prune(const GraphData& g, const Request& request);
/// The program for them, shapes inferred anew from what is fed. Throws InvalidArgument where shapes do not fit.
Program lower(GraphData& g, const Request& request, std::span<const uint32_t> nodes);
/// Gives every node its device, and takes values to where they are read: a node runs where a guard said, else on the
/// GPU that an operand is on, else `otherwise`. Operands read on the host stay there.
void place(Program& p, Device otherwise);
/// The value's elements if they can be computed now from constants and shapes alone; undefined otherwise.
Tensor fold_value(Program& p, ValueId v);

}  // namespace twofold
