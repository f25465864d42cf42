// Writing and reading tensors: what lies in the file, what programs ask of it, and what goes wrong.
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <twofold/lib/io/file.h>

#include "../both_modes.h"
#include "../errors.h"
#include "../fresh_graph.h"
#include "scratch.h"

namespace tf = twofold;
using tf::Shape;
using tf::Tensor;
using tf::io::load_safetensors;
using tf::io::NamedTensors;
using tf::io::save_safetensors;

namespace {

uint64_t header_length(const std::string& file) {
  uint64_t n;
  std::memcpy(&n, file.data(), 8);
  return n;
}

/// A file of these 16-bit elements.
std::string file_of(const std::string& dtype, const std::vector<uint16_t>& elements) {
  const size_t bytes = elements.size() * 2;
  const std::string header = R"({"a":{"dtype":")" + dtype + R"(","shape":[)" + std::to_string(elements.size()) +
                             R"(],"data_offsets":[0,)" + std::to_string(bytes) + "]}}";
  const uint64_t length = header.size();
  std::string file(8 + bytes, '\0');
  std::memcpy(file.data(), &length, 8);
  if (bytes) std::memcpy(file.data() + 8, elements.data(), bytes);
  return file.insert(8, header);
}

std::vector<uint16_t> all_16_bits() {
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  return all;
}

uint32_t bits(float f) {
  uint32_t b;
  std::memcpy(&b, &f, 4);
  return b;
}

}  // namespace

TEST_CASE("The bytes of a file") {
  const Scratch scratch;
  const std::string path = scratch / "a.safetensors";
  save_safetensors(path, {{"b", tf::tensor({1.f, 2.f})}, {"a", tf::tensor(std::vector<uint8_t>{3, 4, 5})}},
                   {{"step", "7"}, {"by", "a \"test\""}});
  const std::string header =
      R"({"__metadata__":{"by":"a \"test\"","step":"7"},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";
  const std::string file = contents(path);
  const uint64_t length = header_length(file);
  CHECK(length % 8 == 0);
  CHECK(length - header.size() < 8);
  CHECK(file.substr(8, length) == header + std::string(length - header.size(), ' '));
  CHECK(file.substr(8 + length) == std::string("\0\0\x80\x3f\0\0\0\x40\3\4\5", 11));
  CHECK(scratch.count() == 1);
  save_safetensors(path, {});
  CHECK(contents(path) == std::string("\x8\0\0\0\0\0\0\0{}      ", 16));
}

TEST_CASE("Every dtype and shape comes back, in order") {
  const Scratch scratch;
  const std::string path = scratch / "a.safetensors";
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const Tensor rows = tf::tensor(std::vector<int32_t>{1, 2, 3, 4, 5, 6}, {3, 2});
  const NamedTensors written = {
      {"z", tf::tensor(std::vector<float>(1000, 0.1f), {10, 100})},
      {"double", tf::tensor(std::vector<double>{nan, -inf, -0., 5e-324})},
      {"int", tf::tensor({std::numeric_limits<int32_t>::min(), 5})},
      {"long", tf::tensor(std::numeric_limits<int64_t>::min())},
      {"byte", tf::tensor(std::vector<uint8_t>{0, 255}, {1, 1, 1, 1, 1, 1, 2, 1})},
      {"bool", tf::tensor({true, false, true})},
      {"none", tf::tensor(std::vector<float>{}, {2, 0})},
      {"a view", rows[1]},
      {"", tf::tensor(1)},
      {"\xc3\xa9\n\"\\", tf::tensor(2)},
      {std::string("zero\0byte", 9), tf::tensor(3)},
  };
  save_safetensors(path, written);
  const auto file = load_safetensors(path);
  REQUIRE(file.size() == written.size());
  CHECK(file.metadata().empty());
  for (size_t i = 0; i < written.size(); ++i) {
    INFO(written[i].first);
    CHECK(file.tensors()[i].first == written[i].first);
    CHECK(testing::same_bits(file.tensors()[i].second, written[i].second));
    CHECK(file[written[i].first].same_as(file.tensors()[i].second));
  }
  size_t count = 0;
  for (const auto& [name, tensor] : file) count += file.find(name)->same_as(tensor);
  CHECK(count == file.size());
}

