// What CUDA kernels keep on disk for later processes; the cache itself needs no GPU.
#include <twofold/kernels/cuda/disk_cache.h>

#include "../catch.h"
#include "scratch.h"

using twofold::cuda::read_cached;
using twofold::cuda::write_cached;

namespace {

/// An environment variable for the duration of a test.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    setenv(name, value.c_str(), 1);
  }
  ~Environment() { old_ ? setenv(name_, old_->c_str(), 1) : unsetenv(name_); }
  Environment(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> old_;
};

void write(const std::filesystem::path& to, const std::string& text) { std::ofstream(to, std::ios::binary) << text; }

}  // namespace

TEST_CASE("The disk cache gives back what was written last") {
  const Scratch scratch;
  const Environment variable("TWOFOLD_CACHE", scratch / "new/folder");
  const std::string bytes("a\0\n\xff", 4);
  CHECK(!read_cached("kernel", "key"));
  write_cached("kernel", "key", "first");
  write_cached("kernel", "key", bytes);
  write_cached("kernel", "", "no key");
  write_cached("choice", "key", "");
  CHECK(read_cached("kernel", "key") == bytes);
  CHECK(read_cached("kernel", "") == "no key");
  CHECK(read_cached("choice", "key") == "");
  CHECK(!read_cached("choice", ""));
}

TEST_CASE("A damaged file of the disk cache counts as none and is written again") {
  const Scratch scratch;
  const Environment variable("TWOFOLD_CACHE", scratch.folder());
  write_cached("kernel", "a key", "its value");
  REQUIRE(scratch.count() == 1);
  const auto file = std::filesystem::directory_iterator(scratch.folder())->path();
  const std::string whole = contents(file);
  for (size_t i = 0; i < whole.size(); ++i) {
    write(file, whole.substr(0, i));
    CHECK(!read_cached("kernel", "a key"));
    std::string changed = whole;
    changed[i] ^= 1;
    write(file, changed);
    CHECK(!read_cached("kernel", "a key"));
  }
  write_cached("kernel", "a key", "its value");
  CHECK(contents(file) == whole);
  CHECK(scratch.count() == 1);  // no drafts are left
}

TEST_CASE("A folder that cannot be written is no error for the disk cache") {
  const Environment variable("TWOFOLD_CACHE", "/proc/no/such/folder");
  write_cached("kernel", "key", "value");
  CHECK(!read_cached("kernel", "key"));
}
