#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <unordered_set>

#include <twofold/graph/body.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/graph/identity.h>
#include <twofold/kernels/pointwise/fused.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/session/plan/gpu_plan.h>
#include <twofold/session/plan/locations.h>
#include <twofold/session/plan/memory_plan.h>
#include <twofold/session/plan/planner.h>
#include <twofold/session/program/inline_calls.h>
#include <twofold/session/program/node_error.h>
#include <twofold/session/program/node_kinds.h>
#include <twofold/session/program/passes.h>

namespace twofold {
namespace {

class Planner {
 public:
  /// `nodes`: those of the graph that are asked for.
  Planner(Program program, const SessionOptions& options, Slots& slots, std::span<const uint32_t> nodes)
      : p_(std::move(program)),
        options_(options),
        slots_(slots),
        plan_(std::make_unique<Plan>()),
        first_late_(std::min(p_.first_late, p_.nodes.size())),
        memory_(p_, pass_enabled(options, kMemoryPass)),
        locations_(p_, memory_, *plan_),
        gpu_(*plan_) {
    plan_->graph = Ref<GraphData>(p_.graph);
    plan_->settings = p_.settings;
    if (p_.settings.observed) {
      identities_ = identities_of(*p_.graph);
      std::tie(plan_->executions, executions_) = identities_.run_of(nodes);
    }
  }

  /// How many values share memory with others.
  int64_t shared() const { return memory_.shared(); }

  std::unique_ptr<const Plan> make() {
    check_placeholders();
    for (size_t i = 0; i < first_late_; ++i) emit_at(i);
    prepare_late();
    plan_->first_late = plan_->code.size();
    for (size_t i = first_late_; i < p_.nodes.size(); ++i) emit_at(i);
    finish();
    return std::move(plan_);
  }

 private:
  void check_placeholders() const {
    for (const ProgramNode& n : p_.nodes) {
      if (n.dead || n.op != &placeholder_op) continue;
      const Node& node = p_.graph->node(n.graph_node);
      const TensorSpec& s = node.outputs[0];
      throw Error(Code::InvalidArgument,
                  {.message = fmt::format("You must feed a value for placeholder tensor '{}' with dtype {}{}",
                                          p_.graph->node_name(n.graph_node), name_of(s.dtype),
                                          s.shape.has_rank() ? " and shape " + s.shape.brackets() : ""),
                   .op = "Placeholder",
                   .node = p_.graph->node_name(n.graph_node),
                   .where = node.where,
                   .hint = fmt::format("session.run(fetches, {{{{{}, value}}}})", p_.graph->node_name(n.graph_node))});
    }
  }

  void emit_at(size_t i) {
    const ProgramNode& n = p_.nodes[i];
    if (is_skipped(p_, n)) return;
    with_node(*p_.graph, n.graph_node, [&] { emit(n); });
    if (!identities_.of_nodes.empty()) observe(n);
    memory_.end_node(i);
  }

  void observe(const ProgramNode& n) {
    if (identities_.of_nodes[n.graph_node].op.empty()) return;
    // An update of a variable, lowered to a read, an op and an assignment, is seen as one.
    const OpDef* const op = p_.graph->node(n.graph_node).op;
    const bool is_update = op->combine;
    if (is_update && !is_assignment(n)) return;
    if (n.op == &transfer_op && op != &transfer_op) return;  // of an operand of the node: no op of its own
    const ProgramNode& given = is_update ? p_.nodes[static_cast<size_t>(p_.values[n.inputs[0]].producer)] : n;
    ObservedOp seen{.after = plan_->code.size(), .node = n.graph_node, .device = n.device};
    seen.identity = identities_.of_nodes[n.graph_node];
    seen.execution = executions_[n.graph_node];
    for (size_t i = is_update ? 1 : 0; i < given.inputs.size(); ++i) {
      if (given.op->reads_on_host(i)) continue;
      seen.inputs.push_back(given.op->reads_shape(i) ? std::nullopt
                                                     : std::optional(locations_.source(given.inputs[i])));
    }
    for (uint32_t k = 0; k < n.num_outputs; ++k) seen.outputs.push_back(locations_.source(n.first_output + k));
    plan_->observed.push_back(std::move(seen));
  }

