// What an assignment is carried out as.
#pragma once

#include <utility>

#include <twofold/lib/op/opdef.h>

namespace twofold {

/// The value that an assignment op stores for the value that it is given: this one, or, of an update, what the variable
/// holds at that point of the program combined with it by the op OpDef::combine. Whoever carries out assignments says
/// what `read()` and `combine(op, current, given)` are to him: nodes of a program, or tensors.
template <class V, class Read, class Combine>
V value_to_store(const OpDef& assignment, V given, Read&& read, Combine&& combine) {
  if (!assignment.combine) return given;
  V current = read();
  return combine(*assignment.combine, std::move(current), std::move(given));
}

}  // namespace twofold
