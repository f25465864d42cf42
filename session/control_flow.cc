#include <twofold/session/control_flow.h>

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include <twofold/graph/body.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/value.h>

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
      key.push_back(static_cast<uint64_t>(t.dtype()) << 8 | static_cast<uint64_t>(t.rank()));
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
    Request r{.fetches = body_.outputs, .operations = body_.effects, .feeds = body_.parameters};
    r.feeds.insert(r.feeds.end(), body_.captures.begin(), body_.captures.end());
    for (const FedVariable& f : fed_) r.fed_variables.push_back(f.variable);
    for (const Tensor& t : feeds) r.feed_specs.push_back(t.value()->spec());
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

class ControlFlowStep : public HostStep {
 public:
  ControlFlowStep(const ProgramNode& n, SessionSlots& slots) {
    for (const Body* b : bodies_of(*n.op, n.attrs_view())) {
      for (const auto& v : b->reads) touched_.emplace_back(&slots.slot(v), false);
      for (const auto& v : b->writes) touched_.emplace_back(&slots.slot(v), true);
    }
  }
  void add_slots(std::vector<std::pair<Slot*, bool>>& slots) const override {
    slots.insert(slots.end(), touched_.begin(), touched_.end());
  }

 private:
  std::vector<std::pair<Slot*, bool>> touched_;
};

class IfStep final : public ControlFlowStep {
 public:
  IfStep(const ProgramNode& n, const Program& p, const SessionOptions& options, SessionSlots& slots)
      : ControlFlowStep(n, slots),
        then_(n.attrs_view().as<IfAttrs>().then_body, options, slots, fed_variables(n, p)),
        else_(n.attrs_view().as<IfAttrs>().else_body, options, slots, fed_variables(n, p)) {}
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger) override {
    auto results = (truth_of(inputs[0], "If") ? then_ : else_).call({}, inputs, ledger);
    std::ranges::move(results, outputs.begin());
    outputs.back() = no_trace();
  }

 private:
  BodyPlans then_, else_;
};

class WhileStep final : public ControlFlowStep {
 public:
  WhileStep(const ProgramNode& n, const Program& p, const SessionOptions& options, SessionSlots& slots)
      : ControlFlowStep(n, slots),
        state_size_(n.attrs_view().as<WhileAttrs>().body.parameters.size()),
        test_(n.attrs_view().as<WhileAttrs>().test, options, slots, fed_variables(n, p)),
        body_(n.attrs_view().as<WhileAttrs>().body, options, slots, fed_variables(n, p)) {}
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger) override {
    SmallVector<Tensor, 4> state;
    for (const Tensor& t : inputs.first(state_size_)) state.push_back(t);
    while (truth_of(test_.call(state, inputs, ledger)[0], "While")) state = body_.call(state, inputs, ledger);
    std::ranges::move(state, outputs.begin());
    outputs.back() = no_trace();
  }

 private:
  size_t state_size_;
  BodyPlans test_, body_;
};

}  // namespace

bool is_control_flow(const OpDef& op) { return &op == &if_op || &op == &while_op; }

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
  return std::make_unique<WhileStep>(n, p, options, slots);
}

}  // namespace twofold
