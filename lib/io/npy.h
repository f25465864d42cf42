// Tensors in files: NumPy's formats, of one array (.npy) and of several by name (.npz).
#pragma once

#include <source_location>
#include <string>

#include <twofold/lib/io/tensor_file.h>

namespace twofold::io {

/// Reads a file that numpy.save has written, whole, into a tensor of the host. Format (NumPy's NEP 1, versions 1.0, 2.0
/// and 3.0): 0x93 "NUMPY", two bytes of version, the length of a header, the header `{'descr': '<f4', 'fortran_order':
/// False, 'shape': (2, 3), }`, the elements, nothing behind them. Elements may be little-endian or big-endian, in C's
/// order or Fortran's; the tensor's are row-major. dtypes: float32 f4, float64 f8, int32 i4, int64 i8, uint8 u1, bool
/// b1.
///
/// Throws NotFound if there is no file; Unimplemented, which names it, for another dtype of NumPy's, and for more than
/// kMaxRank axes; DataLoss for a file that is not as the format wants it, to the last byte, and for a bool that is
/// neither 0 nor 1.
[[nodiscard]] Tensor load_npy(const std::string& path, std::source_location where = std::source_location::current());

/// Writes a concrete tensor, on any device: the bytes that numpy.save writes for the same array, of version 1.0. The
/// file takes the place of an older one at once and whole, as that of save_safetensors does.
///
/// Throws InvalidArgument for an undefined tensor; FailedPrecondition for a symbol; NotFound, ResourceExhausted,
/// FailedPrecondition or DataLoss where the system refuses, with its reason.
void save_npy(const std::string& path, const Tensor& tensor,
              std::source_location where = std::source_location::current());

/// Reads a file that numpy.savez or numpy.savez_compressed has written, whole: a ZIP archive, of 64 bits too, of a
/// .npy file for each tensor, stored or deflated. `load_npz("data.npz")["x"]` is what numpy.load gives for "x".
///
/// Throws NotFound if there is no file; Unimplemented for other compression, for encryption and where load_npy does;
/// DataLoss, which names the entry, for an archive or an entry that is damaged, for a name that comes twice, and for an
/// entry that is no .npy file. An entry is not read before its header's dtype and shape take exactly the bytes that the
/// archive says it has, and these are no more than its compressed bytes can hold: 1032 times as many.
[[nodiscard]] TensorFile load_npz(const std::string& path,
                                  std::source_location where = std::source_location::current());

/// Options of `save_npz`.
struct NpzOptions {
  bool compress = false;  ///< deflate, as numpy.savez_compressed does
};

/// Writes concrete tensors, on any device, for numpy.load: `io::save_npz("data.npz", {{"x", x}, {"y", y}})`. The same
/// tensors give the same bytes; entries carry no time. The file takes the place of an older one at once and whole.
///
/// Throws InvalidArgument for a name given twice, for one that is not UTF-8, has a zero byte or more than 65531 bytes,
/// and for an undefined tensor; FailedPrecondition for a symbol; else as save_npy does.
void save_npz(const std::string& path, const NamedTensors& tensors, NpzOptions options = {},
              std::source_location where = std::source_location::current());

/// The same from a map, as a session's run of a map returns it, or another range of names with tensors or eager
/// variables.
template <internal::TensorRange R>
void save_npz(const std::string& path, const R& tensors, NpzOptions options = {},
              std::source_location where = std::source_location::current()) {
  save_npz(path, internal::list_of(tensors), options, where);
}

}  // namespace twofold::io
