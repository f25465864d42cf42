#include <twofold/session/run/planned_bodies.h>

#include <algorithm>

namespace twofold {

BodyResults BodyExecutors::call(std::span<const Tensor> parameters, std::span<const Tensor> inputs, Ledger* ledger) {
  SmallVector<Tensor, 8> feeds;
  for (const Tensor& t : parameters) feeds.push_back(t);
  for (uint32_t i : body_.capture_inputs) feeds.push_back(inputs[i]);
  for (const FedVariable& f : fed_) feeds.push_back(inputs[f.input]);
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
  Request r{.settings = settings_,
            .fetches = body_.outputs,
            .operations = body_.effects,
            .feeds = body_.parameters,
            .nested = true};
  r.feeds.insert(r.feeds.end(), body_.captures.begin(), body_.captures.end());
  for (const FedVariable& f : fed_) r.fed_variables.push_back(f.variable);
  for (const Tensor& t : feeds) {
    r.feed_specs.push_back(t.value()->spec());
    r.feed_devices.push_back(t.value()->device());
  }
  auto made = make_executor(*body_.graph, r, options_, context_, nullptr);
  last_ = &*executors_.emplace(key, std::move(made)).first;
  return last_->second;
}

PlannedBodies::PlannedBodies(const HostOp& op, const SessionOptions& options, const RunSettings& settings,
                             SessionContext& context) {
  for (const Body* body : bodies_of(*op.op, op.attrs_view()))
    executors_.try_emplace(body, *body, options, settings, context, op.fed);
}

BodyResults PlannedBodies::run(AttrsView attrs, std::span<const Tensor> inputs, Ledger* ledger) {
  class Run final : public Bodies {
   public:
    Run(PlannedBodies& bodies, Ledger* ledger) : bodies_(bodies), ledger_(ledger) {}
    BodyResults branch(const Body& taken, std::span<const Tensor> inputs) override { return call(taken, {}, inputs); }
    bool test(const Body& test, std::span<const Tensor> state, std::span<const Tensor> inputs) override {
      return truth_of(call(test, state, inputs)[0], "While");
    }
    BodyResults iteration(const Body& body, std::span<const Tensor> state, std::span<const Tensor> inputs) override {
      return call(body, state, inputs);
    }

   private:
    BodyResults call(const Body& body, std::span<const Tensor> state, std::span<const Tensor> inputs) {
      return bodies_.executors_.at(&body).call(state, inputs, ledger_);
    }

    PlannedBodies& bodies_;
    Ledger* ledger_;
  };
  Run run(*this, ledger);
  return run_bodies(attrs, inputs, run);
}

}  // namespace twofold
