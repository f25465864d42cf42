// From a program to a plan: which memory each value lies in, and the instructions.
#include <fmt/format.h>

#include <algorithm>

#include <twofold/graph/graph_ops.h>
#include <twofold/kernels/pointwise/fused.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/report/ledger.h>
#include <twofold/session/arena.h>
#include <twofold/session/host_steps.h>
#include <twofold/session/node_error.h>
#include <twofold/session/passes/passes.h>
#include <twofold/session/plan.h>

namespace twofold {

class Planner {
 public:
  Planner(Program program, const SessionOptions& options, SessionSlots& slots)
      : p_(std::move(program)),
        options_(options),
        slots_(slots),
        plan_(std::make_unique<Plan>()),
        reuse_(pass_enabled(options, kMemoryPass)) {
    plan_->graph_ = Ref<GraphData>(p_.graph);
  }

  /// How many values share memory with others.
  int64_t shared() const { return shared_; }

  std::unique_ptr<const Plan> make() {
    homes_.resize(p_.values.size());
    for (ValueId v = 0; v < p_.values.size(); ++v) homes_[v].root = v;
    check_placeholders();
    find_aliases();
    find_externals();
    find_last_uses();
    for (size_t i = 0; i < p_.nodes.size(); ++i) {
      if (skipped(p_.nodes[i])) continue;
      with_node(*p_.graph, p_.nodes[i].graph_node, [&] { emit(p_.nodes[i]); });
      free_dead(i);
    }
    finish();
    return std::move(plan_);
  }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};

  // Where a value lies. Values that share memory share a root.
  struct Home {
    ValueId root = 0;
    uint32_t external = kNone;  // of a root
    uint64_t offset = 0;        // in the arena
    bool placed = false;        // in the arena
    bool must_be_external = false;
    bool kept = false;        // arena memory not to be reused: a tensor may refer to it
    bool taken_over = false;  // its memory became another value's
    uint32_t last_use = 0;
  };

  Home& home(ValueId v) { return homes_[homes_[v].root]; }
  bool is_constant(ValueId v) const { return p_.values[homes_[v].root].constant.defined(); }

  // Nodes whose results are known, and names without work.
  bool skipped(const ProgramNode& n) const {
    if (n.dead || n.op == &no_op_op) return true;
    return n.num_outputs && !n.has_effect() && p_.values[n.first_output].constant.defined();
  }

  static bool is_assignment(const OpDef& op) {
    return &op == &assign_op || &op == &assign_add_op || &op == &assign_sub_op;
  }
  /// Whether output 0 is input 0's bytes: always, or for the shapes that the plan is for.
  bool is_alias(const ProgramNode& n) const {
    if (n.op->flags.alias) return true;
    if (!n.op->view) return false;
    const Shape &x = p_.values[n.inputs[0]].spec.shape, &y = p_.values[n.first_output].spec.shape;
    return x.num_elements() == y.num_elements() && n.op->view(n.attrs_view(), x, y) == 0;
  }
  static bool is_host_step(const ProgramNode& n) { return n.dynamic || is_host_op(*n.op); }

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

  void find_aliases() {
    for (const ProgramNode& n : p_.nodes) {
      if (skipped(n) || is_host_step(n)) continue;
      if (is_alias(n) || n.op == &assign_op) homes_[n.first_output].root = homes_[n.inputs[0]].root;
    }
  }

  // Values that outlive the run, or come from outside it, are tensors of their own.
  void find_externals() {
    for (ValueId v = 0; v < p_.values.size(); ++v)
      if (p_.values[v].feed >= 0) home(v).must_be_external = true;
    for (ValueId v : p_.fetches) home(v).must_be_external = true;
    for (const ProgramNode& n : p_.nodes) {
      if (skipped(n)) continue;
      if (is_assignment(*n.op)) home(n.op == &assign_op ? n.inputs[0] : n.first_output).must_be_external = true;
      if (n.op == &read_variable_op || is_host_step(n))
        for (uint32_t i = 0; i < n.num_outputs; ++i) home(n.first_output + i).must_be_external = true;
      if (is_host_step(n))
        for (ValueId v : n.inputs) home(v).kept = true;
    }
  }

