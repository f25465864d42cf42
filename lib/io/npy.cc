#include <twofold/lib/io/npy.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include <twofold/lib/io/npy_format.h>
#include <twofold/lib/op/value.h>

namespace twofold::io {
namespace {

static_assert(std::endian::native == std::endian::little);

void reverse_bytes(std::byte* data, size_t bytes, size_t size) {
  for (std::byte* element = data; element != data + bytes; element += size) std::reverse(element, element + size);
}

/// The elements of `from`, in Fortran's order for `shape`, into `to` in C's.
template <size_t kSize>
void to_c_order(const Shape& shape, const std::byte* from, std::byte* to) {
  const int rank = shape.rank(), last = rank - 1;
  int64_t strides[kMaxRank], index[kMaxRank] = {};
  int64_t count = 1;
  for (int i = 0; i < rank; ++i) {
    strides[i] = count;
    count *= shape[i];
  }
  for (int64_t begin = 0, offset = 0; begin < count; begin += shape[last]) {
    for (int64_t i = 0; i < shape[last]; ++i)
      std::memcpy(to + static_cast<size_t>(begin + i) * kSize,
                  from + static_cast<size_t>(offset + i * strides[last]) * kSize, kSize);
    for (int axis = last - 1; axis >= 0; --axis) {
      offset += strides[axis];
      if (++index[axis] < shape[axis]) break;
      offset -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
}

/// The header's text, after the magic string.
std::string read_header(const Reader& read, uint64_t total_bytes, uint64_t& header_bytes, const Source& source) {
  constexpr uint64_t kMost = 1 << 20;  // structured dtypes, which are refused, have long ones
  uint8_t version[2];
  read(version, sizeof version);
  if (version[0] < 1 || version[0] > 3 || version[1] != 0)
    source.fail(
        fmt::format("it is of version {}.{} of the NPY format; 1.0, 2.0 and 3.0 are known", version[0], version[1]));
  uint8_t length_bytes[4] = {};
  const size_t n = version[0] == 1 ? 2 : 4, before = kNpyMagic.size() + sizeof version + n;
  if (total_bytes < before) source.fail(fmt::format("the header's length takes {} bytes; it ends before", n));
  read(length_bytes, n);
  uint64_t length = 0;
  for (size_t i = 0; i < n; ++i) length |= uint64_t{length_bytes[i]} << 8 * i;
  if (length > total_bytes - before)
    source.fail(fmt::format("the header's length is {}; {} bytes follow", length, total_bytes - before));
  if (length > kMost) source.fail(fmt::format("the header's length is {}; at most {} are read", length, kMost));
  std::string text(length, '\0');
  read(text.data(), text.size());
  header_bytes = before + length;
  return text;
}

}  // namespace

Tensor read_npy(const Reader& read, uint64_t total_bytes, const Source& source) {
  std::string magic(kNpyMagic.size(), '\0');
  if (total_bytes < magic.size() + 2)
    source.fail(fmt::format("a .npy file begins with 8 bytes, \\x93NUMPY and a version; this one has {}", total_bytes));
  read(magic.data(), magic.size());
  if (magic != kNpyMagic)
    source.fail(fmt::format("it is not of the NPY format: it begins with {}", in_quotes(magic)), Code::DataLoss,
                magic.starts_with("PK") ? "tf::io::load_npz(path)" : "");
  uint64_t header_bytes = 0;
  const NpyHeader header = parse_npy_header(read_header(read, total_bytes, header_bytes, source), source);
  const uint64_t rest = total_bytes - header_bytes, size = size_of(header.dtype);
  const auto count = static_cast<uint64_t>(header.shape.saturated_elements());
  if (count > rest / size || count * size != rest)
    source.fail(fmt::format("{} elements of shape {} are promised, of {} bytes each; {} bytes follow the header",
                            name_of(header.dtype), header.shape.str(), size, rest));
  auto value = Value::make(header.dtype, header.shape);
  auto* data = static_cast<std::byte*>(value->data());
  const size_t bytes = value->bytes();
  // In one dimension, and in what has no second element, the orders are the same.
  if (header.fortran_order && header.shape.rank() > 1 && count > 1) {
    std::vector<std::byte> columns(bytes);
    read(columns.data(), bytes);
    (size == 1 ? to_c_order<1> : size == 4 ? to_c_order<4> : to_c_order<8>)(header.shape, columns.data(), data);
  } else {
    read(data, bytes);
  }
  if (header.big_endian && size > 1) reverse_bytes(data, bytes, size);
  if (header.dtype == bool_) {
    const auto* bad = std::find_if(data, data + bytes, [](std::byte b) { return b > std::byte{1}; });
    if (bad != data + bytes)
      source.fail(
          fmt::format("element {} of the bool array is {}; it must be 0 or 1", bad - data, static_cast<int>(*bad)));
  }
  return Tensor::adopt(value.detach());
}

Tensor parse_npy(std::span<const std::byte> bytes, const Source& source) {
  const std::byte* next = bytes.data();
  const auto read = [&](void* to, size_t n) {
    if (n) std::memcpy(to, next, n);
    next += n;
  };
  return read_npy(read, bytes.size(), source);
}

Tensor load_npy(const std::string& path, std::source_location where) {
  InputFile file(path, where);
  return read_npy([&](void* to, size_t bytes) { file.read(to, bytes); }, file.size(), {path, where});
}

void save_npy(const std::string& path, const Tensor& t, std::source_location where) {
  const std::string header = npy_header_of(t, {path, where});
  const Tensor host = t.value()->device().is_cpu() ? t : copy_to(t, {});
  AtomicFile file(path, where);
  file.write(header.data(), header.size());
  file.write(host.value()->data(), host.value()->bytes());
  file.commit();
}

}  // namespace twofold::io
