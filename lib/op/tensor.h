// Tensor: one handle for a symbol and for a value.
#pragma once

#include <concepts>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <vector>

#include <twofold/lib/core/dtype.h>
#include <twofold/lib/core/never.h>
#include <twofold/lib/core/ref.h>
#include <twofold/lib/core/shape.h>

namespace twofold {

class Value;
class Operation;
class GraphData;
class SymbolOwner;
namespace internal {
struct TensorParts;
}

/// A symbol (an output of a graph's node, computed by a Session) or a value (immutable, contiguous, there already).
/// Copying copies the handle. An undefined Tensor stands for "none" and prints so.
///
/// Asking a symbol for elements throws FailedPrecondition and says what to write instead.
class Tensor {
 public:
  using Where = std::source_location;

  Tensor() = default;
  Tensor(const Tensor& o) noexcept : object_(o.object_), node_(o.node_), output_(o.output_), kind_(o.kind_) {
    if (object_) object_->retain();
  }
  Tensor(Tensor&& o) noexcept : object_(o.object_), node_(o.node_), output_(o.output_), kind_(o.kind_) {
    o.object_ = nullptr, o.kind_ = Kind::none;
  }
  Tensor& operator=(Tensor o) & noexcept {
    std::swap(object_, o.object_), std::swap(node_, o.node_), std::swap(output_, o.output_), std::swap(kind_, o.kind_);
    return *this;
  }
  // `x[i] = y` would change a handle that is gone at once.
  template <class T>
  Tensor& operator=(const T&) && {
    static_assert(
        kNever<T>,
        "a Tensor's elements do not change: write x = tf::where(mask, y, x), or tf::concat or tf::stack of parts");
    return *this;
  }
  ~Tensor() {
    if (object_) object_->release();
  }

  /// @{
  /// Whether it is anything at all, a symbol of a graph, or a value.
  bool defined() const noexcept { return kind_ != Kind::none; }
  bool is_symbolic() const noexcept { return kind_ == Kind::symbol; }
  bool is_concrete() const noexcept { return kind_ == Kind::value; }
  /// @}

  /// Throws InvalidArgument if it is undefined.
  DType dtype(Where where = Where::current()) const;
  /// A symbol's shape may be partly unknown.
  const Shape& shape(Where where = Where::current()) const;
  /// Extent of axis `i`, which may count from the end. FailedPrecondition: a graph does not know it yet; then
  /// `tf::shape(t)[i]` is the extent that the run has, as a tensor, in either mode.
  int64_t dim(int64_t i, Where where = Where::current()) const;
  /// Number of axes; -1 if unknown. Throws as `shape` does.
  int rank(Where where = Where::current()) const { return shape(where).rank(); }
  /// "add:0" for a symbol, "" for a value.
  std::string name() const;
  /// Unique among the tensors of the process while it lives; equal for copies of one handle.
  uint64_t id(Where where = Where::current()) const;
  /// "/cpu:0", "/gpu:0"; for a symbol the device it is placed on, "" if that is left open.
  std::string device(Where where = Where::current()) const;
  /// The node that produces a symbol; an undefined Operation for a value.
  Operation op() const;

  /// The one element, as T. Throws unless there is exactly one and T holds it without loss.
  template <class T>
  T item(Where where = Where::current()) const {
    if constexpr (ElementType<T>) {
      return element<T>(where);
    } else {
      static_assert(kNever<T>, "item<T>() gives one element as float, double, int32_t, int64_t, uint8_t or bool");
      return T();
    }
  }
  /// The elements in row-major order; T must be the dtype's own type. Valid while this tensor lives.
  template <class T>
  auto data(Where where = Where::current()) const {
    if constexpr (ElementType<T>) {
      return elements<T>(where);
    } else {
      static_assert(kNever<T>, "data<T>() gives the elements as float, double, int32_t, int64_t, uint8_t or bool");
      return std::span<const T>();
    }
  }
  /// Number of elements. FailedPrecondition: a graph does not know it yet; then `tf::size(t)` is the run's.
  int64_t num_elements(Where where = Where::current()) const;
  /// Slice `i` of the first axis, sharing storage; may count from the end. On a symbol it is an op.
  Tensor operator[](Index i) const;
  /// A copy on another device ("/cpu:0", "/gpu:0"); the same elements if it is there already. Differentiable; of a
  /// symbol it is one.
  Tensor to(std::string_view device, Where where = Where::current()) const;

  /// The truth of a value with one element. A symbol has none yet: throws.
  explicit operator bool() const;
  /// True if both are the same symbol or share one value object: identity, not equality of elements.
  bool same_as(const Tensor& o) const noexcept {
    return kind_ == o.kind_ && object_ == o.object_ && node_ == o.node_ && output_ == o.output_;
  }

  /// Iterates over the slices of a value's first axis.
  class Iterator {
   public:
    using value_type = Tensor;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    Iterator(const Tensor* t, int64_t i) : tensor_(t), i_(i) {}
    /// @{
    /// The slice it stands at, and the next one.
    Tensor operator*() const { return (*tensor_)[i_]; }
    Iterator& operator++() { return ++i_, *this; }
    Iterator operator++(int) { return {tensor_, i_++}; }
    /// @}
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.i_ == b.i_; }

