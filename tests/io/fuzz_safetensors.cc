// A libFuzzer target: whatever the bytes, reading them ends in a tf::Error or in tensors, and what was read is written
// and read again to equal bytes. See the option `fuzzers`.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include <twofold/lib/core/error.h>
#include <twofold/lib/io/safetensors_format.h>
#include <twofold/lib/op/value.h>

namespace io = twofold::io;

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

namespace {

constexpr size_t kLength = io::kLengthBytes;
const io::Source kSource = {"input", {}};

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

std::string written(const io::Safetensors& file) {
  std::string bytes;
  const auto append = [&](const void* from, size_t n) { bytes.append(static_cast<const char*>(from), n); };
  io::write_safetensors(append, file.tensors(), file.metadata(), kSource);
  return bytes;
}

io::Safetensors parsed(const std::string& bytes) {
  return io::parse_safetensors(std::as_bytes(std::span(bytes)), kSource);
}

bool same(const twofold::Value& a, const twofold::Value& b) {
  return a.spec() == b.spec() && (a.bytes() == 0 || std::memcmp(a.data(), b.data(), a.bytes()) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  io::Safetensors file;
  try {
    file = io::parse_safetensors(std::as_bytes(std::span(data, size)), kSource);
  } catch (const twofold::Error& e) {
    require(e.code() == twofold::Code::DataLoss || e.code() == twofold::Code::Unimplemented, e.what());
    return 0;
  }
  size_t total = 0;
  for (const auto& [name, tensor] : file) total += tensor.value()->bytes();
  require(total <= 2 * size, "tensors take at most twice the file, where they widen");
  const std::string once = written(file);
  const io::Safetensors again = parsed(once);
  require(again.metadata() == file.metadata() && again.size() == file.size(), "metadata and names come back");
  for (size_t i = 0; i < file.size(); ++i) {
    const auto& [name, tensor] = file.tensors()[i];
    require(again.tensors()[i].first == name, "a name comes back");
    require(same(*again.tensors()[i].second.value(), *tensor.value()), "a tensor comes back");
    require(file.contains(name), "a tensor is found");
  }
  require(written(again) == once, "the bytes are the same the second time");
  return 0;
}

// Most changes are to the header alone, or to the data alone, and leave the length right: at random it would seldom be.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  if (size < kLength || most < kLength || seed % 8 == 0) return LLVMFuzzerMutate(data, size, most);
  uint64_t length;
  std::memcpy(&length, data, kLength);
  length = std::min<uint64_t>(length, size - kLength);
  std::string header(reinterpret_cast<char*>(data) + kLength, length);
  std::string body(reinterpret_cast<char*>(data) + kLength + length, size - kLength - length);
  std::string& part = seed % 8 == 1 ? body : header;
  const size_t room = most - (size - part.size()), old = part.size();
  part.resize(std::max(room, old));
  part.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(part.data()), old, room));
  length = header.size();
  std::memcpy(data, &length, kLength);
  std::copy(header.begin(), header.end(), data + kLength);
  std::copy(body.begin(), body.end(), data + kLength + header.size());
  return kLength + header.size() + body.size();
}
