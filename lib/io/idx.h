// Tensors in files: the IDX format, in which MNIST comes.
#pragma once

#include <source_location>
#include <string>

#include <twofold/lib/op/tensor.h>

namespace twofold::io {

/// Reads a file whole, into a tensor of the host: `load_idx("train-images-idx3-ubyte")` is uint8 of shape (60000, 28,
/// 28). Format (http://yann.lecun.com/exdb/mnist): two zero bytes; the code of a type; the number of axes; the extent
/// of each axis in 4 bytes; the elements, row-major; nothing behind them. Numbers are big-endian. Types: 0x08 uint8,
/// 0x0C int32, 0x0D float32, 0x0E float64.
///
/// Throws NotFound if there is no file; Unimplemented for the types 0x09 int8 and 0x0B int16, and for more than
/// kMaxRank axes; DataLoss for a file that is not as the format wants it, to the last byte, and for one that is still
/// compressed.
[[nodiscard]] Tensor load_idx(const std::string& path, std::source_location where = std::source_location::current());

/// Writes a concrete tensor, on any device, of one of these dtypes. The file takes the place of an older one at once
/// and whole, as that of save_safetensors does.
///
/// Throws InvalidArgument for an undefined tensor, another dtype and an extent of 2^31 or more; FailedPrecondition for
/// a symbol; NotFound, ResourceExhausted, FailedPrecondition or DataLoss where the system refuses, with its reason.
void save_idx(const std::string& path, const Tensor& tensor,
              std::source_location where = std::source_location::current());

}  // namespace twofold::io
