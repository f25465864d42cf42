// NumPy's formats apart from files. Not installed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <twofold/lib/core/dtype.h>
#include <twofold/lib/core/shape.h>
#include <twofold/lib/io/file.h>
#include <twofold/lib/io/npy.h>

namespace twofold::io {

inline constexpr std::string_view kNpyMagic = "\x93NUMPY";

/// What a .npy file's header says.
struct NpyHeader {
  DType dtype = float32;
  bool big_endian = false;
  bool fortran_order = false;
  Shape shape;
};

/// The header in a file's text, a literal of Python's. Neither recursion nor memory depends on it.
NpyHeader parse_npy_header(std::string_view text, const Source& source);
/// The bytes before the elements. Checks all that save_npy promises.
std::string npy_header_of(const Tensor& tensor, const Source& source);

/// A .npy file of `total_bytes` bytes. Takes memory for no more elements than these are.
Tensor read_npy(const Reader& read, uint64_t total_bytes, const Source& source);
/// @{
/// A file's bytes that are in memory already.
Tensor parse_npy(std::span<const std::byte> bytes, const Source& source);
TensorFile parse_npz(std::span<const std::byte> bytes, const Source& source);
/// @}

}  // namespace twofold::io