  // Memory for the results of late updates, which lies over the old values where the variables alone hold these.
  void prepare_late() {
    std::unordered_set<const VariableState*> written;
    for (size_t i = first_late_; i < p_.nodes.size(); ++i)
      if (is_assignment(p_.nodes[i])) written.insert(variable_of(p_.nodes[i]).get());
    for (size_t i = 0; i < first_late_ && !written.empty(); ++i) {
      const ProgramNode& n = p_.nodes[i];
      if (is_read(n) && !is_skipped(p_, n) && written.contains(variable_of(n).get()))
        plan_->code.push_back(
            {.node = n.graph_node, .aux = locations_.external(n.first_output), .what = Instruction::Do::release});
    }
    for (size_t i = first_late_; i < p_.nodes.size(); ++i) {
      const ProgramNode& n = p_.nodes[i];
      if (!is_assignment(n)) make_outputs(n.first_output, n.num_outputs, n.graph_node);
    }
  }

  // An output that is a tensor of its own is made just before the kernel that writes it, those of late updates before
  // the first of them.
  void make_outputs(ValueId first, uint32_t count, uint32_t node) {
    for (uint32_t i = 0; i < count; ++i) {
      if (!memory_.home(first + i).must_be_external) continue;
      plan_->code.push_back({.node = node, .aux = locations_.external(first + i), .what = Instruction::Do::make});
    }
  }

  void emit(const ProgramNode& n) {
    if (is_host_op(n)) return emit_host(n);
    if (is_read(n)) return emit_read(*variable_of(n), n.first_output, n.graph_node);
    if (is_assignment(n)) return emit_assignment(n);
    if (is_alias(p_, n)) return;
    if (n.op == &transfer_op) return emit_transfer(n);
    if (n.op->flags.session) fail(Code::Internal, fmt::format("'{}' cannot be planned", n.op->name));
    const bool elementwise =
        n.op->flags.pointwise && n.num_outputs == 1 && n.attrs_view().type() != &internal::kAttrsType<FusedAttrs>;
    if (elementwise) memory_.place_over_operand(n);
    if (static_cast<size_t>(&n - p_.nodes.data()) < first_late_)
      make_outputs(n.first_output, n.num_outputs, n.graph_node);
    emit_kernel(n);
  }

  void emit_kernel(const ProgramNode& n) {
    const OpDef& op = *n.op;
    SmallVector<TensorSpec, 4> in;
    SmallVector<TensorSpec, 2> out;
    for (ValueId v : n.inputs) in.push_back(p_.values[v].spec);
    for (const ProgramValue& v : p_.outputs(n)) out.push_back(v.spec);
    Instruction instruction{.node = n.graph_node, .device = n.device};
    const Prepared* prepared = remembered(op, n.attrs_view(), n.device, in, out);
    instruction.fn = prepared->fn;
    instruction.params = prepared->params;
    if (op.flags.random) {
      if (op.flags.can_fail)
        fail(Code::Internal, fmt::format("'{}' draws and may fail, which no plan can do", op.name));
      instruction.what = Instruction::Do::random;
      instruction.aux = static_cast<uint32_t>(plan_->counters.size());
      plan_->counters.push_back(
          &slots_.counter(random_key_of(n.attrs_view()), p_.graph->node(n.graph_node).generation));
    }
    if (!n.device.is_cpu()) {
      gpu_.add(instruction, n, in, out, prepared->workspace);
    } else if (op.flags.can_fail) {
      instruction.what = Instruction::Do::kernel_that_may_fail;
      instruction.aux = static_cast<uint32_t>(plan_->checked.size());
      plan_->checked.push_back({&op, n.attrs});
    }
    const auto d = static_cast<size_t>(n.device.index);
    if (workspace_.size() <= d) workspace_.resize(d + 1);
    workspace_[d] = std::max(workspace_[d], prepared->workspace);
    instruction.args = static_cast<uint32_t>(plan_->args.size());
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      if (op.reads_shape(i)) {
        plan_->args.push_back({.from = PlannedArg::From::constant});  // the kernel does not look
      } else {
        locations_.push_arg(n.inputs[i]);
      }
    }
    for (uint32_t i = 0; i < n.num_outputs; ++i) locations_.push_arg(n.first_output + i);
    plan_->ops.resize(plan_->code.size());
    plan_->ops.push_back(&op);
    plan_->code.push_back(instruction);
  }

