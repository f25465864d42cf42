#include <twofold/lib/io/safetensors.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include <twofold/lib/io/file.h>
#include <twofold/lib/io/safetensors_format.h>
#include <twofold/lib/op/value.h>

namespace twofold::io {
namespace {

float bits_to_float(uint32_t bits) {
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}

// IEEE 754 binary16: 1 bit of sign, 5 of exponent (bias 15), 10 of mantissa.
float from_half(uint16_t h) {
  const uint32_t sign = uint32_t{h & 0x8000u} << 16, exponent = (h >> 10) & 31u, mantissa = h & 0x3ffu;
  if (exponent == 0) {  // mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return bits_to_float(sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13);
}
// The upper half of a float32.
float from_bfloat16(uint16_t b) { return bits_to_float(uint32_t{b} << 16); }

/// Makes n floats of the n 16-bit elements in the upper half of their memory. Element i is read before anything is
/// written at or beyond it: 4i + 4 <= 2n + 2(i + 1) for i < n.
template <class Convert>
void widen_in_place(float* out, int64_t n, const Convert& convert) {
  const auto* in = reinterpret_cast<const std::byte*>(out) + 2 * n;
  for (int64_t i = 0; i < n; ++i) {
    uint16_t element;
    std::memcpy(&element, in + 2 * i, sizeof element);
    out[i] = convert(element);
  }
}

Tensor read_tensor(const Entry& e, const Reader& read, const Source& source) {
  auto value = Value::make(dtype_of(e.stored), e.shape);
  auto* data = static_cast<uint8_t*>(value->data());
  const auto n = value->num_elements();
  read(data + (value->bytes() - e.bytes()), e.bytes());
  if (e.stored == Stored::f16) widen_in_place(static_cast<float*>(value->data()), n, from_half);
  if (e.stored == Stored::bf16) widen_in_place(static_cast<float*>(value->data()), n, from_bfloat16);
  if (e.stored == Stored::boolean) {
    if (const auto* bad = std::find_if(data, data + n, [](uint8_t b) { return b > 1; }); bad != data + n)
      source.fail(fmt::format("element {} of the BOOL tensor {} is {}; it must be 0 or 1", bad - data,
                              in_quotes(e.name), *bad));
  }
  return Tensor::adopt(value.detach());
}

}  // namespace

Header read_header(const Reader& read, uint64_t total_bytes, const Source& source) {
  if (total_bytes < kLengthBytes)
    source.fail(fmt::format("a file begins with 8 bytes, its header's length; this one has {}", total_bytes));
  uint64_t length;
  read(&length, kLengthBytes);
  const uint64_t rest = total_bytes - kLengthBytes;
  if (length > kMostHeader)
    source.fail(fmt::format("the header's length is {}; the format allows {}", length, kMostHeader));
  if (length > rest) source.fail(fmt::format("the header's length is {}; {} bytes follow", length, rest));
  std::string text(length, '\0');
  read(text.data(), text.size());
  return parse_header(text, rest - length, source);
}

Safetensors read_safetensors(const Reader& read, uint64_t total_bytes, const Source& source) {
  Header header = read_header(read, total_bytes, source);
  NamedTensors tensors(header.entries.size());
  std::vector<size_t> order(tensors.size());  // of the data, which may be another than the header's
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return std::pair(header.entries[i].begin, header.entries[i].end); });
  for (const size_t i : order) tensors[i].second = read_tensor(header.entries[i], read, source);
  for (size_t i = 0; i < tensors.size(); ++i) tensors[i].first = std::move(header.entries[i].name);
  return {source.path, std::move(tensors), std::move(header.metadata)};
}

Safetensors parse_safetensors(std::span<const std::byte> bytes, const Source& source) {
  const std::byte* next = bytes.data();
  const auto read = [&](void* to, size_t n) {
    if (n) std::memcpy(to, next, n);
    next += n;
  };
  return read_safetensors(read, bytes.size(), source);
}

void write_safetensors(const Writer& write, const NamedTensors& tensors, const Metadata& metadata,
                       const Source& source) {
  const std::string head = header_of(tensors, metadata, source);
  write(head.data(), head.size());
  for (const auto& [name, t] : tensors) {
    const Tensor host = t.value()->device().is_cpu() ? t : copy_to(t, {});
    write(host.value()->data(), host.value()->bytes());
  }
}

void save_safetensors(const std::string& path, const NamedTensors& tensors, const Metadata& metadata,
                      std::source_location where) {
  const Source source{path, where};
  header_of(tensors, metadata, source);  // a mistake makes no file
  AtomicFile file(path, where);
  write_safetensors([&](const void* from, size_t bytes) { file.write(from, bytes); }, tensors, metadata, source);
  file.commit();
}

Safetensors load_safetensors(const std::string& path, std::source_location where) {
  InputFile file(path, where);
  return read_safetensors([&](void* to, size_t bytes) { file.read(to, bytes); }, file.size(), {path, where});
}

}  // namespace twofold::io
