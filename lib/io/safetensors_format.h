// The safetensors format apart from files. Not installed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <twofold/lib/core/shape.h>
#include <twofold/lib/io/file.h>
#include <twofold/lib/io/safetensors.h>

namespace twofold::io {

inline constexpr uint64_t kLengthBytes = 8;           ///< before the header: its length
inline constexpr uint64_t kMostHeader = 100'000'000;  ///< the format's bound on the header, against hostile files
inline constexpr std::string_view kMetadataKey = "__metadata__";

/// How elements lie in a file.
enum class Stored : uint8_t { f64, f32, f16, bf16, i64, i32, u8, boolean };
DType dtype_of(Stored s);
size_t size_of(Stored s);

/// A tensor in a header.
struct Entry {
  std::string name;
  Stored stored = Stored::f32;
  Shape shape;
  uint64_t begin = 0, end = 0;  ///< its bytes, counted from the end of the header
  uint64_t bytes() const { return end - begin; }
};
struct Header {
  std::vector<Entry> entries;
  Metadata metadata;
};

/// The header in the JSON text `json`, which `data_bytes` of data follow. Checks all that load_safetensors promises,
/// but for elements. Neither recursion nor memory depends on more than the text's length.
Header parse_header(std::string_view json, uint64_t data_bytes, const Source& source);
/// The bytes before the data: length, header, padding. Checks all that save_safetensors promises.
std::string header_of(const NamedTensors& tensors, const Metadata& metadata, const Source& source);

/// The length and the header that a file of `total_bytes` bytes begins with.
Header read_header(const Reader& read, uint64_t total_bytes, const Source& source);
Safetensors read_safetensors(const Reader& read, uint64_t total_bytes, const Source& source);
/// A file's bytes that are in memory already.
Safetensors parse_safetensors(std::span<const std::byte> bytes, const Source& source);
void write_safetensors(const Writer& write, const NamedTensors& tensors, const Metadata& metadata,
                       const Source& source);

}  // namespace twofold::io
