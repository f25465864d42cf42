// NumPy's files: what NumPy wrote is read, what is written is what NumPy writes, and what goes wrong.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <twofold/lib/io/file.h>
#include <twofold/lib/io/npy_format.h>

#include "../both_modes.h"
#include "../errors.h"
#include "../fresh_graph.h"
#include "scratch.h"
#include "source_root.h"

namespace tf = twofold;
using tf::Code;
using tf::Shape;
using tf::Tensor;
using tf::io::load_npy;
using tf::io::load_npz;
using tf::io::save_npy;
using tf::io::save_npz;

namespace {

const std::string kCorpus = std::string(TWOFOLD_SOURCE_ROOT) + "/tests/data/npy_corpus/";

/// The arrays that tests/data/npy_corpus.py writes, of shape (2, 3), by NumPy's codes.
const std::map<std::string, Tensor>& values() {
  constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
  static const std::map<std::string, Tensor> all = {
      {"f4", tf::tensor(std::vector<float>{1.5f, -0.f, 3e38f, 1e-45f, kInf, kNan}, {2, 3})},
      {"f8", tf::tensor(std::vector<double>{0.1, -0., 1e308, 5e-324, -kInf, kNan}, {2, 3})},
      {"i4", tf::tensor(std::vector<int32_t>{1, -2, 3, INT32_MAX, INT32_MIN, 0}, {2, 3})},
      {"i8", tf::tensor(std::vector<int64_t>{1, -2, 3, INT64_MAX, INT64_MIN, 0}, {2, 3})},
      {"u1", tf::tensor(std::vector<uint8_t>{0, 1, 2, 127, 128, 255}, {2, 3})},
      {"b1", tf::tensor({{true, false, false}, {true, true, false}})},
  };
  return all;
}

/// What files that are written to the byte hold.
std::map<std::string, Tensor> ours() {
  std::map<std::string, Tensor> all = values();
  all.emplace("scalar", tf::tensor(2.5, {.dtype = tf::float64}));
  all.emplace("vector", tf::tensor({0, 1, 2, 3, 4}));
  all.emplace("none", tf::tensor(std::vector<float>{}, {0, 3}));
  all.emplace("eight_axes", tf::tensor(std::vector<uint8_t>{0, 1, 2, 3}, {1, 2, 1, 1, 2, 1, 1, 1}));
  return all;
}

struct Refusal {
  std::string name, words;
  Code code = Code::DataLoss;
};
const std::vector<Refusal> kRefusals = {
    {"bad_bool_of_two.npy", "element 2 of the bool array is 2; it must be 0 or 1"},
    {"bad_data_cut.npy", "int32 elements of shape (2,) are promised, of 4 bytes each; 7 bytes follow the header"},
    {"bad_data_too_long.npy", "int32 elements of shape (2,) are promised, of 4 bytes each; 9 bytes follow the header"},
    {"bad_descr_twice.npy", "the header has 'descr' twice"},
    {"bad_dtype.npy", "'<q9' is no dtype of NumPy's"},
    {"bad_dtype_number.npy", "the header must have a dtype in quotes at byte 10; '4' came"},
    {"bad_extent_beyond_int64.npy", "the header must have an extent, from 0 to 2^63 - 1, at byte "},
    {"bad_extent_fraction.npy", "the header must have ',' or ')' at byte 52; '.' came"},
    {"bad_extent_negative.npy", "the header must have an extent, from 0 to 2^63 - 1, at byte 51; '-' came"},
    {"bad_extents_overflow.npy", "int32 elements of shape (4611686018427387904, 4) are promised, of 4 bytes each; 0 "},
    {"bad_header_cut.npy", "the header's length is 999; 58 bytes follow"},
    {"bad_header_empty.npy", "the header must have '{' at byte 1; its end came"},
    {"bad_header_huge.npy", "the header's length is 4294967295; 158 bytes follow"},
    {"bad_header_more.npy", "the header must have its end at byte 58; 'x' came"},
    {"bad_header_not_a_dict.npy", "the header must have '{' at byte 0; '(' came"},
    {"bad_header_text_unfinished.npy", "the text at byte 10 of the header has no end"},
    {"bad_header_unfinished.npy", "the header must have ',' or '}' at byte 16; its end came"},
    {"bad_key_unknown.npy", "the header has the key 'strides'; it may have descr, fortran_order and shape"},
    {"bad_length_cut.npy", "the header's length takes 2 bytes; it ends before"},
    {"bad_magic.npy", "it is not of the NPY format: it begins with '\\x92NUMPY'"},
    {"bad_no_descr.npy", "the header has no 'descr'"},
    {"bad_no_order.npy", "the header has no 'fortran_order'"},
    {"bad_no_shape.npy", "the header has no 'shape'"},
    {"bad_nothing.npy", "a .npy file begins with 8 bytes, \\x93NUMPY and a version; this one has 0"},
    {"bad_npy_is_npz.npy", "it begins with 'PK\\x03\\x04\\x14\\x00' ["},
    {"bad_order.npy", "the header must have True or False at byte 34; '1' came"},
    {"bad_seven_bytes.npy", "a .npy file begins with 8 bytes, \\x93NUMPY and a version; this one has 7"},
    {"bad_shape_list.npy", "the header must have a tuple at byte 50; '[' came"},
    {"bad_shape_number.npy", "the shape must be a tuple; the number 2 came"},
    {"bad_version.npy", "it is of version 4.0 of the NPY format; 1.0, 2.0 and 3.0 are known"},
    {"bad_version_minor.npy", "it is of version 1.1 of the NPY format; 1.0, 2.0 and 3.0 are known"},
    {"foreign_bytes.npy", "NumPy's dtype bytes ('|S3'), which no dtype can hold", Code::Unimplemented},
    {"foreign_clongdouble.npy", "NumPy's dtype clongdouble ('<c32')", Code::Unimplemented},
    {"foreign_complex128.npy", "NumPy's dtype complex128 ('<c16')", Code::Unimplemented},
    {"foreign_complex64.npy", "NumPy's dtype complex64 ('<c8')", Code::Unimplemented},
    {"foreign_datetime64.npy", "NumPy's dtype datetime64 ('<M8[s]')", Code::Unimplemented},
    {"foreign_float16.npy", "NumPy's dtype float16 ('<f2')", Code::Unimplemented},
    {"foreign_int16.npy", "NumPy's dtype int16 ('<i2')", Code::Unimplemented},
    {"foreign_int8.npy", "NumPy's dtype int8 ('|i1')", Code::Unimplemented},
    {"foreign_longdouble.npy", "NumPy's dtype longdouble ('<f16')", Code::Unimplemented},
    {"foreign_nine_axes.npy", "the array has 9 axes; at most 8 are supported", Code::Unimplemented},
    {"foreign_object.npy", "NumPy's dtype object ('|O')", Code::Unimplemented},
    {"foreign_str.npy", "NumPy's dtype str ('<U2')", Code::Unimplemented},
    {"foreign_structured.npy", "the elements are structured, '[('x', '<f4'), ('y', '<i4', (2,))], ",
     Code::Unimplemented},
    {"foreign_timedelta64.npy", "NumPy's dtype timedelta64 ('<m8[us]')", Code::Unimplemented},
    {"foreign_uint16.npy", "NumPy's dtype uint16 ('<u2')", Code::Unimplemented},
    {"foreign_uint32.npy", "NumPy's dtype uint32 ('<u4')", Code::Unimplemented},
    {"foreign_uint64.npy", "NumPy's dtype uint64 ('<u8')", Code::Unimplemented},
    {"foreign_void.npy", "NumPy's dtype void ('|V2')", Code::Unimplemented},

    {"bad_bomb.npz", "entry 'x.npy': 2147483648 bytes are promised, which 106 deflated ones cannot hold"},
    {"bad_cut.npz", "it is no .npz file, a ZIP archive: "},
    {"bad_data_flipped.npz", "entry 'x.npy': it is damaged: CRC error"},
    {"bad_deflated_flipped.npz", "entry 'x.npy': it "},
    {"bad_entry_is_no_npy.npz", "entry 'x.npy': it is not of the NPY format: it begins with 'someth'"},
    {"bad_name_twice.npz", "two of its entries have one name"},
    {"bad_not_an_array.npz", "entry 'archive/data.pkl': it is no array: its name must end in '.npy'"},
    {"bad_nothing.npz", "it is no .npz file, a ZIP archive: it has 0 bytes"},
    {"bad_npz_is_npy.npz", "it is no .npz file, a ZIP archive: it begins with '\\x93NUMPY' ["},
    {"bad_shared_bytes.npz", "entry 'y.npy': it takes 1128 bytes and those before it 1291, of a file that has 1450"},
    {"bad_size.npz",
     "entry 'x.npy': int32 elements of shape (1000000000,) are promised, of 4 bytes each; 8 bytes follow"},
    {"bad_zip64_count.npz", "its end says that it has 1099511627776 entries; 384 bytes have fewer"},
    {"bad_zip64_count_two.npz", "it is no .npz file, a ZIP archive: "},
    {"foreign_bzip2.npz", "entry 'x.npy': it is compressed by method 12 of the ZIP format", Code::Unimplemented},
    {"foreign_float16.npz", "entry 'x.npy': the elements are of NumPy's dtype float16 ('<f2')", Code::Unimplemented},
};

bool is_archive(const std::string& path) { return path.ends_with(".npz"); }
void load(const std::string& path) {
  if (is_archive(path)) {
    (void)load_npz(path);
  } else {
    (void)load_npy(path);
  }
}

/// The same from a file's bytes: a file for each of thousands would take seconds.
tf::io::TensorFile parse(const std::string& path, const std::string& bytes) {
  const auto span = std::as_bytes(std::span(bytes));
  if (is_archive(path)) return tf::io::parse_npz(span, {path, {}});
  return {path, {{"", tf::io::parse_npy(span, {path, {}})}}};
}

void check_npz(const tf::io::TensorFile& file) {
  CHECK(file.size() == 3);
  CHECK(testing::same_bits(file["arr_0"], tf::tensor(std::vector<float>{0, 1, 2, 3, 4, 5}, {2, 3})));
  CHECK(testing::same_bits(file["big"], tf::tensor(std::vector<double>(100, 0.), {10, 10})));
  CHECK(testing::same_bits(file["layer/\xc3\xa9"], tf::tensor({{true}, {false}})));
}

}  // namespace

