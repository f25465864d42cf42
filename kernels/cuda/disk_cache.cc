#include <twofold/kernels/cuda/disk_cache.h>

#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace twofold::cuda {
namespace {

namespace fs = std::filesystem;

// A file is this line, the key's length, the checksum of key and bytes, each on a line, then the key and the bytes.
constexpr std::string_view kMagic = "twofold cache 1\n";

/// FNV-1a, 64 bits.
uint64_t hash(std::string_view s, uint64_t h = 0xcbf29ce484222325) {
  for (const char c : s) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return h;
}

std::string hex(uint64_t v) {
  char digits[16];
  const auto end = std::to_chars(digits, std::end(digits), v, 16).ptr;
  return std::string(digits, end);
}

/// Empty if there is none.
fs::path folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value ? value : "");
  };
  if (fs::path p = variable("TWOFOLD_CACHE"); !p.empty()) return p;
  if (fs::path p = variable("XDG_CACHE_HOME"); p.is_absolute()) return p / "twofold";
  if (fs::path p = variable("HOME"); !p.empty()) return p / ".cache" / "twofold";
  return {};
}

std::string header(std::string_view key, std::string_view bytes) {
  std::string text(kMagic);
  return text + std::to_string(key.size()) + "\n" + hex(hash(bytes, hash(key))) + "\n";
}

fs::path file(std::string_view kind, std::string_view key) {
  const fs::path in = folder();
  return in.empty() ? in : in / (std::string(kind) + "-" + hex(hash(key)));
}

std::optional<std::string> read(std::string_view kind, std::string_view key) {
  std::ifstream in(file(kind, key), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const size_t first = text.find('\n', kMagic.size()), second = first == text.npos ? first : text.find('\n', first + 1);
  if (second == text.npos || text.compare(second + 1, key.size(), key) != 0) return std::nullopt;
  std::string bytes = text.substr(second + 1 + key.size());
  if (text.compare(0, second + 1, header(key, bytes)) != 0) return std::nullopt;
  return bytes;
}

void write(std::string_view kind, std::string_view key, std::string_view bytes) {
  const fs::path to = file(kind, key);
  if (to.empty()) return;
  std::error_code ignored;
  fs::create_directories(to.parent_path(), ignored);
  static std::atomic<int> count = 0;
  fs::path draft = to;
  draft += "." + std::to_string(getpid()) + "." + std::to_string(count++);
  {
    std::ofstream out(draft, std::ios::binary);
    out << header(key, bytes) << key << bytes;
    out.close();
    if (!out.fail()) fs::rename(draft, to, ignored);
  }
  fs::remove(draft, ignored);
}

}  // namespace

std::optional<std::string> read_cached(std::string_view kind, std::string_view key) {
  try {
    return read(kind, key);
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

void write_cached(std::string_view kind, std::string_view key, std::string_view bytes) {
  try {
    write(kind, key, bytes);
  } catch (const std::exception&) {
  }
}

}  // namespace twofold::cuda
