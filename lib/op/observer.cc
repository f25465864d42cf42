#include <twofold/lib/op/observer.h>

#include <vector>

#include <twofold/lib/op/body_execution.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/op/opdef.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

Observing::Observing(Observer& observer) : thread_(std::make_unique<ObservedThread>(observer)) {}
Observing::~Observing() = default;

ObservedThread::ObservedThread(Observer& observer) : observer_(observer), outer_(t_state.observing) {
  t_state.observing = this;
}
ObservedThread::~ObservedThread() { t_state.observing = outer_; }

ObservedThread::Hidden::Hidden() : outer_(t_state.observing) { t_state.observing = nullptr; }
ObservedThread::Hidden::~Hidden() { t_state.observing = outer_; }

ObservedThread::At::At(const OpIdentity& identity, std::string node) : identity_(identity), node_(std::move(node)) {
  if (!t_state.observing) return;
  outer_ = t_state.observing->at_;
  t_state.observing->at_ = this;
}
ObservedThread::At::~At() {
  if (t_state.observing) t_state.observing->at_ = outer_;
}

void ObservedThread::begin_execution(uint64_t body) {
  Executions& executions = bodies_[body];
  ++executions.begun;
  executions.next.clear();
}

uint64_t ObservedThread::execution_of(uint64_t body) const {
  const auto known = bodies_.find(body);
  return known == bodies_.end() || known->second.begun == 0 ? 0 : known->second.begun - 1;
}

void ObservedThread::eager_op(const OpDef& op, std::span<const Tensor* const> inputs, std::span<const Tensor> outputs,
                              std::source_location where) {
  Observation seen{.identity = {.op = op.name},
                   .where = at_ && where.line()     ? where
                            : t_state.source_scopes ? t_state.source
                            : where.line()          ? where
                                                    : t_state.current};
  if (at_) {
    seen.identity = at_->identity_;
    seen.node = at_->node_;
  } else {
    seen.identity.body = current_body();
    seen.identity.execution = execution_of(seen.identity.body);
    seen.identity.scope = t_state.scope_path;
    seen.identity.ordinal = bodies_[seen.identity.body].next[{t_state.scope_path, &op}]++;
  }
  std::vector<Tensor> given;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (op.reads_on_host(i)) continue;
    given.push_back(op.reads_shape(i) || inputs[i]->value()->is_shell() ? Tensor() : *inputs[i]);
  }
  for (const Tensor& t : outputs)
    if (t.defined()) seen.device = t.value()->device();
  seen.inputs = given;
  seen.outputs = outputs;
  node(seen);
}

void ObservedThread::node(const Observation& op) {
  const Hidden hidden;
  observer_.observe(op);
}

}  // namespace twofold
