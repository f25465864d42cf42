#include <twofold/session/run/control_flow.h>

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include <twofold/graph/body.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/value.h>
#include <twofold/session/run/interpreter.h>

namespace twofold {
namespace {

// The input of node `n` that holds the value fed for each fed variable which one of its bodies reads.
std::vector<FedVariable> fed_variables(const ProgramNode& n, const Program& p) {
  std::vector<FedVariable> fed;
  const size_t first = p.feeds.size() - p.fed_variables.size();
  for (size_t i = 0; i < p.fed_variables.size(); ++i) {
    const auto it = std::ranges::find(n.inputs, p.feeds[first + i]);
    if (it != n.inputs.end()) fed.push_back({p.fed_variables[i], static_cast<size_t>(it - n.inputs.begin())});
  }
  return fed;
}

// The plans of one body, by the shapes that it is called with.
class BodyPlans {
 public:
  BodyPlans(const Body& body, const SessionOptions& options, SessionSlots& slots, std::vector<FedVariable> fed)
      : body_(body), options_(options), slots_(slots), fed_(std::move(fed)) {}

  /// `parameters` by the body's; `inputs` are those of the node.
  SmallVector<Tensor, 4> call(std::span<const Tensor> parameters, std::span<const Tensor> inputs, Ledger* ledger) {
    SmallVector<Tensor, 8> feeds;
    for (const Tensor& t : parameters) feeds.push_back(t);
    for (uint32_t i : body_.capture_inputs) feeds.push_back(inputs[i]);
    for (const FedVariable& f : fed_) feeds.push_back(inputs[f.input]);
    const auto plan = plan_for(feeds);
    SmallVector<Tensor, 4> outputs(plan->num_fetches());
    plan->execute(feeds, outputs, ledger, true);
    return outputs;
  }

 private:
  static constexpr size_t kMost = 64;

  std::shared_ptr<const Plan> plan_for(std::span<const Tensor> feeds) {
    std::vector<uint64_t> key;
    for (const Tensor& t : feeds) {
      key.push_back(static_cast<uint64_t>(t.value()->device().index) << 16 | static_cast<uint64_t>(t.dtype()) << 8 |
                    static_cast<uint64_t>(t.rank()));
      for (int64_t d : t.shape()) key.push_back(static_cast<uint64_t>(d));
    }
    std::lock_guard lock(mutex_);
    if (last_ && key == last_key_) return last_;
    const uint64_t hash = hash_field(key);
    for (auto [it, end] = plans_.equal_range(hash); it != end; ++it) {
      if (it->second.first != key) continue;
      last_key_ = std::move(key);
      return last_ = it->second.second;
    }
    if (plans_.size() >= kMost) plans_.clear();  // a loop whose shapes never repeat; what runs keeps its plan
    Request r{.fetches = body_.outputs, .operations = body_.effects, .feeds = body_.parameters, .nested = true};
    r.feeds.insert(r.feeds.end(), body_.captures.begin(), body_.captures.end());
    for (const FedVariable& f : fed_) r.fed_variables.push_back(f.variable);
    for (const Tensor& t : feeds) {
      r.feed_specs.push_back(t.value()->spec());
      r.feed_devices.push_back(t.value()->device());
    }
    last_ = make_plan(*body_.graph, r, options_, slots_, nullptr);
    last_key_ = key;
    plans_.emplace(hash, std::pair(std::move(key), last_));
    return last_;
  }

  const Body body_;
  const SessionOptions options_;
  SessionSlots& slots_;
  const std::vector<FedVariable> fed_;
  std::mutex mutex_;  // guards all below
  std::unordered_multimap<uint64_t, std::pair<std::vector<uint64_t>, std::shared_ptr<const Plan>>> plans_;
  std::vector<uint64_t> last_key_;
  std::shared_ptr<const Plan> last_;
};

// What steps on traces need of the thread.
struct EagerAlone {
  EagerMode eager;
  WithoutTape hidden;
};

// An If or While node: by the plans of its bodies or, if its gradient is wanted, op by op.
class ControlFlowStep : public HostStep {
 public:
  ControlFlowStep(const ProgramNode& n, const Program& p, SessionSlots& slots)
      : op_(*n.op),
        attrs_(n.attrs),
        where_(p.graph->node(n.graph_node).where),
        num_inputs_(p.graph->node(n.graph_node).inputs.size()),
        traced_(n.traced),
        fed_(fed_variables(n, p)),
        slots_(slots) {
    for (const Body* b : bodies_of(op_, n.attrs_view())) {
      for (const auto& v : b->reads) touched_.emplace_back(&slots.slot(v), false);
      for (const auto& v : b->writes) touched_.emplace_back(&slots.slot(v), true);
    }
  }
  void add_slots(std::vector<std::pair<Slot*, bool>>& slots) const override {
    slots.insert(slots.end(), touched_.begin(), touched_.end());
  }
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger) override {
    if (!traced_) {
      run_planned(inputs, outputs, ledger);
      outputs.back() = no_trace();
      return;
    }
    const EagerAlone alone;
    Interpreter interpreter(slots_);
    for (const FedVariable& f : fed_) interpreter.feed(*f.variable, inputs[f.input]);
    Traced traced = interpreter.run(op_, attrs_->view(), inputs.first(num_inputs_), where_);
    std::ranges::move(traced.outputs, outputs.begin());
    outputs.back() = trace_handle(std::move(traced.trace));
  }

