// Tensors in files: the safetensors format.
#pragma once

#include <map>
#include <source_location>
#include <string>
#include <utility>

#include <twofold/lib/io/tensor_file.h>

namespace twofold::io {

/// A file's notes about itself.
using Metadata = std::map<std::string, std::string>;

/// What a file holds: tensors in the order of its header, and notes.
class Safetensors : public TensorFile {
 public:
  Safetensors() = default;
  /// `source` is what errors call it, a path. Precondition: names differ.
  Safetensors(std::string source, NamedTensors tensors, Metadata metadata)
      : TensorFile(std::move(source), std::move(tensors)), metadata_(std::move(metadata)) {}

  /// The file's notes about itself.
  const Metadata& metadata() const { return metadata_; }

 private:
  Metadata metadata_;
};

/// Writes concrete tensors, on any device, and notes:
///
///     io::save_safetensors("net.safetensors", {{"w", w}, {"b", b}}, {{"epoch", "3"}});
///
/// The file takes the place of an older one at once and whole, and is on the disk when the call returns; after an error
/// the older one is as it was, unless only the folder could not be written to the disk. (A symbolic link is replaced,
/// not followed.) The format is that of safetensors: 8 bytes, little-endian, the length of a JSON header, which is
/// padded with spaces to a multiple of 8; the header, `{"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0,
/// 24]},
/// "__metadata__": {...}}`; the elements, row-major, without gaps in the order given. dtypes: float32 F32, float64 F64,
/// int32 I32, int64 I64, uint8 U8, bool BOOL.
///
/// Throws InvalidArgument for a name given twice or reserved ("__metadata__"), for text that is not UTF-8, for an
/// undefined tensor and for another dtype; FailedPrecondition for a symbol; NotFound, ResourceExhausted,
/// FailedPrecondition or DataLoss where the system refuses, with its reason.
void save_safetensors(const std::string& path, const NamedTensors& tensors, const Metadata& metadata = {},
                      std::source_location where = std::source_location::current());

/// The same from a map, as a session's run of a map returns it, or another range of names with tensors or eager
/// variables.
template <internal::TensorRange R>
void save_safetensors(const std::string& path, const R& tensors, const Metadata& metadata = {},
                      std::source_location where = std::source_location::current()) {
  save_safetensors(path, internal::list_of(tensors), metadata, where);
}

/// Reads a file whole, into tensors of the host. F16 and BF16 become float32, which is exact.
///
/// Throws NotFound if there is no file; Unimplemented for a tensor of another dtype or of more than kMaxRank axes;
/// DataLoss for a file that is not as the format wants it, to the last byte: among others for a name or a field given
/// twice, a field unknown to the format, a length that is not the shape's, data that overlap, leave a gap or are not
/// covered, and a BOOL that is neither 0 nor 1. A file that another process changes meanwhile gives an error or what
/// was read, never a crash.
[[nodiscard]] Safetensors load_safetensors(const std::string& path,
                                           std::source_location where = std::source_location::current());

}  // namespace twofold::io