  void find_last_uses() {
    for (size_t i = 0; i < p_.nodes.size(); ++i) {
      const ProgramNode& n = p_.nodes[i];
      if (skipped(n)) continue;
      for (ValueId v : n.inputs) home(v).last_use = static_cast<uint32_t>(i);
      for (uint32_t k = 0; k < n.num_outputs; ++k) home(n.first_output + k).last_use = static_cast<uint32_t>(i);
    }
    // Which arena values end at which node, without a list per node.
    ends_.assign(p_.nodes.size() + 1, 0);
    std::vector<ValueId> roots;
    for (ValueId v = 0; v < p_.values.size(); ++v) {
      if (homes_[v].root != v || homes_[v].must_be_external || homes_[v].kept) continue;
      ++ends_[homes_[v].last_use + 1];
      roots.push_back(v);
    }
    for (size_t i = 1; i < ends_.size(); ++i) ends_[i] += ends_[i - 1];
    ending_.resize(roots.size());
    std::vector<uint32_t> next(ends_.begin(), ends_.end());
    for (ValueId v : roots) ending_[next[homes_[v].last_use]++] = v;
  }

  void free_dead(size_t node) {
    for (uint32_t i = ends_[node]; i < ends_[node + 1]; ++i) {
      Home& h = homes_[ending_[i]];
      if (h.placed && !h.taken_over && reuse_) arena_.release(h.offset, bytes_of(ending_[i]));
    }
  }

  size_t bytes_of(ValueId root) const {
    const TensorSpec& s = p_.values[root].spec;
    check_size(s.shape);
    return static_cast<size_t>(s.shape.num_elements()) * size_of(s.dtype);
  }

  uint32_t external(ValueId v) {
    Home& h = home(v);
    if (h.external == kNone) {
      h.external = static_cast<uint32_t>(plan_->externals_.size());
      const ProgramValue& value = p_.values[homes_[v].root];
      plan_->externals_.push_back({.spec = value.spec, .feed = value.feed, .args = {}});
      if (value.feed >= 0) plan_->feeds_.emplace_back(static_cast<uint32_t>(value.feed), h.external);
    }
    return h.external;
  }

  void place(ValueId v) {
    Home& h = home(v);
    if (h.placed) return;
    const size_t before = arena_.top();
    h.offset = arena_.take(bytes_of(homes_[v].root));
    h.placed = true;
    shared_ += arena_.top() == before;
  }

  // A pointwise op may write over an operand that ends with it: element i of the result needs element i alone.
  void place_over_operand(std::span<const ValueId> inputs, ValueId output, size_t node_index) {
    Home& to = home(output);
    if (!reuse_ || to.must_be_external || to.placed) return;
    const TensorSpec& spec = p_.values[output].spec;
    for (ValueId v : inputs) {
      Home& from = home(v);
      const TensorSpec& other = p_.values[homes_[v].root].spec;
      if (from.must_be_external || from.kept || !from.placed || from.taken_over || is_constant(v) ||
          from.last_use != node_index || other.shape != spec.shape || size_of(other.dtype) != size_of(spec.dtype))
        continue;
      to.offset = from.offset;
      to.placed = from.taken_over = true;
      ++shared_;
      return;
    }
  }

  // One pointer argument.
  void push_arg(ValueId v) {
    const auto index = static_cast<uint32_t>(plan_->args_.size());
    Plan::Arg arg;
    if (is_constant(v)) {
      const Tensor& t = p_.values[homes_[v].root].constant;
      arg = {.from = Plan::Arg::From::constant, .constant = t.value()->data()};
      keep_constant(t);
    } else if (home(v).must_be_external) {
      arg = {.from = Plan::Arg::From::external, .external = external(v)};
      plan_->externals_[arg.external].args.push_back(index);
    } else {
      place(v);
      arg = {.from = Plan::Arg::From::arena, .offset = home(v).offset};
    }
    plan_->args_.push_back(arg);
  }

  void keep_constant(const Tensor& t) {
    if (plan_->constants_.empty() || !plan_->constants_.back().same_as(t)) plan_->constants_.push_back(t);
  }