TEST_CASE("Maps and eager variables are written, symbols are not") {
  const Scratch scratch;
  const std::string path = scratch / "a.safetensors";
  FreshGraph fresh;
  const tf::Variable w({1.f, 2.f}, {.name = "w"});
  tf::Session session;
  session.run(tf::global_variables_initializer());
  const std::map<std::string, tf::Variable> fetches = {{"w", w}};
  save_safetensors(path, session.run(fetches));
  CHECK(elements<float>(load_safetensors(path)["w"]) == std::vector<float>{1, 2});
  session.run(w.assign({5.f, 6.f}));
  tf::load_state(session, fetches, load_safetensors(path));
  CHECK(elements<float>(session.run(w)) == std::vector<float>{1, 2});
  const NamedTensors symbols = {{"w", w * 2.f}};
  CHECK_ERROR(save_safetensors(path, symbols), FailedPrecondition,
              "the tensor 'w' is the symbol Tensor(\"mul:0\", shape=(2,), dtype=float32), which has no value to write");
  CHECK_ERROR(save_safetensors(path, fetches), FailedPrecondition, "Try: what session.run returns for it");
  tf::eagerly([&] {
    const tf::Variable v({3.f}, {.name = "v"});
    const std::vector<std::pair<std::string, tf::Variable>> named = {{"v", v}};
    save_safetensors(path, named);
  });
  CHECK(elements<float>(load_safetensors(path)["v"]) == std::vector<float>{3});
}

TEST_CASE("Half-precision elements become float32, exactly") {
  const Scratch scratch;
  const std::string path = scratch / "half";
  const auto all = all_16_bits();
  put(path, file_of("F16", all));
  const auto half = load_safetensors(path);
  const auto halves = half["a"].data<float>();
  REQUIRE(halves.size() == all.size());
  int wrong = 0;
  for (uint32_t i = 0; i < 65536; ++i) {
    const int exponent = static_cast<int>(i >> 10 & 31), mantissa = static_cast<int>(i & 1023);
    const float sign = i >> 15 ? -1.f : 1.f;
    if (exponent == 31) {
      wrong += bits(halves[i]) != ((i >> 15) << 31 | 0x7f800000u | static_cast<uint32_t>(mantissa) << 13);
    } else {
      const float magnitude = exponent ? std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25)
                                       : std::ldexp(static_cast<float>(mantissa), -24);
      wrong += bits(halves[i]) != bits(sign * magnitude);
    }
  }
  CHECK(wrong == 0);
  put(path, file_of("BF16", all));
  const auto file = load_safetensors(path);
  const auto brains = file["a"].data<float>();
  for (uint32_t i = 0; i < 65536; ++i) wrong += bits(brains[i]) != i << 16;
  CHECK(wrong == 0);
  put(path, file_of("F16", {}));
  CHECK(load_safetensors(path)["a"].shape() == Shape{0});
}

TEST_CASE("A name that is not there") {
  const Scratch scratch;
  const std::string path = scratch / "a";
  NamedTensors tensors = {
      {"hidden.weight", tf::tensor(1)}, {"hidden.bias", tf::tensor(2)}, {"out.weight", tf::tensor(3)}};
  save_safetensors(path, tensors);
  const auto file = load_safetensors(path);
  CHECK(file.contains("out.weight"));
  CHECK(!file.contains("out"));
  CHECK(file.find("out") == nullptr);
  CHECK_ERROR(file["hidden.wieght"], NotFound,
              "a' has no tensor 'hidden.wieght'; near it: 'hidden.weight'; it has 3 tensors: 'hidden.weight', "
              "'hidden.bias', 'out.weight' [");
  CHECK_ERROR(file["q"], NotFound, "a' has no tensor 'q'; it has 3 tensors: 'hidden.weight'");
  CHECK_ERROR(file["q"], NotFound, "safetensors_test.cc:");
  for (int i = 0; i < 20; ++i) tensors.emplace_back(std::to_string(i), tf::tensor(i));
  save_safetensors(path, tensors);
  CHECK_ERROR(load_safetensors(path)["q"], NotFound, "it has 23 tensors: 'hidden.weight', 'hidden.bias', ");
  CHECK_ERROR(load_safetensors(path)["q"], NotFound, "'6', ... [");
  CHECK_ERROR(tf::io::Safetensors()["q"], NotFound, "'' has no tensor 'q'; it has 0 tensors");
}

TEST_CASE("What cannot be written leaves the file as it was") {
  const Scratch scratch;
  const std::string path = scratch / "a";
  put(path, "old");
  const auto refused = [&](const NamedTensors& tensors, const tf::io::Metadata& metadata, const std::string& words) {
    CHECK_ERROR(save_safetensors(path, tensors, metadata), InvalidArgument, words);
    CHECK(contents(path) == "old");
    CHECK(scratch.count() == 1);
  };
  const Tensor t = tf::tensor(1);
  refused({{"a", t}, {"a", t}}, {}, "the tensor 'a' is given twice");
  refused({{"__metadata__", t}}, {}, "the tensor '__metadata__' has a name that the format keeps for itself");
  refused({{"a", Tensor()}}, {}, "the tensor 'a' is undefined (None)");
  refused({{"\xff", t}}, {}, "names and metadata must be UTF-8; '\\xff' is not");
  refused({}, {{"k", "\xc3"}}, "names and metadata must be UTF-8; '\\xc3' is not");
  refused({}, {{"k", std::string(100'000'000, 'x')}}, "the format allows 100000000");
  const NamedTensors undefined = {{"a", Tensor()}};
  CHECK_ERROR(save_safetensors(path, undefined), InvalidArgument, "safetensors_test.cc:");
}