  // Chains of like ops have like signatures: the last one is tried before the process's cache.
  const Prepared* remembered(const OpDef& op, AttrsView attrs, Device device, std::span<const TensorSpec> in,
                             std::span<const TensorSpec> out) {
    Recent& r = recent_[static_cast<size_t>(op.id) % std::size(recent_)];
    if (r.op == &op && r.device == device && r.attrs == attrs && std::ranges::equal(r.in, in) &&
        std::ranges::equal(r.out, out))
      return r.prepared;
    plan_->prepared.push_back(prepare(op, attrs, in, out, device, plan_->settings.numerics));
    r = {&op, device, attrs, {in.begin(), in.end()}, {out.begin(), out.end()}, plan_->prepared.back().get()};
    return r.prepared;
  }

  void use_slot(Slot& slot, bool write) {
    plan_->slots.emplace_back(&slot, write);
    plan_->writes |= write;
    plan_->uses_eager |= slot.is_eager;
  }

  void emit_read(const VariableState& v, ValueId to, uint32_t node) {
    Slot& slot = slots_.slot(Ref<VariableState>(const_cast<VariableState*>(&v)));
    use_slot(slot, false);
    plan_->code.push_back(
        {.params = &slot, .args = locations_.external(to), .node = node, .what = Instruction::Do::read});
  }

  void emit_assignment(const ProgramNode& n) {
    const Ref<VariableState>& v = variable_of(n);
    Slot& slot = slots_.slot(v);
    use_slot(slot, true);
    const auto source_index = static_cast<uint32_t>(plan_->assigned.size());
    plan_->assigned.push_back(locations_.source(n.inputs[0]));
    plan_->code.push_back(
        {.params = &slot, .node = n.graph_node, .aux = source_index, .what = Instruction::Do::assign});
  }

  void emit_transfer(const ProgramNode& n) {
    const auto source_index = static_cast<uint32_t>(plan_->transferred.size());
    plan_->transferred.push_back(locations_.source(n.inputs[0]));
    plan_->code.push_back({.args = locations_.external(n.first_output),
                           .node = n.graph_node,
                           .aux = source_index,
                           .what = Instruction::Do::transfer,
                           .device = n.device});
  }

  void emit_host(const ProgramNode& n) {
    const Node& node = p_.graph->node(n.graph_node);
    HostOp host{.op = n.op, .attrs = n.attrs, .device = n.device, .node = n.graph_node, .kept = n.kept};
    if (is_read(n) || is_assignment(n)) {
      host.slot = &slots_.slot(variable_of(n));
      use_slot(*host.slot, is_assignment(n));
    }
    if (n.op->flags.random) host.counter = &slots_.counter(random_key_of(n.attrs_view()), node.generation);
    for (const Body* b : bodies_of(*n.op, n.attrs_view())) {
      for (const auto& v : b->reads) use_slot(slots_.slot(v), false);
      for (const auto& v : b->writes) use_slot(slots_.slot(v), true);
    }
    host.fed = fed_variables(n);
    plan_->gpu.fails_late |= !n.device.is_cpu();
    for (size_t i = 0; i < n.inputs.size(); ++i)
      host.inputs.push_back(n.reads_shape_alone(i) ? shell_source(n.inputs[i]) : locations_.source(n.inputs[i]));
    for (uint32_t i = 0; i < n.num_outputs; ++i) host.outputs.push_back(locations_.external(n.first_output + i));
    plan_->code.push_back({.node = n.graph_node,
                           .aux = static_cast<uint32_t>(plan_->host_ops.size()),
                           .what = Instruction::Do::host,
                           .device = n.device});
    plan_->host_ops.push_back(std::move(host));
  }

  // An input whose shape alone is used: it may never be computed.
  Source shell_source(ValueId id) const {
    const ProgramValue& v = p_.values[id];
    Source s{.from = Source::From::constant, .device = v.device, .spec = v.spec};
    s.constant = Tensor::adopt(Value::shell(v.spec.dtype, v.spec.shape, v.device, 0).detach());
    return s;
  }

  // The input of control flow that holds the value fed for each fed variable which one of its bodies reads.
  std::vector<FedVariable> fed_variables(const ProgramNode& n) const {
    std::vector<FedVariable> fed;
    if (!n.op->flags.control_flow) return fed;
    const size_t first = p_.feeds.size() - p_.fed_variables.size();
    for (size_t i = 0; i < p_.fed_variables.size(); ++i) {
      const auto it = std::ranges::find(n.inputs, p_.feeds[first + i]);
      if (it != n.inputs.end()) fed.push_back({p_.fed_variables[i], static_cast<size_t>(it - n.inputs.begin())});
    }
    return fed;
  }

