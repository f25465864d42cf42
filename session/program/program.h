// A run's work while it is being planned: what is left of the graph, with shapes as fed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <twofold/graph/backprop.h>
#include <twofold/graph/graph_data.h>
#include <twofold/lib/core/small_vector.h>
#include <twofold/lib/op/numerics.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/thread_state.h>
#include <twofold/session/program/readers.h>

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
  uint32_t graph_node = 0;                            ///< for errors: name and line
  Device device;                                      ///< where it runs, once nodes are placed
  bool dead = false;                                  ///< takes no part any more
  std::shared_ptr<const std::vector<BodyKept>> kept;  ///< of control flow whose gradient is wanted, by its bodies
  bool dynamic = false;  ///< some shape is unknown: inferred, prepared and launched at run time
  bool root = false;     ///< kept though nobody reads it: fetched for its effect, or a control dependency

  AttrsView attrs_view() const { return attrs ? attrs->view() : AttrsView(); }
  bool has_effect() const { return op->flags.effect; }
  bool reads_shape_alone(size_t input) const { return op->reads_shape(input) && !dynamic; }
};

/// What a run does by beside its graph: as it is on this thread when this is made, once a run.
struct RunSettings {
  uint64_t numerics = internal::numerics_word();  ///< switches of arithmetic
  bool observed = t_state.observing != nullptr;   ///< each node's work is to be seen

  /// All in one, for keys.
  uint64_t word() const { return numerics << 1 | uint64_t{observed}; }
};

/// What is asked of a graph and given to it.
struct Request {
  RunSettings settings;
  std::vector<Edge> fetches;
  std::vector<uint32_t> operations;                   ///< nodes to run for their effect
  std::vector<Ref<VariableState>> fetched_variables;  ///< read after all writes
  std::vector<Edge> feeds;
  std::vector<Ref<VariableState>> fed_variables;  ///< numbered after `feeds`
  std::vector<TensorSpec> feed_specs;             ///< of both
  std::vector<Device> feed_devices;               ///< of both, where their values lie
  bool nested = false;                            ///< of a body, which runs within another run
  KeptByNode kept;                                ///< of nodes whose traces gradients outside of the body read

  /// `values` will be fed, in the order of `feeds` and `fed_variables`.
  void expect(std::span<const Tensor> values) {
    for (const Tensor& t : values) {
      feed_specs.push_back(t.value()->spec());
      feed_devices.push_back(t.value()->device());
    }
  }
};

/// What passes work on. They change who reads what by the calls below alone, which keep `readers` true; what else they
/// write (attributes, specs, constants) they write into nodes and values themselves.
struct Program {
  GraphData* graph = nullptr;
  RunSettings settings;
  std::vector<ProgramNode> nodes;
  std::vector<ProgramValue> values;
  std::vector<ValueId> fetches;  ///< by Request::fetches
  std::vector<Ref<VariableState>> fetched_variables;
  std::vector<ValueId> feeds;                     ///< by number
  std::vector<Ref<VariableState>> fed_variables;  ///< by the last numbers of feeds
  size_t first_late = kNone;                      ///< nodes from here on are run once the run can fail no more
  bool nested = false;                            ///< as Request's
  bool placed = false;                            ///< nodes and values have their devices

  static constexpr ValueId kNoValue = ~ValueId{0};
  static constexpr size_t kNone = ~size_t{0};

  std::span<const ProgramValue> outputs(const ProgramNode& n) const { return {&values[n.first_output], n.num_outputs}; }
  const TensorSpec& spec(ValueId v) const { return values[v].spec; }
  /// The node that makes `v`; null: it is fed, a parameter or a constant of the graph.
  ProgramNode* producer(ValueId v) { return values[v].producer < 0 ? nullptr : &nodes[index_of(values[v])]; }
  const ProgramNode* producer(ValueId v) const {
    return values[v].producer < 0 ? nullptr : &nodes[index_of(values[v])];
  }
  uint32_t index_of(const ProgramNode& n) const { return static_cast<uint32_t>(&n - nodes.data()); }
  /// What the node yields is known, so that it need not run.
  bool is_known(const ProgramNode& n) const { return n.num_outputs && values[n.first_output].constant.defined(); }
  /// Whether output 0 is input 0 itself.
  bool hands_on(const ProgramNode& n) const { return n.op->flags.alias && spec(n.first_output) == spec(n.inputs[0]); }
  /// What `v` is but another name of.
  ValueId behind(ValueId v) const;

  /// Who reads `v`: the inputs of nodes that are not dead, and fetches, in no order. Found for the whole program when
  /// it is first asked for, and kept from then on.
  Readers readers(ValueId v) {
    if (!lists_.built()) find_readers();
    return {lists_, v};
  }
  /// Whoever reads `v`, a fetch too, reads `by` from now on.
  void replace(ValueId v, ValueId by);
  /// Throws Internal, naming the node and what does not hold, unless the program is one that can be run: verify.cc
  /// lists what is held to. `after` says what was done last.
  void verify(std::string_view after) const;

  /// The node is dead from now on. Its results must have been replaced, or be known; if it was a root, the node
  /// `instead` is one now.
  void remove(ProgramNode& n, ProgramNode* instead = nullptr);
  /// The node reads these values from now on.
  void set_inputs(ProgramNode& n, SmallVector<ValueId, 2> inputs);
  /// Lets `n` stand where a node was removed.
  void put(uint32_t index, ProgramNode n);
  /// To be called when nodes have been moved or added: finds anew who makes which value.
  void renumber();
  /// Gives up what `readers` has found.
  void forget_readers() { lists_.clear(); }

 private:
  static size_t index_of(const ProgramValue& v) { return static_cast<size_t>(v.producer); }
  void find_readers();
  void verify_readers(std::string_view after) const;

  ReaderLists lists_;
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