TEST_CASE("Where the system refuses, its reason is given and nothing is left behind") {
  const Scratch scratch;
  const NamedTensors tensors = {{"a", tf::tensor(std::vector<float>(10000, 1.f))}};
  CHECK_ERROR(load_safetensors(scratch / "absent"), NotFound, "absent': No such file or directory");
  CHECK_ERROR(load_safetensors(scratch.folder()), FailedPrecondition, "is not a regular file");
  CHECK_ERROR(load_safetensors("/dev/zero"), FailedPrecondition, "'/dev/zero' is not a regular file");
  const std::string fifo = scratch / "fifo";
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  CHECK_ERROR(load_safetensors(fifo), FailedPrecondition, "is not a regular file");  // and does not wait for a writer
  std::filesystem::remove(fifo);
  CHECK_ERROR(save_safetensors(scratch / "no/such/folder", tensors), NotFound,
              "Cannot create a file in the folder of '" + scratch / "no/such/folder" + "': No such file or directory");
  std::filesystem::create_directory(scratch / "folder");
  CHECK_ERROR(save_safetensors(scratch / "folder", tensors), FailedPrecondition, "folder': Is a directory");
  CHECK(scratch.count() == 1);
  CHECK_ERROR(save_safetensors("", tensors), NotFound, "Cannot replace ''");

  const std::string path = scratch / "a";
  save_safetensors(path, {{"a", tf::tensor(5)}});
  const std::string before = contents(path);
  // A file that may not grow beyond 10000 bytes stands for a full disk.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const rlimit small = {10000, limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::string what;
  tf::Code code{};
  try {
    save_safetensors(path, tensors);
  } catch (const tf::Error& e) {
    what = e.what(), code = e.code();
  }
  setrlimit(RLIMIT_FSIZE, &limit);
  CHECK(what.find("Cannot write '" + path + "': File too large") != std::string::npos);
  CHECK(code == tf::Code::ResourceExhausted);
  CHECK(contents(path) == before);
  CHECK(scratch.count() == 2);
}

TEST_CASE("A file replaces the old one at once: a reader sees one or the other") {
  const Scratch scratch;
  const std::string path = scratch / "a";
  const auto save = [&](int i) { save_safetensors(path, {{"a", tf::full({1000}, i)}}, {{"i", std::to_string(i)}}); };
  tf::eagerly([&] {
    save(0);
    std::jthread writer([&] {
      tf::EagerMode eager;
      for (int i = 1; i <= 50; ++i) save(i);
    });
    int wrong = 0;
    for (int seen = 0; seen < 50;) {
      const auto file = load_safetensors(path);
      seen = std::stoi(file.metadata().at("i"));
      for (const int32_t v : file["a"].data<int32_t>()) wrong += v != seen;
    }
    CHECK(wrong == 0);
  });
  CHECK(scratch.count() == 1);
}

TEST_CASE("A file that is cut while it is read is an error") {
  const Scratch scratch;
  const std::string path = scratch / "a";
  put(path, "0123456789");
  tf::io::InputFile file(path, {});
  std::string bytes(10, ' ');
  file.read(bytes.data(), 4);
  std::filesystem::resize_file(path, 7);
  CHECK_ERROR(file.read(bytes.data() + 4, 6), DataLoss, "a' ended while it was read: 3 bytes more were expected");
  CHECK(bytes.substr(0, 7) == "0123456");
}

TEST_CASE("A symbolic link is replaced, and what it named stays") {
  const Scratch scratch;
  put(scratch / "named", "old");
  std::filesystem::create_symlink(scratch / "named", scratch / "link");
  save_safetensors(scratch / "link", {{"a", tf::tensor(1)}});
  CHECK(!std::filesystem::is_symlink(scratch / "link"));
  CHECK(contents(scratch / "named") == "old");
  CHECK(load_safetensors(scratch / "link")["a"].item<int32_t>() == 1);
}

TEST_CASE("Reading needs no more memory than the tensors") {
  const Scratch scratch;
  const std::string path = scratch / "a";
  const size_t n = 1 << 20;
  put(path, file_of("F16", std::vector<uint16_t>(n, 0x3C00)));
  (void)load_safetensors(path);
  tf::reset_peak_allocation();
  const int64_t before = tf::allocator_stats().in_use;
  const auto file = load_safetensors(path);
  CHECK(tf::allocator_stats().peak - before == static_cast<int64_t>(n * 4));
  CHECK(file["a"].data<float>()[n - 1] == 1.f);
}