  void finish() {
    for (ValueId v : p_.fetches) plan_->fetches.push_back(locations_.source(v));
    for (const auto& v : p_.fetched_variables) {
      plan_->fetched_slots.push_back(&slots_.slot(v));
      use_slot(*plan_->fetched_slots.back(), false);
    }
    // Each slot once, written if anything writes it, in the order in which runs lock.
    auto& slots = plan_->slots;
    std::ranges::sort(slots, [](const auto& a, const auto& b) {
      return std::pair(a.first->variable->id, !a.second) < std::pair(b.first->variable->id, !b.second);
    });
    const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
    slots.erase(std::unique(slots.begin(), slots.end(), same), slots.end());
    plan_->draws = !plan_->counters.empty() || !plan_->host_ops.empty();
    set_in_place();
    gpu_.finish(pass_enabled(options_, kCapturePass));
    // After the values of each device comes room for any of its kernels, while any value lives.
    workspace_.resize(std::max(workspace_.size(), memory_.num_devices()));
    for (size_t d = 0; d < workspace_.size(); ++d) {
      const Device device{static_cast<int8_t>(d)};
      Arena& arena = memory_.arena(device);
      const size_t offset = d ? gpu_.place_workspaces(arena, device, workspace_[d]) : arena.take_apart(workspace_[d]);
      plan_->arenas.push_back({arena.top(), offset});
    }
    plan_->constant_bytes = locations_.constant_bytes();
  }

  // Lets new values of variables be written over the old ones.
  void set_in_place() {
    plan_->in_place.resize(plan_->externals.size());
    for (size_t i = first_late_; i < p_.nodes.size(); ++i) {
      const ProgramNode& n = p_.nodes[i];
      for (uint32_t k = 0; k < std::min<uint32_t>(n.num_outputs, std::size(n.op->in_place)); ++k) {
        if (n.op->in_place[k] < 0) continue;
        const ValueId old = n.inputs[static_cast<size_t>(n.op->in_place[k])];
        const ProgramNode& read = p_.nodes[static_cast<size_t>(p_.values[old].producer)];
        plan_->in_place[locations_.external(n.first_output + k)] = &slots_.slot(variable_of(read));
      }
    }
    for (const auto& [value, variable] : gpu_updates_in_place(p_, memory_))
      plan_->in_place[locations_.external(value)] = &slots_.slot(variable);
  }

  struct Recent {
    const OpDef* op = nullptr;
    Device device;
    AttrsView attrs;
    std::vector<TensorSpec> in, out;
    const Prepared* prepared = nullptr;
  };

  Program p_;
  const SessionOptions& options_;
  Slots& slots_;
  std::unique_ptr<Plan> plan_;
  size_t first_late_;  // of the program's nodes
  MemoryPlan memory_;
  Locations locations_;
  GraphIdentities identities_;        // empty: nobody observes
  std::vector<uint32_t> executions_;  // by graph node, of the plan's
  GpuKernels gpu_;
  std::vector<size_t> workspace_;  // by Device::index
  Recent recent_[16];
};

}  // namespace

std::unique_ptr<const Plan> make_plan(GraphData& g, const Request& request, const SessionOptions& given, Slots& slots,
                                      Ledger* ledger) {
  SessionOptions options = given;
  if (request.settings.observed)  // each op by itself, and its operands there when it is done
    for (const Pass& pass : all_passes())
      if (pass.joins) options.disabled_passes.emplace_back(pass.name);
  PhaseTimer pruning(ledger, Phase::prune);
  std::vector<uint32_t> nodes = prune(g, request);
  std::optional<InlinedCalls> inlined;
  if (pass_enabled(options, kInlinePass)) inlined = inline_calls(g, request, nodes);
  if (inlined) nodes = std::move(inlined->nodes);
  Program program = inlined ? lower(*inlined->graph, inlined->request, nodes) : lower(g, request, nodes);
  place(program, slots.device);
  pruning.stop();
  PhaseTimer optimizing(ledger, Phase::optimize);
  if (options.optimize) run_passes(program, options, ledger);
  optimizing.stop();
  PhaseTimer planning(ledger, Phase::plan);
  Planner planner(std::move(program), options, slots, nodes);
  auto plan = planner.make();
  count_pass(kInlinePass, inlined ? inlined->count : 0, options, ledger);
  count_pass(kMemoryPass, planner.shared(), options, ledger);
  count_pass(kCapturePass, plan->gpu.launches && plan->gpu.obstacle.empty(), options, ledger);
  return plan;
}

}  // namespace twofold
