// A libFuzzer target: whatever the bytes, reading them as a .npy file, or if they begin as an archive does as a .npz
// file, ends in a tf::Error or in tensors that take memory in proportion, and what was read is written and read again
// to equal bytes. See the option `fuzzers`.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include <twofold/lib/core/error.h>
#include <twofold/lib/io/npy_format.h>
#include <twofold/lib/op/value.h>

namespace io = twofold::io;

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

namespace {

const io::Source kSource = {"input", {}};

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

std::string written(const twofold::Tensor& t) {
  const auto* data = static_cast<const char*>(t.value()->data());
  return io::npy_header_of(t, kSource) + std::string(data, t.value()->bytes());
}

void check(const twofold::Tensor& t) {
  const std::string once = written(t);
  const twofold::Tensor again = io::parse_npy(std::as_bytes(std::span(once)), kSource);
  require(again.value()->spec() == t.value()->spec(), "dtype and shape come back");
  require(written(again) == once, "the elements come back");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    if (size >= 2 && data[0] == 'P' && data[1] == 'K') {
      const io::TensorFile file = io::parse_npz(bytes, kSource);
      size_t total = 0;
      for (const auto& [name, tensor] : file) {
        total += tensor.value()->bytes();
        require(file.contains(name), "a tensor is found");
        check(tensor);
      }
      require(total <= 1033 * size, "tensors take at most what deflated bytes can hold");
    } else {
      const twofold::Tensor t = io::parse_npy(bytes, kSource);
      require(t.value()->bytes() < size, "a tensor takes less than its file");
      check(t);
    }
  } catch (const twofold::Error& e) {
    require(e.code() == twofold::Code::DataLoss || e.code() == twofold::Code::Unimplemented, e.what());
  }
  return 0;
}

// Most changes are to a header's text alone, or to the elements alone, and leave the length right, which at random
// would seldom be.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  constexpr size_t kPrefix = 10;  // of version 1.0
  if (size < kPrefix || most < kPrefix || data[0] == 'P' || seed % 8 == 0) return LLVMFuzzerMutate(data, size, most);
  const size_t length = std::min<size_t>(data[8] | data[9] << 8, size - kPrefix);
  std::string header(reinterpret_cast<char*>(data) + kPrefix, length);
  std::string body(reinterpret_cast<char*>(data) + kPrefix + length, size - kPrefix - length);
  std::string& part = seed % 8 == 1 ? body : header;
  const size_t room = most - (size - part.size()), old = part.size();
  part.resize(std::max(room, old));
  part.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(part.data()), old, room));
  data[8] = static_cast<uint8_t>(header.size());
  data[9] = static_cast<uint8_t>(header.size() >> 8);
  std::copy(header.begin(), header.end(), data + kPrefix);
  std::copy(body.begin(), body.end(), data + kPrefix + header.size());
  return kPrefix + header.size() + body.size();
}
