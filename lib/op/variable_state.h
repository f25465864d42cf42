// What a Variable refers to, for the library's own sources: no header that programs include has this.
#pragma once

#include <cstdint>
#include <mutex>
#include <shared_mutex>
#include <source_location>
#include <string>
#include <utility>

#include <twofold/lib/core/ref.h>
#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/variable.h>
#include <twofold/lib/runtime/device.h>

namespace twofold {

struct OpDef;
class Transaction;

/// The variable itself, which handles, graph nodes and sessions refer to. Deferred, each Session holds a value of its
/// own for it; eager, `slot` does.
class internal::VariableState final : public RefCounted {
 public:
  VariableState(std::string full_name, DType type, const Shape& extents, bool is_trainable, std::source_location line);
  std::string name;  ///< "layer/w", without ":0"; fixed once the variable is made; empty before
  const DType dtype;
  const Shape shape;  ///< may be partly unknown; assigned values must agree
  const bool trainable;
  const std::source_location where;
  const int8_t device;  ///< of the guard it was made under; -1: the session's, or where its initial value was
  const uint64_t id;    ///< order of creation

  /// @{
  /// The eager value, by which a variable is also known to be eager.
  Tensor eager_value() const;
  void set_eager_value(Tensor v);
  bool is_eager() const;  // does nothing of what waits to be written, as eager_value does
  /// @}
  /// The eager value if it is the first, else undefined.
  Tensor eager_initial_value() const;
  /// Held while a new eager value is made from the old one, so that no update is lost between them.
  std::mutex& updating() { return updating_; }
  /// Held by whatever runs of graphs read or write the eager value: exclusively where they write it.
  std::shared_mutex& used_by_runs() { return used_by_runs_; }
  /// Throws FailedPrecondition for what a Variable refers to that is none yet.
  void check_made(std::source_location where) const;

 private:
  friend class twofold::Transaction;
  static uint64_t next_id();
  mutable std::mutex mutex_;
  Tensor slot_;           // guarded by mutex_
  bool initial_ = false;  // slot_ is the first value; guarded by mutex_
  uint64_t version_ = 0;  // of slot_, for transactions to know what they have put; guarded by mutex_
  std::mutex updating_;
  std::shared_mutex used_by_runs_;
};

struct internal::VariableParts {
  static Variable variable(Ref<VariableState> state, Ref<RefCounted> graph) {
    return {std::move(state), std::move(graph)};
  }
  static const Ref<VariableState>& state(const Variable& v) { return v.state_; }
  static const Ref<RefCounted>& graph(const Variable& v) { return v.graph_; }
};
using internal::VariableState;

namespace internal {
/// What the members that assign do, by one of the ops of kernels/variable.
Tensor assign(const Variable& v, const Operand& value, const OpDef& op);
}  // namespace internal

/// @{
/// As an attribute of ops, see lib/op/attrs.h: by identity.
inline uint64_t hash_field(const Ref<VariableState>& v) { return v ? v->id : 0; }
inline std::string print_field(const Ref<VariableState>& v) { return v ? v->name : "none"; }
inline FieldValue to_field(const Ref<VariableState>& v) { return {v}; }
inline void from_field(const FieldValue& f, Ref<VariableState>& v) { v = f.as<Ref<VariableState>>(); }
inline void perturb_field(Ref<VariableState>& v) {
  v = v ? Ref<VariableState>() : make_ref<VariableState>("", float32, Shape{}, false, std::source_location());
}
/// @}

/// Attributes of ops that read or change a variable.
struct VariableAttrs {
  Ref<VariableState> variable;
  TWOFOLD_FIELDS(variable)
};

/// Where a variable's value lies: for state that goes with it. Deferred and left open, or none: where the guard says.
Device home_of(const Variable& v);

}  // namespace twofold
