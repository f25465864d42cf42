#include <twofold/session/run/planned_bodies.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace twofold {

BodyResults BodyExecutors::call(std::span<const Tensor> feeds, Ledger* ledger) {
  const auto executor = executor_for(feeds);
  BodyResults outputs(executor->num_fetches());
  executor->run(feeds, outputs, ledger, true);
  return outputs;
}

std::shared_ptr<Executor> BodyExecutors::executor_for(std::span<const Tensor> feeds) {
  KeyWords words;
  for (const Tensor& t : feeds) add_value(words, t);
  decltype(executors_) gone;  // end when the lock is given back
  std::lock_guard lock(mutex_);
  if (last_ && std::ranges::equal(last_->first.words, words)) return last_->second;
  const PlanKey key(words);
  if (const auto known = executors_.find(key); known != executors_.end()) {
    last_ = &*known;
    return known->second;
  }
  if (executors_.size() >= kMost) {  // a loop whose shapes never repeat; what runs keeps its own
    last_ = nullptr;
    gone.swap(executors_);
  }
  Request r = request_;
  r.expect(feeds);
  auto made = make_executor(graph_, r, options_, context_, nullptr);
  last_ = &*executors_.emplace(key, std::move(made)).first;
  return last_->second;
}

PlannedBodies::PlannedBodies(const HostOp& op, const SessionOptions& options, const RunSettings& settings,
                             SessionContext& context)
    : op_(op) {
  const auto differentiable = differentiable_bodies(*op.op, op.attrs_view());
  for (const Body* body : bodies_of(*op.op, op.attrs_view())) {
    Request r{.settings = settings,
              .fetches = body->outputs,
              .operations = body->effects,
              .feeds = body->parameters,
              .nested = true};
    r.feeds.insert(r.feeds.end(), body->captures.begin(), body->captures.end());
    for (const FedVariable& f : op.fed) r.fed_variables.push_back(f.variable);
    const auto number = static_cast<size_t>(std::ranges::find(differentiable, body) - differentiable.begin());
    std::shared_ptr<const BodyKept> kept;
    if (op.kept && number < op.kept->size()) {
      kept = {op.kept, &(*op.kept)[number]};
      for (const ForwardRead& read : kept->edges) r.fetches.push_back(read.edge);
      r.kept = kept->inner;
    }
    bodies_.emplace(std::piecewise_construct, std::tuple(body),
                    std::forward_as_tuple(*body->graph, std::move(r), options, context, number, std::move(kept)));
  }
}

BodyResults PlannedBodies::call(const Body& body, std::span<const Tensor> state, std::span<const Tensor> inputs,
                                Ledger* ledger) {
  SmallVector<Tensor, 8> feeds;
  for (const Tensor& t : state) feeds.push_back(t);
  for (uint32_t i : body.capture_inputs) feeds.push_back(inputs[i]);
  for (const FedVariable& f : op_.fed) feeds.push_back(inputs[f.input]);
  return bodies_.at(&body).executors.call(feeds, ledger);
}

BodyResults PlannedBodies::run(std::span<const Tensor> inputs, Ledger* ledger) {
  class Run final : public Bodies {
   public:
    Run(PlannedBodies& bodies, Ledger* ledger) : bodies_(bodies), ledger_(ledger) {}
    BodyResults branch(const Body& taken, std::span<const Tensor> inputs) override {
      return bodies_.call(taken, {}, inputs, ledger_);
    }
    bool test(const Body& test, std::span<const Tensor> state, std::span<const Tensor> inputs) override {
      return truth_of(bodies_.call(test, state, inputs, ledger_)[0], "While");
    }
    BodyResults iteration(const Body& body, std::span<const Tensor> state, std::span<const Tensor> inputs) override {
      return bodies_.call(body, state, inputs, ledger_);
    }

   private:
    PlannedBodies& bodies_;
    Ledger* ledger_;
  };
  Run run(*this, ledger);
  return run_bodies(op_.attrs_view(), inputs, run);
}

}  // namespace twofold
