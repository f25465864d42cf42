// Examples to train on: numbered, of one dtype and shape.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <span>
#include <string>

#include <twofold/lib/core/shape.h>
#include <twofold/lib/op/tensor.h>

namespace twofold::io {

/// Options of `map_file`.
struct MapOptions {
  DType dtype = float32;  ///< of the elements in the file, little-endian
  Shape shape = {};    ///< of one example
  int64_t offset = 0;  ///< bytes of the file's header, which are passed over
  int64_t count = -1;  ///< number of examples; -1: as many as the file has, which must come out even
};

/// `size()` examples of shape `shape()`: the slices of a tensor's first axis, or the records of a file. Copies share
/// them.
class Examples {
 public:
  using Where = std::source_location;

  /// The slices of a concrete tensor of the host, whose storage is shared. Throws FailedPrecondition for a symbol;
  /// InvalidArgument for an undefined tensor, a scalar and a tensor of another device.
  Examples(const Tensor& tensor, Where where = Where::current());

  /// How many there are.
  int64_t size() const { return size_; }
  /// Of their elements.
  DType dtype() const { return dtype_; }
  /// Of one example.
  const Shape& shape() const { return shape_; }

  /// Examples `first` to `first + count - 1` as a tensor of shape (count, *shape()): a view of the storage where that
  /// is aligned for the dtype, else a copy. Throws OutOfRange.
  Tensor slice(int64_t first, int64_t count, Where where = Where::current()) const;
  /// The examples of these numbers, in their order, copied to a tensor of shape (numbers.size(), *shape()). Throws
  /// OutOfRange.
  Tensor gather(std::span<const int64_t> numbers, Where where = Where::current()) const;

 private:
  friend Examples map_file(const std::string&, MapOptions, Where);
  Examples(DType dtype, const Shape& shape, int64_t size, const std::byte* data, Ref<RefCounted> owner);
  void check_range(int64_t number, Where where) const;
  Shape batch_shape(int64_t count) const;

  DType dtype_;
  Shape shape_;
  int64_t size_ = 0;
  size_t bytes_ = 0;  // of one example
  const std::byte* data_ = nullptr;
  Ref<RefCounted> owner_;  // of data_: a Value or a mapping
};

/// The records of a file: little-endian elements, row-major, one example after another. The file is mapped, read-only:
/// pages come from the disk when they are touched, and what is sliced from it keeps it mapped. It must not be written
/// to meanwhile: tensors would change. So the images of MNIST are `map_file("train-images-idx3-ubyte", {.dtype =
/// tf::uint8, .shape = {28, 28}, .offset = 16})`.
///
/// Throws NotFound if there is no file; InvalidArgument for options that make no sense, among them the dtype bool,
/// whose bytes could be anything (map uint8 and cast); DataLoss if the file is shorter than the options say, or is not
/// a whole number of examples long. While it is mapped the file must not be cut: the system would end the process.
[[nodiscard]] Examples map_file(const std::string& path, MapOptions options = {},
                                std::source_location where = std::source_location::current());

}  // namespace twofold::io
