#include <twofold/lib/op/body_execution.h>

#include <atomic>
#include <functional>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

uint64_t scope_path_in(uint64_t outer, std::string_view name) {
  return name.empty() ? 0 : mix(outer, std::hash<std::string_view>()(name));
}

ScopePath::ScopePath(std::string_view name) : outer_(t_state.scope_path) {
  t_state.scope_path = scope_path_in(outer_, name);
}
ScopePath::~ScopePath() { t_state.scope_path = outer_; }

static uint64_t next_number() {
  static std::atomic<uint64_t> g_next{1};
  return g_next.fetch_add(1, std::memory_order_relaxed);
}

uint64_t current_body() { return t_state.body ? t_state.body->body() : 0; }
uint64_t current_execution() { return t_state.body ? t_state.body->number() : 0; }
uint64_t outermost_execution() { return t_state.body ? t_state.body->outermost() : 0; }

BodyExecution::BodyExecution(const BodyKey& body)
    : ordinals_{body.seed, body.generation, true, {}},
      counters_(body.counters),
      outer_(t_state.body),
      outer_path_(t_state.scope_path),
      body_(body.path),
      number_(next_number()),
      outermost_(outer_ ? outer_->outermost_ : number_) {
  t_state.body = this;
  t_state.scope_path = body.path;
  if (t_state.observing && executing_eagerly()) t_state.observing->begin_execution(body.path);
}

BodyExecution::~BodyExecution() {
  t_state.body = outer_;
  t_state.scope_path = outer_path_;
}

}  // namespace twofold