  Plan::Source source(ValueId v) {
    Plan::Source s;
    s.spec = p_.values[v].spec;
    if (is_constant(v)) {
      s.from = Plan::Source::From::constant;
      s.constant = p_.values[homes_[v].root].constant;
      if (s.constant.shape() != s.spec.shape && s.spec.shape.is_known())
        s.constant = Tensor::adopt(Value::view(Ref<Value>(s.constant.value()), s.spec.shape, 0).detach());
    } else if (home(v).must_be_external) {
      s.from = Plan::Source::From::external;
      s.external = external(v);
      s.fed = p_.values[homes_[v].root].feed >= 0;
    } else {
      place(v);
      s.from = Plan::Source::From::arena;
      s.offset = home(v).offset;
    }
    return s;
  }

  // An output that is a tensor of its own is made just before the kernel that writes it.
  void make_outputs(ValueId first, uint32_t count, uint32_t node) {
    for (uint32_t i = 0; i < count; ++i) {
      if (!home(first + i).must_be_external) continue;
      plan_->code_.push_back({.node = node, .aux = external(first + i), .what = Plan::Do::make});
    }
  }

  void emit(const ProgramNode& n) {
    if (is_host_step(n)) return emit_host(n);
    if (n.op == &read_variable_op)
      return emit_read(*n.attrs_view().as<VariableAttrs>().variable, n.first_output, n.graph_node);
    if (is_assignment(*n.op)) return emit_assignment(n);
    if (is_alias(n)) return;
    if (n.op->flags.session) fail(Code::Internal, fmt::format("'{}' cannot be planned", n.op->name));
    const bool elementwise =
        n.op->flags.pointwise && n.num_outputs == 1 && n.attrs_view().type() != &internal::kAttrsType<FusedAttrs>;
    if (elementwise) place_over_operand(n.inputs, n.first_output, static_cast<size_t>(&n - p_.nodes.data()));
    emit_kernel(*n.op, n.attrs_view(), n.inputs, n.first_output, n.num_outputs, n.graph_node);
  }

  void emit_kernel(const OpDef& op, AttrsView attrs, std::span<const ValueId> inputs, ValueId first, uint32_t count,
                   uint32_t node) {
    make_outputs(first, count, node);
    SmallVector<TensorSpec, 4> in;
    SmallVector<TensorSpec, 2> out;
    for (ValueId v : inputs) in.push_back(p_.values[v].spec);
    for (uint32_t i = 0; i < count; ++i) out.push_back(p_.values[first + i].spec);
    Plan::Instruction instruction{.node = node};
    const Prepared* prepared = remembered(op, attrs, in, out);
    instruction.fn = prepared->fn;
    instruction.params = prepared->params;
    instruction.what = op.flags.random     ? Plan::Do::random
                       : op.flags.can_fail ? Plan::Do::kernel_that_may_fail
                                           : Plan::Do::kernel;
    if (op.flags.random) {
      instruction.aux = static_cast<uint32_t>(plan_->counters_.size());
      plan_->counters_.push_back(&slots_.counter(random_key_of(attrs)));
    }
    workspace_ = std::max(workspace_, prepared->workspace);
    instruction.args = static_cast<uint32_t>(plan_->args_.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (i < 32 && (op.shape_inputs >> i & 1)) {
        plan_->args_.push_back({.from = Plan::Arg::From::constant});  // the kernel does not look
      } else {
        push_arg(inputs[i]);
      }
    }
    for (uint32_t i = 0; i < count; ++i) push_arg(first + i);
    plan_->ops_.resize(plan_->code_.size());
    plan_->ops_.push_back(&op);
    plan_->code_.push_back(instruction);
  }

  // Chains of like ops have like signatures: the last one is tried before the process's cache.
  const Prepared* remembered(const OpDef& op, AttrsView attrs, std::span<const TensorSpec> in,
                             std::span<const TensorSpec> out) {
    Recent& r = recent_[static_cast<size_t>(op.id) % std::size(recent_)];
    if (r.op == &op && r.attrs == attrs && std::ranges::equal(r.in, in) && std::ranges::equal(r.out, out))
      return r.prepared;
    plan_->prepared_.push_back(prepare(op, attrs, in, out, {}));
    r = {&op, attrs, {in.begin(), in.end()}, {out.begin(), out.end()}, plan_->prepared_.back().get()};
    return r.prepared;
  }

  void use_slot(Slot& slot, bool write) {
    plan_->slots_.emplace_back(&slot, write);
    plan_->writes_ |= write;
  }

