#include <twofold/lib/io/idx.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>
#include <vector>

#include <twofold/lib/io/file.h>
#include <twofold/lib/op/value.h>

namespace twofold::io {
namespace {

struct Type {
  uint8_t code;
  DType dtype;
};
constexpr Type kTypes[] = {{0x08, uint8}, {0x0C, int32}, {0x0D, float32}, {0x0E, float64}};

// Turns elements of `size` bytes from the host's order to the file's, or back.
void to_or_from_big_endian(uint8_t* data, size_t bytes, size_t size) {
  if (std::endian::native == std::endian::big || size == 1) return;
  for (uint8_t* element = data; element != data + bytes; element += size) std::reverse(element, element + size);
}

DType dtype_of_code(uint8_t code, const std::string& path, std::source_location where) {
  for (const Type& t : kTypes)
    if (t.code == code) return t.dtype;
  if (code == 0x09 || code == 0x0B)
    fail_at(where, "", Code::Unimplemented,
            fmt::format("{} holds elements of type {}, which no dtype can hold", in_quotes(path),
                        code == 0x09 ? "int8" : "int16"));
  fail_at(where, "", Code::DataLoss,
          fmt::format("{} is not of the IDX format: 0x{:02x} is the code of no type", in_quotes(path), code));
}

}  // namespace

Tensor load_idx(const std::string& path, std::source_location where) {
  const auto damaged = [&](const std::string& problem, const char* hint = "") {
    fail_at(where, "", Code::DataLoss, fmt::format("{} is not of the IDX format: {}", in_quotes(path), problem), hint);
  };
  InputFile file(path, where);
  uint8_t magic[4];
  if (file.size() < sizeof magic)
    damaged(fmt::format("a file begins with 4 bytes that tell its type; this one has {}", file.size()));
  file.read(magic, sizeof magic);
  if (magic[0] == 0x1f && magic[1] == 0x8b)
    fail_at(where, "", Code::DataLoss, fmt::format("{} is compressed", in_quotes(path)), "gunzip FILE");
  if (magic[0] != 0 || magic[1] != 0)
    damaged(fmt::format("it begins with the bytes 0x{:02x} 0x{:02x}, not with zeros", magic[0], magic[1]));
  const DType dtype = dtype_of_code(magic[2], path, where);
  const int rank = magic[3];
  const uint64_t header = sizeof magic + 4 * static_cast<uint64_t>(rank);
  if (file.size() < header)
    damaged(fmt::format("the header of {} axes has {} bytes; the file has {}", rank, header, file.size()));
  if (rank > kMaxRank)
    fail_at(where, "", Code::Unimplemented,
            fmt::format("{} has {} axes; at most {} are supported", in_quotes(path), rank, kMaxRank));
  Shape shape;
  for (int axis = 0; axis < rank; ++axis) {
    uint8_t b[4];
    file.read(b, sizeof b);
    const uint32_t extent = uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
    if (extent > std::numeric_limits<int32_t>::max()) damaged(fmt::format("the extent of axis {} is negative", axis));
    shape.push_back(extent);
  }
  const uint64_t rest = file.size() - header, size = size_of(dtype);
  const auto count = static_cast<uint64_t>(shape.saturated_elements());  // or, beyond int64, the largest there is
  if (count > rest / size || count * size != rest)
    damaged(fmt::format("{} elements of shape {} are promised, of {} bytes each; {} bytes follow the header",
                        name_of(dtype), shape.str(), size, rest));
  auto value = Value::make(dtype, shape);
  file.read(value->data(), value->bytes());
  to_or_from_big_endian(static_cast<uint8_t*>(value->data()), value->bytes(), size);
  return Tensor::adopt(value.detach());
}

void save_idx(const std::string& path, const Tensor& t, std::source_location where) {
  const auto refuse = [&](Code code, const std::string& problem, const char* hint = "") {
    fail_at(where, "", code, fmt::format("Cannot write {}: {}", in_quotes(path), problem), hint);
  };
  if (!t.defined()) refuse(Code::InvalidArgument, "the tensor is None: an undefined Tensor");
  if (t.is_symbolic())
    refuse(Code::FailedPrecondition, fmt::format("the symbol {} has no value", to_string(t)), "session.run(t)");
  const auto* type = std::ranges::find(kTypes, t.dtype(), &Type::dtype);
  if (type == std::end(kTypes))
    refuse(Code::InvalidArgument, fmt::format("the IDX format has no type for {}", name_of(t.dtype())),
           "tf::cast(t, tf::int32)");
  std::vector<uint8_t> header = {0, 0, type->code, static_cast<uint8_t>(t.rank())};
  for (const int64_t extent : t.shape()) {
    if (extent > std::numeric_limits<int32_t>::max())
      refuse(Code::InvalidArgument,
             fmt::format("the shape is {}; the format's extents are below 2^31", t.shape().str()));
    for (int shift = 24; shift >= 0; shift -= 8) header.push_back(static_cast<uint8_t>(extent >> shift));
  }
  const Tensor host = t.value()->device().is_cpu() ? t : copy_to(t, {});
  const auto* data = static_cast<const uint8_t*>(host.value()->data());
  const size_t bytes = host.value()->bytes();
  AtomicFile file(path, where);
  file.write(header.data(), header.size());
  constexpr size_t kChunk = size_t{1} << 20;  // a multiple of every element's size
  std::vector<uint8_t> chunk;
  for (size_t done = 0; done < bytes; done += chunk.size()) {
    chunk.assign(data + done, data + std::min(bytes, done + kChunk));
    to_or_from_big_endian(chunk.data(), chunk.size(), size_of(t.dtype()));
    file.write(chunk.data(), chunk.size());
  }
  file.commit();
}

}  // namespace twofold::io
