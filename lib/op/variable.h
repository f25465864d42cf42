// Variables: state that programs read and assign.
#pragma once

#include <atomic>
#include <iosfwd>
#include <mutex>
#include <string>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/operand.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

/// Options of `Variable`.
struct VariableOptions {
  std::string name = {};            ///< "Variable" if empty; made unique within its scope
  bool trainable = true;            ///< optimisers and tapes find it by themselves
  std::optional<DType> dtype = {};  ///< a literal is made so; other values are cast, to floating or to a wider dtype
  std::optional<Shape> shape = {};  ///< of all values to come, {-1, 2} or unknown_shape; if none, the initial value's
};

/// The variable itself, which handles, graph nodes and sessions refer to. Deferred, each Session holds a value of its
/// own for it; eager, `slot` does.
class VariableState final : public RefCounted {
 public:
  VariableState(std::string full_name, DType type, const Shape& extents, bool is_trainable, std::source_location line)
      : name(std::move(full_name)),
        dtype(type),
        shape(extents),
        trainable(is_trainable),
        where(line),
        device(t_state.device),
        id(next_id()) {}
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
  /// Throws FailedPrecondition for what a Variable refers to that is none yet.
  void check_made(std::source_location where) const;

 private:
  friend class Transaction;
  static uint64_t next_id();
  mutable std::mutex mutex_;
  Tensor slot_;           // guarded by mutex_
  bool initial_ = false;  // slot_ is the first value; guarded by mutex_
  uint64_t version_ = 0;  // of slot_, for transactions to know what they have put; guarded by mutex_
  std::mutex updating_;
};

/// State that outlives runs. `Variable v(1.f)`, `Variable w(tf::random_normal({3, 2}), {.name = "w"})`. Copies are
/// aliases of one variable. Reads as a Tensor wherever one is wanted; is changed by `assign`, never by `=`.
class Variable {
 public:
  /// Throws InvalidArgument if the initial value cannot be of `options.dtype`, for a literal does not fit or a cast
  /// would truncate, or is not of `options.shape`.
  explicit Variable(Operand initial, VariableOptions options = {});
  /// None yet: for members that a constructor's body sets, and for the values of a map. Until a Variable is assigned to
  /// it, to read, assign, run or train it throws FailedPrecondition.
  Variable();
  // Moving one copies it, so that every Variable is one.
  Variable(const Variable&) = default;
  Variable& operator=(const Variable&) = default;

  template <class T>
  requires(!std::is_base_of_v<Variable, std::remove_cvref_t<T>>) Variable& operator=(T&&) {
    static_assert(kNever<T>, "a Variable is state: write v.assign(value), which returns the new value");
    return *this;
  }
  template <class T = void>
  Variable& operator=(std::initializer_list<Literal>) {
    static_assert(!std::is_void_v<T>, "a Variable is state: write v.assign(value), which returns the new value");
    return *this;
  }
  template <class T>
  Variable& operator+=(T&&) {
    static_assert(kNever<T>, "a Variable is state: write v.assign_add(value), which returns the new value");
    return *this;
  }
  template <class T>
  Variable& operator-=(T&&) {
    static_assert(kNever<T>, "a Variable is state: write v.assign_sub(value), which returns the new value");
    return *this;
  }

  template <class T>
  Variable& operator*=(T&&) {
    static_assert(kNever<T>, "a Variable is state: write v.assign(v * value), which returns the new value");
    return *this;
  }
  template <class T>
  Variable& operator/=(T&&) {
    static_assert(kNever<T>, "a Variable is state: write v.assign(v / value), which returns the new value");
    return *this;
  }

  /// @{
  /// The value at this point of the program.
  Tensor read(std::source_location where = std::source_location::current()) const;
  operator Tensor() const { return read(state_->where); }  // a conversion cannot know its own line
  /// @}

  /// @{
  /// v = value, v = v + value, v = v - value; each returns the new value. The value is taken to the variable's dtype if
  /// it is a literal, and must have it otherwise. Deferred, it happens when the returned tensor (or what depends on it)
  /// is run.
  Tensor assign(Operand value) const;
  Tensor assign_add(Operand value) const;
  Tensor assign_sub(Operand value) const;
  /// @}

  /// @{
  /// What was fixed when it was made.
  DType dtype() const { return state_->dtype; }
  const Shape& shape() const { return state_->shape; }
  bool trainable() const { return state_->trainable; }
  /// @}
  /// "w:0"
  std::string name() const { return state_->name + ":0"; }
  /// Sets the variable to its initial value when run; done already, hence undefined, in eager mode.
  Operation initializer() const;
  /// What the initial value was made from, for variables that are to start alike: `Variable b(a.initial_value())`.
  /// Eager it is not kept beside later ones: FailedPrecondition once the variable has been assigned.
  Tensor initial_value(std::source_location where = std::source_location::current()) const;

  // Conveniences a Tensor has, so that a Variable can stand where one stands.
  /// @{
  /// A Tensor's, of the value that `read` gives.
  template <class T>
  T item(std::source_location where = std::source_location::current()) const {
    return read(where).template item<T>(where);
  }
  Tensor operator[](Index i) const { return read(i.where)[i]; }
  /// @}

  // For the library's own floors.
  explicit Variable(Ref<VariableState> state, Ref<RefCounted> keeps_alive = {});
  /// @{
  /// The variable itself, and the graph that made it, for the library's own floors.
  const Ref<VariableState>& state() const { return state_; }
  const Ref<RefCounted>& graph() const { return graph_; }
  /// @}

 private:
  Ref<VariableState> state_;
  Ref<RefCounted> graph_;  // the graph that made it, for its initializer; null in eager mode
};

/// `<tf.Variable 'w:0' shape=(2,) dtype=float32>`; in eager mode with `numpy=` and the value at the end.
std::ostream& operator<<(std::ostream&, const Variable&);

namespace internal {
/// What the members that assign do, by one of the ops of kernels/variable.
Tensor assign(const Variable& v, const Operand& value, const OpDef& op);
}  // namespace internal

// A variable as an attribute: identity is what counts.
/// @{
/// As an attribute of ops, see lib/op/attrs.h: by identity.
inline uint64_t hash_field(const Ref<VariableState>& v) { return v ? v->id : 0; }
inline std::string print_field(const Ref<VariableState>& v) { return v ? v->name : "none"; }
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