   private:
    const Tensor* tensor_ = nullptr;
    int64_t i_ = 0;
  };
  /// @{
  /// The slices along the first axis. Throws as `[]` does.
  Iterator begin() const { return {this, 0}; }
  Iterator end(Where where = Where::current()) const;
  /// @}

  // For the library's own sources, which have TensorParts (lib/op/tensor_parts.h). Programs cannot call these.
  /// Takes over the reference that a new value is born with.
  template <class Parts = internal::TensorParts>
  static Tensor adopt(Value* v) noexcept {
    return Parts::adopt(v);
  }
  /// Output `output` of a graph's node.
  template <class Parts = internal::TensorParts>
  static Tensor symbol(GraphData* graph, uint32_t node, uint16_t output) noexcept {
    return Parts::symbol(graph, node, output);
  }
  /// Precondition: is_concrete().
  template <class Parts = internal::TensorParts>
  Value* value() const noexcept {
    return Parts::value(*this);
  }
  /// @{
  /// Precondition of these: is_symbolic().
  template <class Parts = internal::TensorParts>
  GraphData* graph() const noexcept {
    return Parts::owner(*this)->graph();
  }
  template <class Parts = internal::TensorParts>
  const SymbolOwner* owner() const noexcept {
    return Parts::owner(*this);
  }
  template <class Parts = internal::TensorParts>
  uint32_t node() const noexcept {
    return Parts::node(*this);
  }
  template <class Parts = internal::TensorParts>
  uint16_t output() const noexcept {
    return Parts::output(*this);
  }
  /// @}

 private:
  friend struct internal::TensorParts;
  enum class Kind : uint8_t { none, value, symbol };
  // Compilers differ in how they name a constrained template's instances, so that these, which the library exports, are
  // not.
  template <class T>
  T element(Where where) const;
  template <class T>
  std::span<const T> elements(Where where) const;

  RefCounted* object_ = nullptr;
  uint32_t node_ = 0;
  uint16_t output_ = 0;
  Kind kind_ = Kind::none;
};
static_assert(sizeof(Tensor) == 16);

class Variable;
namespace internal {
template <class T>
concept TensorHandle = std::derived_from<T, Tensor> || std::derived_from<T, Variable>;
}  // namespace internal

// What `a == b` compares would be a guess.
template <class A, class B>
requires internal::TensorHandle<A> || internal::TensorHandle<B>
bool operator==(const A&, const B&) {
  static_assert(kNever<A>, "write tf::equal(a, b) for elements, a.same_as(b) for handles");
  return false;
}
template <class A, class B>
requires internal::TensorHandle<A> || internal::TensorHandle<B>
bool operator!=(const A&, const B&) {
  static_assert(kNever<A>, "write tf::not_equal(a, b) for elements, !a.same_as(b) for handles");
  return false;
}

/// A node of a graph seen as something to run: what `group`, `no_op` and optimisers return. In eager mode the work is
/// done already and the Operation is undefined; running it is then no error.
class Operation {
 public:
  using Where = std::source_location;

  Operation() = default;
  Operation(Ref<GraphData> graph, uint32_t node);
  Operation(const Operation&);
  Operation(Operation&&) noexcept;
  Operation& operator=(Operation) noexcept;
  ~Operation();

  /// Whether it is anything: an operation that was done at once, eager, is not.
  bool defined() const noexcept { return graph_ != nullptr; }
  /// "train/group_deps"
  std::string name(Where where = Where::current()) const;
  /// The op type, "NoOp"
  std::string type(Where where = Where::current()) const;
  /// How many outputs its node has, hidden ones among them.
  int num_outputs(Where where = Where::current()) const;
  /// Output `i`. Throws OutOfRange.
  Tensor output(int i, Where where = Where::current()) const;
  /// The user's line that made it.
  std::source_location where() const;

  // For the library's own sources, as Tensor's.
  /// @{
  /// The graph and the node, for the library's own floors.
  template <class Parts = internal::TensorParts>
  GraphData* graph() const noexcept {
    return Parts::graph(*this);
  }
  template <class Parts = internal::TensorParts>
  uint32_t node() const noexcept {
    return Parts::node(*this);
  }
  /// @}

 private:
  friend struct internal::TensorParts;
  GraphData* graph_ = nullptr;
  uint32_t node_ = 0;
};

/// @{
/// The value as NumPy prints it; a symbol as TensorFlow 1 does; `None` if undefined.
std::ostream& operator<<(std::ostream&, const Tensor&);
std::ostream& operator<<(std::ostream&, const Operation&);
/// @}
/// What `<<` prints.
std::string to_string(const Tensor&);
/// The value with its dtype, shape and device: `Tensor([1. 2.], shape=(2,), dtype=float32, device=/cpu:0)`.
std::string repr(const Tensor&);

#define TWOFOLD_ITEM(T)                              \
  extern template T Tensor::element<T>(Where) const; \
  extern template std::span<const T> Tensor::elements<T>(Where) const;
TWOFOLD_ITEM(float)
TWOFOLD_ITEM(double)
TWOFOLD_ITEM(int32_t)
TWOFOLD_ITEM(int64_t)
TWOFOLD_ITEM(uint8_t)
TWOFOLD_ITEM(bool)
#undef TWOFOLD_ITEM

}  // namespace twofold