TEST_CASE("Every file of NumPy's corpus is expected") {
  std::vector<std::string> expected, found;
  for (const Refusal& r : kRefusals) expected.push_back(r.name);
  for (const auto& entry : std::filesystem::directory_iterator(kCorpus)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with("good_") && !name.starts_with("ours_")) found.push_back(name);
  }
  std::ranges::sort(expected);
  std::ranges::sort(found);
  CHECK(found == expected);
}

TEST_CASE("What NumPy wrote is read, in every dtype, order of bytes and order of axes") {
  int files = 0;
  for (const auto& [code, value] : values())
    for (const std::string end : {"little", "big", "bytes"})
      for (const std::string order : {"", "_fortran"}) {
        const std::string path = kCorpus + "good_" + code + "_" + end + order + ".npy";
        if (!std::filesystem::exists(path)) continue;
        INFO(path);
        CHECK(testing::same_bits(load_npy(path), value));
        ++files;
      }
  CHECK(files == 4 * 2 * 2 + 2 * 2);
  std::vector<int32_t> numbers(24);
  for (int32_t i = 0; i < 24; ++i) numbers[static_cast<size_t>(i)] = i;
  CHECK(testing::same_bits(load_npy(kCorpus + "good_three_axes_fortran.npy"), tf::tensor(numbers, {2, 3, 4})));
  CHECK(testing::same_bits(load_npy(kCorpus + "good_none_fortran.npy"), tf::tensor(std::vector<double>{}, {3, 0, 2})));
  numbers.resize(6);
  for (const char* version : {"good_version_2.npy", "good_version_3.npy"})
    CHECK(testing::same_bits(load_npy(kCorpus + version), tf::tensor(numbers, {2, 3})));
  for (const char* spelled : {"good_by_hand_python_2.npy", "good_by_hand_quotes.npy"})
    CHECK(testing::same_bits(load_npy(kCorpus + spelled), tf::tensor({1, 2})));
}

