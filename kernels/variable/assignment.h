// What an assignment is carried out as, by whoever does it: in a program that is planned, in a body that is done op by
// op, in eager mode.
#pragma once

#include <source_location>

#include <twofold/lib/op/opdef.h>
#include <twofold/lib/op/tensor.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/op/variable_state.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

/// An assignment op: reads the variable and combines what it holds with `given`, if the op is an update
/// (OpDef::combine), then stores. Whoever carries it out says what `read()`, `combine(op, current, given)` and
/// `store(next)` are to him: nodes of a program, or tensors. Returns what `store` does.
template <class V, class Read, class Combine, class Store>
auto carry_out(const OpDef& assignment, const V& given, Read&& read, Combine&& combine, Store&& store) {
  if (!assignment.combine) return store(given);
  return store(combine(*assignment.combine, read(), given));
}

namespace internal {
/// `by` of two values on `home`, where the variable lies. A part of an assignment, which observers see as one op.
Tensor combined(const OpDef& by, const Tensor& current, const Tensor& given, Device home, std::source_location where);
/// Shows an assignment that is done.
void show_assignment(const OpDef& assignment, const Tensor& given, const Tensor& next, std::source_location where);
}  // namespace internal

/// Throws InvalidArgument, in the words of the op's shape rule, unless a value of shape `given` can be assigned.
void check_assigned(const OpDef& assignment, const Ref<VariableState>& v, const Shape& given,
                    std::source_location where);

/// An assignment done now, on tensors: the new value, a tensor of its own, as that which `store(next)` gets is.
/// `read()` is what the variable holds, on the device `home`. No tape sees it: no gradient flows through state.
template <class Read, class Store>
Tensor assign_now(const OpDef& assignment, const Ref<VariableState>& v, Device home, const Tensor& given,
                  std::source_location where, Read&& read, Store&& store) {
  const WithoutTape hidden;
  check_assigned(assignment, v, given.shape(), where);
  const auto combine = [&](const OpDef& by, const Tensor& current, const Tensor& value) {
    return internal::combined(by, current, value, home, where);
  };
  const Tensor next = carry_out(assignment, given, read, combine, [&](const Tensor& value) {
    const Tensor stored = assignment.combine ? value : renamed(moved_to(value, home));
    store(stored);
    return stored;
  });
  if (t_state.observing) internal::show_assignment(assignment, given, next, where);
  return renamed(next);
}

}  // namespace twofold
