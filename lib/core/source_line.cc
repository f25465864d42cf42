#include <twofold/lib/core/source_line.h>

#include <bit>
#include <mutex>
#include <set>
#include <tuple>
#include <unordered_set>

namespace twofold {
namespace {

// What a std::source_location points to, as compilers lay it out for the standard library (__builtin_source_location:
// GCC's and LLVM's libraries both have it so). The standard knows no other way to make one.
struct Line {
  const char* file;
  const char* function;
  unsigned line;
  unsigned column;
  friend bool operator<(const Line& a, const Line& b) {
    return std::tie(a.file, a.line, a.column) < std::tie(b.file, b.line, b.column);
  }
};
static_assert(sizeof(std::source_location) == sizeof(const Line*));

}  // namespace

std::source_location source_line(const std::string& file, uint32_t line, uint32_t column) {
  if (file.empty()) return {};
  static std::mutex g_mutex;
  static auto* const g_files = new std::unordered_set<std::string>;
  static auto* const g_lines = new std::set<Line>;  // by the address of the file's one name
  std::lock_guard lock(g_mutex);
  const char* name = g_files->insert(file).first->c_str();
  return std::bit_cast<std::source_location>(&*g_lines->insert({name, "", line, column}).first);
}

}  // namespace twofold
