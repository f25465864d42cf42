// Guards: what a trace of code with a C++ `if` on values holds for.
#pragma once

#include <cstdint>
#include <source_location>
#include <string>
#include <vector>

#include <twofold/graph/body.h>
#include <twofold/graph/graph_ops.h>

namespace twofold {

/// Of a Guard node, whose input is what code on the host read while it was traced.
struct GuardAttrs {
  ConstantValue expected;  ///< what it was then
  std::string what;        ///< "bool", "integer", "extent", "number of elements"
  int64_t number = 0;      ///< among the guards of its trace, in the order of the reads
  int64_t trace = 0;       ///< tells traces apart
  TWOFOLD_FIELDS(expected, what, number, trace)
};
extern OpDef guard_op;

/// One of a trace's guards.
struct Guard {
  uint32_t node = 0;  ///< of the body's graph
  Edge read;          ///< what was read
  GuardAttrs attrs;
  std::source_location where;  ///< the line that read it

  /// Whether both were read by one line, as the same value.
  bool same_as(const Guard& o) const;
};
/// Those of a trace, in the order of the reads.
std::vector<Guard> guards_of(const Body& body);

/// Whether a guard holds for what is read now.
bool holds(const GuardAttrs& guard, const Tensor& now);
/// What it expects, as a line of text has it.
std::string value_text(const GuardAttrs& guard);
/// "the bool read at train.cc:12 was true"
std::string describe(const GuardAttrs& guard, std::source_location where);
/// Throws FailedPrecondition, for a graph that has no trace for `now`.
[[noreturn]] void fail_guard(const GuardAttrs& guard, const Tensor& now, std::source_location where);

}  // namespace twofold
