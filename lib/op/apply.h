// Where every op function ends: the branch between the modes.
#pragma once

#include <initializer_list>
#include <source_location>
#include <span>

#include <twofold/lib/core/small_vector.h>
#include <twofold/lib/op/opdef.h>
#include <twofold/lib/op/tensor.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

using Inputs = std::span<const Tensor* const>;
using Outputs = SmallVector<Tensor, 2>;

/// Does `op`: adds a node if any input is a symbol (or if there is no input and a graph is being built), computes at
/// once otherwise. Inputs must have the dtypes the op asks for. Returns visible outputs, then hidden ones. `where` is
/// the user's line, kept in the node and in errors; a SourceScope further out overrides it.
Outputs apply_all(const OpDef& op, Inputs inputs, AttrsView attrs, std::source_location where);

/// @{
/// The same, for output 0.
Tensor apply(const OpDef& op, Inputs inputs, AttrsView attrs, std::source_location where);
inline Tensor apply(const OpDef& op, std::initializer_list<const Tensor*> inputs, AttrsView attrs,
                    std::source_location where) {
  return apply(op, Inputs(inputs.begin(), inputs.size()), attrs, where);
}
inline Tensor apply(const OpDef& op, std::initializer_list<const Tensor*> inputs, std::source_location where) {
  return apply(op, Inputs(inputs.begin(), inputs.size()), {}, where);
}
/// @}

/// Throws as `op` would, called at `where` with `t` as its input `i`: InvalidArgument for None, and in eager mode
/// FailedPrecondition for a symbol.
void check_input(const char* op, size_t i, const Tensor& t, std::source_location where);

/// Names the op under way on this thread, for the errors of what it calls.
class [[nodiscard]] CurrentOp {
 public:
  CurrentOp(const char* op, std::source_location where) : outer_op_(t_state.current_op), outer_(t_state.current) {
    t_state.current_op = op;
    t_state.current = where;
  }
  ~CurrentOp() {
    t_state.current_op = outer_op_;
    t_state.current = outer_;
  }
  CurrentOp(const CurrentOp&) = delete;
  CurrentOp& operator=(const CurrentOp&) = delete;

 private:
  const char* outer_op_;
  std::source_location outer_;
};

/// For its lifetime, ops made on this thread are attributed to `where`, the line of the user who called a toolkit
/// function. The outermost one wins.
class [[nodiscard]] SourceScope {
 public:
  explicit SourceScope(std::source_location where);
  ~SourceScope();
  SourceScope(const SourceScope&) = delete;
  SourceScope& operator=(const SourceScope&) = delete;

 private:
  bool outermost_;
};

}  // namespace twofold