 protected:
  virtual void run_planned(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger) = 0;
  AttrsView attrs() const { return attrs_->view(); }

 private:
  const OpDef& op_;
  Ref<AttrsBox> attrs_;
  std::source_location where_;
  size_t num_inputs_;
  bool traced_;
  std::vector<FedVariable> fed_;
  SessionSlots& slots_;
  std::vector<std::pair<Slot*, bool>> touched_;
};

class IfStep final : public ControlFlowStep {
 public:
  IfStep(const ProgramNode& n, const Program& p, const SessionOptions& options, SessionSlots& slots)
      : ControlFlowStep(n, p, slots),
        then_(attrs().as<IfAttrs>().then_body, options, slots, fed_variables(n, p)),
        else_(attrs().as<IfAttrs>().else_body, options, slots, fed_variables(n, p)) {}

 private:
  void run_planned(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger) override {
    auto results = (truth_of(inputs[0], "If") ? then_ : else_).call({}, inputs, ledger);
    std::ranges::move(results, outputs.begin());
  }
  BodyPlans then_, else_;
};

class WhileStep final : public ControlFlowStep {
 public:
  WhileStep(const ProgramNode& n, const Program& p, const SessionOptions& options, SessionSlots& slots)
      : ControlFlowStep(n, p, slots),
        state_size_(attrs().as<WhileAttrs>().body.parameters.size()),
        test_(attrs().as<WhileAttrs>().test, options, slots, fed_variables(n, p)),
        body_(attrs().as<WhileAttrs>().body, options, slots, fed_variables(n, p)) {}

 private:
  void run_planned(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger) override {
    SmallVector<Tensor, 4> state;
    for (const Tensor& t : inputs.first(state_size_)) state.push_back(t);
    while (truth_of(test_.call(state, inputs, ledger)[0], "While")) state = body_.call(state, inputs, ledger);
    std::ranges::move(state, outputs.begin());
  }
  size_t state_size_;
  BodyPlans test_, body_;
};

class BackpropStep final : public HostStep {
 public:
  BackpropStep(const ProgramNode& n, SessionSlots& slots) : attrs_(n.attrs), keep_(n.traced), slots_(slots) {}
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger*) override {
    const EagerAlone alone;
    Traced traced = run_backprop_node(attrs_->view().as<BackpropAttrs>(), inputs, slots_, keep_);
    std::ranges::move(traced.outputs, outputs.begin());
    outputs.back() = keep_ ? trace_handle(std::move(traced.trace)) : no_trace();
  }

 private:
  Ref<AttrsBox> attrs_;
  bool keep_;
  SessionSlots& slots_;
};

}  // namespace

bool is_control_flow(const OpDef& op) { return &op == &if_op || &op == &while_op || &op == &backprop_op; }

bool truth_of(const Tensor& p, const char* op) {
  if (p.dtype() != bool_ || p.rank() != 0)
    fail(Code::InvalidArgument,
         fmt::format("Shape must be rank 0 but is rank {} for the predicate of '{}', a {} of shape {}", p.rank(), op,
                     name_of(p.dtype()), p.shape().str()));
  return static_cast<bool>(p);
}

Tensor no_trace() { return Tensor::adopt(Value::make(uint8, Shape{0}).detach()); }

std::unique_ptr<HostStep> make_control_flow_step(const ProgramNode& n, const Program& p, const SessionOptions& options,
                                                 SessionSlots& slots) {
  if (n.op == &if_op) return std::make_unique<IfStep>(n, p, options, slots);
  if (n.op == &while_op) return std::make_unique<WhileStep>(n, p, options, slots);
  return std::make_unique<BackpropStep>(n, slots);
}

}  // namespace twofold