  void emit_read(const VariableState& v, ValueId to, uint32_t node) {
    Slot& slot = slots_.slot(Ref<VariableState>(const_cast<VariableState*>(&v)));
    use_slot(slot, false);
    plan_->code_.push_back({.params = &slot, .args = external(to), .node = node, .what = Plan::Do::read});
  }

  void emit_assignment(const ProgramNode& n) {
    const Ref<VariableState>& v = n.attrs_view().as<VariableAttrs>().variable;
    Slot& slot = slots_.slot(v);
    use_slot(slot, true);
    ValueId value = n.inputs[0];
    if (n.op != &assign_op) {
      // variable + value, as the eager `assign_add` computes it.
      const auto current = static_cast<ValueId>(p_.values.size());
      p_.values.push_back({.spec = p_.values[n.first_output].spec});
      homes_.push_back({.root = current, .must_be_external = true});
      emit_read(*v, current, n.graph_node);
      const OpDef& op = *find_op(n.op == &assign_add_op ? "Add" : "Sub");
      const ValueId inputs[] = {current, value};
      emit_kernel(op, {}, inputs, n.first_output, 1, n.graph_node);
      value = n.first_output;
    }
    const auto source_index = static_cast<uint32_t>(plan_->assigned_.size());
    plan_->assigned_.push_back(source(value));
    plan_->code_.push_back({.params = &slot, .node = n.graph_node, .aux = source_index, .what = Plan::Do::assign});
  }

  void emit_host(const ProgramNode& n) {
    Plan::Host host;
    host.step = make_host_step(n, p_, options_, slots_);
    host.step->add_slots(plan_->slots_);
    for (const auto& [slot, write] : plan_->slots_) plan_->writes_ |= write;
    for (ValueId v : n.inputs) host.inputs.push_back(source(v));
    for (uint32_t i = 0; i < n.num_outputs; ++i) host.outputs.push_back(external(n.first_output + i));
    plan_->code_.push_back(
        {.node = n.graph_node, .aux = static_cast<uint32_t>(plan_->hosts_.size()), .what = Plan::Do::host});
    plan_->hosts_.push_back(std::move(host));
  }

  void finish() {
    for (ValueId v : p_.fetches) plan_->fetches_.push_back(source(v));
    for (const auto& v : p_.fetched_variables) {
      plan_->fetched_slots_.push_back(&slots_.slot(v));
      use_slot(*plan_->fetched_slots_.back(), false);
    }
    // Each slot once, written if anything writes it, in the order in which runs lock.
    auto& slots = plan_->slots_;
    std::ranges::sort(slots, [](const auto& a, const auto& b) {
      return std::pair(a.first->variable->id, !a.second) < std::pair(b.first->variable->id, !b.second);
    });
    const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
    slots.erase(std::unique(slots.begin(), slots.end(), same), slots.end());
    plan_->workspace_offset_ = arena_.take_apart(workspace_);  // any kernel's, while any value lives
    plan_->arena_bytes_ = arena_.top();
  }

  struct Recent {
    const OpDef* op = nullptr;
    AttrsView attrs;
    std::vector<TensorSpec> in, out;
    const Prepared* prepared = nullptr;
  };

  Program p_;
  const SessionOptions& options_;
  SessionSlots& slots_;
  std::unique_ptr<Plan> plan_;
  std::vector<Home> homes_;
  std::vector<uint32_t> ends_;  // ending_[ends_[i]..ends_[i+1]) are last used by node i
  std::vector<ValueId> ending_;
  Arena arena_;
  size_t workspace_ = 0;
  bool reuse_;
  int64_t shared_ = 0;  // values that lie where others lay
  Recent recent_[16];
};

std::unique_ptr<const Plan> make_plan(GraphData& g, const Request& request, const SessionOptions& options,
                                      SessionSlots& slots, Ledger* ledger) {
  PhaseTimer pruning(ledger, Phase::prune);
  const std::vector<uint32_t> nodes = prune(g, request);
  Program program = lower(g, request, nodes);
  pruning.stop();
  PhaseTimer optimizing(ledger, Phase::optimize);
  if (options.optimize) run_passes(program, options, ledger);
  optimizing.stop();
  PhaseTimer planning(ledger, Phase::plan);
  Planner planner(std::move(program), options, slots);
  auto plan = planner.make();
  if (ledger && options.optimize) ledger->add_pass(kMemoryPass, planner.shared());
  return plan;
}

}  // namespace twofold
