// Variables: state that programs read and assign.
#pragma once

#include <initializer_list>
#include <iosfwd>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include <twofold/lib/core/ref.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

namespace internal {
class VariableState;
struct VariableParts;
}  // namespace internal

/// Options of `Variable`.
struct VariableOptions {
  std::string name = {};            ///< "Variable" if empty; made unique within its scope
  bool trainable = true;            ///< optimisers and tapes find it by themselves
  std::optional<DType> dtype = {};  ///< a literal is made so; other values are cast, to floating or to a wider dtype
  std::optional<Shape> shape = {};  ///< of all values to come, {-1, 2} or unknown_shape; if none, the initial value's
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
  operator Tensor() const;  // by the line that made it: a conversion cannot know its own
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
  DType dtype() const;
  const Shape& shape() const;
  bool trainable() const;
  /// @}
  /// "w:0"
  std::string name() const;
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

  // For the library's own sources, which have VariableParts (lib/op/variable_state.h). Programs cannot call these.
  /// `graph`: the one that made it, for its initializer; null in eager mode.
  template <class Parts = internal::VariableParts>
  static Variable of(Ref<internal::VariableState> state, Ref<RefCounted> graph = {}) {
    return Parts::variable(std::move(state), std::move(graph));
  }
  /// @{
  /// The variable itself, and the graph that made it.
  template <class Parts = internal::VariableParts>
  const Ref<internal::VariableState>& state() const {
    return Parts::state(*this);
  }
  template <class Parts = internal::VariableParts>
  const Ref<RefCounted>& graph() const {
    return Parts::graph(*this);
  }
  /// @}

 private:
  friend struct internal::VariableParts;
  Variable(Ref<internal::VariableState> state, Ref<RefCounted> graph);
  Ref<internal::VariableState> state_;
  Ref<RefCounted> graph_;
};

/// `<tf.Variable 'w:0' shape=(2,) dtype=float32>`; in eager mode with `numpy=` and the value at the end.
std::ostream& operator<<(std::ostream&, const Variable&);

}  // namespace twofold
