#include <twofold/lib/runtime/thread_state.h>

#include <twofold/lib/core/error.h>

namespace twofold {

thread_local constinit ThreadState t_state;

// Of lib/core by their header: an Error names the op that is under way on its thread, which is known here.
void fail(Code code, std::string message, std::string hint) {
  fail_at(t_state.current, t_state.current_op, code, std::move(message), std::move(hint));
}
void fail_at(std::source_location where, std::string_view op, Code code, std::string message, std::string hint) {
  if (t_state.source_scopes) where = t_state.source;
  throw Error(code, {.message = std::move(message), .op = std::string(op), .where = where, .hint = std::move(hint)});
}

}  // namespace twofold