TEST_CASE("What is written is what NumPy writes, to the byte") {
  const Scratch scratch;
  const std::string path = scratch / "a.npy";
  for (const auto& [name, value] : ours()) {
    INFO(name);
    save_npy(path, value);
    CHECK(contents(path) == contents(kCorpus + "ours_" + name + ".npy"));
    CHECK(testing::same_bits(load_npy(path), value));
  }
  save_npz(path, {});
  CHECK(contents(path) == contents(kCorpus + "ours_nothing.npz"));
  CHECK(load_npz(path).empty());
  CHECK(scratch.count() == 1);
}

// For tests/numpy_reads.py, which runs this case alone.
TEST_CASE("Files for NumPy to read", "[.][npy_files]") {
  const char* folder = std::getenv("TWOFOLD_TEST_NPY");
  REQUIRE(folder);
  const std::string prefix = folder + std::string("/");
  for (const auto& [name, value] : ours()) save_npy(prefix + name + ".npy", value);
  std::map<std::string, Tensor> all = ours();
  all.emplace("layer/\xc3\xa9", tf::tensor({7}));
  save_npz(prefix + "stored.npz", all);
  save_npz(prefix + "deflated.npz", all, {.compress = true});
}

TEST_CASE("Archives of NumPy's are read, stored, deflated and of 64 bits") {
  check_npz(load_npz(kCorpus + "good_stored.npz"));
  check_npz(load_npz(kCorpus + "good_deflated.npz"));
  CHECK(elements<float>(load_npz(kCorpus + "good_zip64.npz")["x"]) == std::vector<float>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("Archives come back, in their order, and the same tensors give the same bytes") {
  const Scratch scratch;
  tf::io::NamedTensors tensors = {{"", tf::tensor(1)}, {"z \xe2\x82\xac/\n", tf::tensor(2)}};
  for (const auto& [name, value] : ours()) tensors.emplace_back(name, value);
  tensors.emplace_back("zeros", tf::tensor(std::vector<float>(1 << 18, 0.f)));
  for (const bool compress : {false, true}) {
    const std::string once = scratch / "once", twice = scratch / "twice";
    save_npz(once, tensors, {.compress = compress});
    const auto file = load_npz(once);
    REQUIRE(file.size() == tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      INFO(tensors[i].first);
      CHECK(file.tensors()[i].first == tensors[i].first);
      CHECK(testing::same_bits(file.tensors()[i].second, tensors[i].second));
    }
    save_npz(twice, file.tensors(), {.compress = compress});
    CHECK(contents(once) == contents(twice));
    CHECK((contents(once).size() < (1 << 18)) == compress);
  }
  CHECK(scratch.count() == 2);
}

TEST_CASE("Maps and eager variables are written as arrays, symbols are not") {
  const Scratch scratch;
  const std::string path = scratch / "a";
  FreshGraph fresh;
  const tf::Variable w({1.f, 2.f}, {.name = "w"});
  tf::Session session;
  session.run(tf::global_variables_initializer());
  const std::map<std::string, tf::Variable> fetches = {{"w", w}};
  save_npz(path, session.run(fetches));
  CHECK(elements<float>(load_npz(path)["w"]) == std::vector<float>{1, 2});
  tf::load_state(session, fetches, load_npz(path));
  CHECK_ERROR(save_npz(path, fetches), FailedPrecondition, "entry 'w.npy': the symbol Tensor(");
  CHECK_ERROR(save_npy(path, w), FailedPrecondition, "Try: what session.run returns for it");
  CHECK_ERROR(save_npy(path, w), FailedPrecondition, "npy_test.cc:");
  tf::eagerly([&] {
    const tf::Variable v({3.f}, {.name = "v"});
    save_npy(path, v);
  });
  CHECK(elements<float>(load_npy(path)) == std::vector<float>{3});
}

TEST_CASE("Files that are damaged or foreign are refused, each for its own reason") {
  for (const Refusal& bad : kRefusals) {
    INFO(bad.name);
    std::string what;
    Code code{};
    try {
      load(kCorpus + bad.name);
    } catch (const tf::Error& e) {
      what = e.what(), code = e.code();
    }
    INFO(what);
    CHECK(what.find(bad.words) != std::string::npos);
    CHECK(what.find(bad.name + "'") != std::string::npos);  // the path
    CHECK(code == bad.code);
  }
  CHECK_ERROR(load_npy(kCorpus + "bad_npy_is_npz.npy"), DataLoss, "Try: tf::io::load_npz(path)");
  CHECK_ERROR(load_npz(kCorpus + "bad_npz_is_npy.npz"), DataLoss, "Try: tf::io::load_npy(path)");
  CHECK_ERROR(load_npz(kCorpus + "good_stored.npz")["arr_1"], NotFound, "near it: 'arr_0'; it has 3 tensors");
  CHECK_ERROR(load_npy("no such file"), NotFound, "No such file or directory");
  CHECK_ERROR(load_npz("/dev/zero"), FailedPrecondition, "'/dev/zero' is not a regular file");
}

TEST_CASE("A file of NumPy's that is cut anywhere is refused") {
  for (const std::string name : {"good_f8_big_fortran.npy", "good_stored.npz", "good_deflated.npz", "good_zip64.npz"}) {
    const std::string whole = contents(kCorpus + name);
    REQUIRE(whole.size() > 100);
    for (size_t n = 0; n < whole.size(); ++n) {
      INFO(name << " " << n);
      CHECK_ERROR(parse(name, whole.substr(0, n)), DataLoss, name + "'");
    }
  }
}

TEST_CASE("A byte that is flipped in an archive changes no tensor unseen") {
  int refused = 0;
  for (const std::string name : {"good_stored.npz", "good_deflated.npz", "good_zip64.npz"}) {
    const std::string whole = contents(kCorpus + name);
    const auto right = load_npz(kCorpus + name);
    for (size_t n = 0; n < whole.size(); ++n) {
      INFO(name << " " << n);
      std::string flipped = whole;
      flipped[n] = static_cast<char>(flipped[n] ^ 1 << n % 8);
      try {
        const auto file = parse(name, flipped);  // where the byte is a date, say, or in a name
        CHECK(file.size() == right.size());
        for (size_t i = 0; i < file.size(); ++i)
          CHECK(testing::same_bits(file.tensors()[i].second, right.tensors()[i].second));
      } catch (const tf::Error& e) {
        CHECK((e.code() == Code::DataLoss || e.code() == Code::Unimplemented));
        ++refused;
      }
    }
  }
  CHECK(refused > 1000);
}

TEST_CASE("What cannot be written as an array leaves the file as it was") {
  const Scratch scratch;
  const std::string path = scratch / "a";
  put(path, "old");
  const Tensor t = tf::tensor(1);
  CHECK_ERROR(save_npy(path, Tensor()), InvalidArgument, "a': the tensor is None: an undefined Tensor");
  CHECK_ERROR(save_npz(path, {{"x", t}, {"x", t}}), InvalidArgument, "entry 'x.npy': the name is given twice");
  CHECK_ERROR(save_npz(path, {{"x", Tensor()}}), InvalidArgument, "entry 'x.npy': the tensor is None");
  CHECK_ERROR(save_npz(path, {{std::string("x\0y", 3), t}}), InvalidArgument, "its name has a zero byte");
  CHECK_ERROR(save_npz(path, {{std::string(65532, 'x'), t}}), InvalidArgument, "its name has 65532 bytes");
  for (const char* bad : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"})
    CHECK_ERROR(save_npz(path, {{bad, t}}), InvalidArgument, "its name must be UTF-8");

  // A file that may not grow beyond 10000 bytes stands for a full disk.
  const tf::io::NamedTensors large = {{"x", tf::tensor(std::vector<float>(10000, 1.f))}, {"y", t}};
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const rlimit small = {10000, limit.rlim_max};
  std::vector<std::string> whats;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  for (const bool archive : {false, true}) {
    try {
      archive ? save_npz(path, large) : save_npy(path, large[0].second);
    } catch (const tf::Error& e) {
      whats.push_back(std::string(name_of(e.code())) + e.what());
    }
  }
  setrlimit(RLIMIT_FSIZE, &limit);
  REQUIRE(whats.size() == 2);
  for (const std::string& what : whats) {
    INFO(what);
    CHECK(what.starts_with("ResourceExhausted"));
    CHECK(what.find("Cannot write '" + path + "': File too large") != std::string::npos);
  }
  CHECK(contents(path) == "old");
  CHECK(scratch.count() == 1);
}

TEST_CASE("Reading an array takes no more memory than its elements, and those of Fortran's order once more") {
  const Scratch scratch;
  const size_t n = 1 << 20;
  const std::string path = scratch / "a";
  save_npz(path, {{"x", tf::tensor(std::vector<float>(n, 1.f))}}, {.compress = true});
  tf::reset_peak_allocation();
  const int64_t before = tf::allocator_stats().in_use;
  const auto file = load_npz(path);
  CHECK(tf::allocator_stats().peak - before == static_cast<int64_t>(n * 4));
  CHECK(file["x"].data<float>()[n - 1] == 1.f);
}

TEST_CASE("Temporary files of processes that are no more are removed, those in use are not") {
  const Scratch scratch;
  put(scratch / ".twofold-1-0.tmp", "left");
  put(scratch / ".twofold-1-1.tmp", "");  // perhaps somebody is about to lock it
  put(scratch / ".twofold-1-2.tmp", "");
  std::filesystem::last_write_time(scratch / ".twofold-1-2.tmp",
                                   std::filesystem::file_time_type::clock::now() - std::chrono::minutes(2));
  put(scratch / "other.tmp", "other");
  tf::io::AtomicFile file(scratch / "a", {});
  file.write("12", 2);
  tf::io::remove_abandoned_files(scratch.folder());
  CHECK(scratch.count() == 3);
  CHECK(!std::filesystem::exists(scratch / ".twofold-1-0.tmp"));
  file.seek(1);
  file.write("3", 1);
  file.commit();
  CHECK(contents(scratch / "a") == "13");
  tf::io::remove_abandoned_files(scratch / "no such folder");
}
