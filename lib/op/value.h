// The object behind a concrete Tensor.
#pragma once

#include <cstddef>
#include <cstdint>

#include <twofold/lib/core/ref.h>
#include <twofold/lib/op/tensor.h>
#include <twofold/lib/op/tensor_parts.h>
#include <twofold/lib/runtime/device.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

class LateErrors;

/// Contiguous elements with dtype and shape. Small ones lie inside the object; larger ones in memory of the device,
/// which several values may share (reshape, outer slices). Immutable once a second owner can see it.
class Value final : public RefCounted {
 public:
  /// Elements not set. The shape must be fully known. Throws ResourceExhausted.
  static Ref<Value> make(DType dtype, const Shape& shape, Device device = {});
  /// A view of `base`'s elements from `offset` bytes on, sharing storage.
  static Ref<Value> view(Ref<Value> base, const Shape& shape, int64_t offset);
  /// A view of memory that somebody else keeps alive while the value is in use; `retained` copies before it is kept.
  static Ref<Value> borrow(DType dtype, const Shape& shape, void* data, Device device = {});
  /// A view of host memory that `owner` keeps alive, aligned for the dtype; nobody may write there.
  static Ref<Value> alias(DType dtype, const Shape& shape, const void* data, Ref<RefCounted> owner);
  /// No elements, but an object that one op hands to another. `device`: where what it is about lies. A view or a copy of
  /// a handle is a handle of the same object.
  static Ref<Value> handle(Ref<RefCounted> object, DType dtype = uint8, Device device = {});
  /// The object of a handle, else null.
  RefCounted* object() const;
  /// Dtype and shape without elements, which a tape keeps of what no gradient rule reads.
  static Ref<Value> shell(DType dtype, const Shape& shape, Device device, uint64_t id);

  DType dtype() const { return spec_.dtype; }
  const Shape& shape() const { return spec_.shape; }
  const TensorSpec& spec() const { return spec_; }
  Device device() const { return device_; }
  int64_t num_elements() const { return num_elements_; }
  size_t bytes() const { return static_cast<size_t>(num_elements_) * size_of(spec_.dtype); }
  void* data() const { return data_; }
  bool is_shell() const { return kind_ == Kind::shell; }
  /// True if the memory is a caller's, good for the duration of its call only.
  bool is_borrowed() const {
    return kind_ == Kind::borrowed || (kind_ == Kind::view && base()->kind_ == Kind::borrowed);
  }
  /// True if nobody else can see the elements, so that a new value may be written over them.
  bool is_writable() const {
    const auto owns = [](const Value& v) { return v.kind_ == Kind::owner || v.kind_ == Kind::small; };
    return unique() && (owns(*this) || (kind_ == Kind::view && base()->unique() && owns(*base())));
  }
  /// The memory, for a new value to be written over the old, with an id of its own. What was copied to the host before
  /// is forgotten.
  /// Precondition: is_writable().
  void* overwrite();
  /// The same elements on the host: the value itself, or a copy that is made when first asked for and kept. Throws what
  /// has spoiled them, each time.
  const Value& on_host() const;
  /// What may have spoiled the elements, of a value on a GPU; null: nothing.
  const LateErrors* late_errors() const { return late_; }
  /// Of a value that nobody else has yet.
  void set_late_errors(Ref<LateErrors> errors);
  /// Unique in the process; given on first use.
  uint64_t id() const;

  static void* operator new(size_t bytes);
  static void operator delete(void* p) noexcept;

 private:
  enum class Kind : uint8_t { small, owner, view, borrowed, shell, handle };
  Value(Kind kind, DType dtype, const Shape& shape, Device device);
  static Ref<Value> make_owner(DType dtype, const Shape& shape, Device device, size_t bytes);
  const Value* base() const { return static_cast<const Value*>(keeper_.get()); }
  ~Value() override;

  static constexpr size_t kSmallBytes = 64;
  TensorSpec spec_;
  Kind kind_;
  Device device_;
  int64_t num_elements_;
  void* data_ = nullptr;
  Ref<RefCounted> keeper_;  ///< of a view's or shell's elements: their Value; of a GPU's memory: its pool
  mutable std::atomic<Value*> host_{nullptr};  ///< a GPU's elements on the host, once they were asked for
  mutable std::atomic<uint64_t> id_{0};
  LateErrors* late_ = nullptr;  ///< an owned reference
  alignas(16) std::byte small_[kSmallBytes];
};

/// What the elements of a known shape take. Throws ResourceExhausted where that is more than can be counted, or more
/// than any memory holds: a size that somebody computed wrongly.
size_t checked_bytes(DType dtype, const Shape& shape);
/// The same elements as a value that `errors`, too, may have spoiled; `t` itself where it is not on a GPU.
Tensor with_late_errors(const Tensor& t, const LateErrors* errors);
/// Waits for what may have spoiled a concrete tensor's elements, and throws it if it has.
void check_late_errors(const Tensor& t);
/// `t` itself, or a copy of its elements if they are borrowed.
Tensor retained(const Tensor& t);
/// The same elements, kept for good, as a tensor that gradients tell apart from `t`.
Tensor renamed(const Tensor& t);
/// A copy of a concrete tensor's elements on `device`. To the host it waits, and throws what has
/// spoiled them.
Tensor copy_to(const Tensor& t, Device device);
/// A concrete tensor's elements into `to`'s memory, of the same dtype and size, which is the caller's alone.
void copy_into(const Tensor& from, const Tensor& to);
/// As copy_to, for an operand of an op. Numbers are kept on GPUs: programs use few of them, over and over.
Tensor copied_operand(const Tensor& t, Device device);
/// `t` itself if it is there already.
Tensor moved_to(const Tensor& t, Device device);

}  // namespace twofold
