// The kept files of tests/data/safetensors_corpus: which are read, and what is said about the others.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "../both_modes.h"
#include "../errors.h"
#include "../fresh_graph.h"
#include "scratch.h"
#include "source_root.h"

namespace tf = twofold;
using tf::Code;

namespace {

const std::string kCorpus = std::string(TWOFOLD_SOURCE_ROOT) + "/tests/data/safetensors_corpus/";

const std::vector<std::string> kGood = {"all_dtypes", "by_reference", "data_in_another_order", "eight_axes", "empty",
                                        "float32",    "metadata",     "no_elements",           "padded"};

struct Refusal {
  std::string name, words;
  Code code = Code::DataLoss;
};
const std::vector<Refusal> kBad = {
    {"bool_of_two", "element 2 of the BOOL tensor 'a' is 2; it must be 0 or 1"},
    {"byte_order_mark", "the header must begin with '{'; '\\xef' came"},
    {"data_cut", "the tensor 'a' lies at bytes 0 to 8 of data that have 7"},
    {"data_too_long", "the tensors take 8 bytes of data; the file has 9"},
    {"dtype_number", "the dtype of the tensor 'a' must be a string; the number 32 came"},
    {"dtype_unknown", "the tensor 'a' has the dtype 'F8_E4M3'; supported are F64, ", Code::Unimplemented},
    {"extent_beyond_int64", "the tensor 'a' must hold integers from 0 to 2^63 - 1; 9223372036854775808 came"},
    {"extent_fraction", "must hold integers from 0 to 2^63 - 1; the number '2.0' came"},
    {"extent_negative", "the shape of the tensor 'a' must hold integers from 0 to 2^63 - 1; the number -2 came"},
    {"extents_overflow", "and dtype F32 takes more than 2^64 bytes; its data_offsets [0, 8] hold 8"},
    {"extents_wrap_to_nothing", "takes more than 2^64 bytes; its data_offsets [0, 0] hold 0"},
    {"field_twice", "the tensor 'a' has the field dtype twice"},
    {"field_unknown", "the tensor 'a' has the field 'strides'; a tensor has dtype, shape and data_offsets"},
    {"gap", "the tensor 'b' begins at byte 2 of the data, which leaves a gap: the one before it ends at 1"},
    {"gap_first", "the tensor 'a' begins at byte 1 of the data, which leaves a gap: the one before it ends at 0"},
    {"header_cut", "the header's length is 1000; 61 bytes follow"},
    {"header_huge", "the header's length is 100000001; the format allows 100000000"},
    {"header_length_negative", "the header's length is 18446744073709551615; the format allows 100000000"},
    {"metadata_array", "__metadata__ must be an object; an array came"},
    {"metadata_key_twice", "__metadata__ has the key 'k' twice"},
    {"metadata_number", "'k' of __metadata__ must be a string; the number 1 came"},
    {"metadata_twice", "the header has the key '__metadata__' twice"},
    {"name_twice", "the header has the key 'a' twice"},
    {"nested_arrays", "the value of the tensor 'a' must be an object; an array came"},
    {"nested_deeply", "the tensor 'a' has the field 'a'; a tensor has"},
    {"nine_axes", "the tensor 'a' has 9 axes; at most 8 are supported", Code::Unimplemented},
    {"no_dtype", "the tensor 'a' has no dtype"},
    {"no_header", "the header must begin with '{'; nothing came"},
    {"no_offsets", "the tensor 'a' has no data_offsets"},
    {"no_shape", "the tensor 'a' has no shape"},
    {"not_an_object", "the header must begin with '{'; '[' came"},
    {"not_json", "the header is not JSON at byte 2: "},
    {"not_utf8", "the header is not JSON at byte 3: "},
    {"nothing", "a file begins with 8 bytes, its header's length; this one has 0"},
    {"offsets_outside", "the tensor 'a' lies at bytes 0 to 18446744073709551615 of data that have 8"},
    {"offsets_reversed", "the tensor 'a' lies at bytes 8 to 0 of data that have 8"},
    {"offsets_three", "the data_offsets of the tensor 'a' must be two, begin and end; 3 came"},
    {"overlap", "the tensor 'b' begins at byte 1 of the data, which leaves an overlap: the one before it ends at 2"},
    {"seven_bytes", "a file begins with 8 bytes, its header's length; this one has 7"},
    {"shape_string", "the shape of the tensor 'a' must be an array; a string came"},
    {"size_wrong", "the tensor 'a' of shape (3,) and dtype F32 takes 12 bytes; its data_offsets [0, 8] hold 8"},
    {"space_first", "the header must begin with '{'; ' ' came"},
    {"tensor_is_number", "the value of the tensor 'a' must be an object; the number 1 came"},
    {"two_values", "the header is not JSON at byte 3: "},
    {"unfinished", "the header is not JSON at byte 6: "},
    {"zero_byte", "the header is not JSON at byte 3: a zero byte"},
};

}  // namespace

TEST_CASE("Every file of the corpus is expected") {
  std::vector<std::string> expected = kGood, found;
  for (const Refusal& bad : kBad) expected.push_back(bad.name);
  for (const auto& entry : std::filesystem::directory_iterator(kCorpus)) found.push_back(entry.path().stem());
  std::ranges::sort(expected);
  std::ranges::sort(found);
  CHECK(found == expected);
}

TEST_CASE("Good files are read, written and read again, to equal bytes") {
  const Scratch scratch;
  for (const std::string& name : kGood) {
    INFO(name);
    const auto first = tf::io::load_safetensors(kCorpus + name + ".safetensors");
    const std::string once = scratch / "once", twice = scratch / "twice";
    tf::io::save_safetensors(once, first.tensors(), first.metadata());
    const auto second = tf::io::load_safetensors(once);
    REQUIRE(second.size() == first.size());
    CHECK(second.metadata() == first.metadata());
    for (size_t i = 0; i < first.size(); ++i) {
      CHECK(second.tensors()[i].first == first.tensors()[i].first);
      CHECK(testing::same_bits(second.tensors()[i].second, first.tensors()[i].second));
    }
    tf::io::save_safetensors(twice, second.tensors(), second.metadata());
    CHECK(contents(twice) == contents(once));
  }
}

TEST_CASE("Bad files are refused, each for its own reason") {
  for (const Refusal& bad : kBad) {
    INFO(bad.name);
    std::string what;
    Code code{};
    try {
      (void)tf::io::load_safetensors(kCorpus + bad.name + ".safetensors");
    } catch (const tf::Error& e) {
      what = e.what(), code = e.code();
    }
    INFO(what);
    CHECK(what.find(bad.words) != std::string::npos);
    CHECK(what.find(bad.name + ".safetensors'") != std::string::npos);  // the path
    CHECK(code == bad.code);
  }
}

TEST_CASE("A file that is cut anywhere is refused") {
  const Scratch scratch;
  const std::string path = scratch / "cut", whole = contents(kCorpus + "all_dtypes.safetensors");
  for (size_t n = 0; n < whole.size(); ++n) {
    INFO(n);
    put(path, whole.substr(0, n));
    CHECK_ERROR(tf::io::load_safetensors(path), DataLoss, "cut': ");
  }
}

TEST_CASE("What the format's own implementation wrote") {
  const auto file = tf::io::load_safetensors(kCorpus + "by_reference.safetensors");
  const tf::io::Metadata made = {{"made", "elsewhere"}};
  CHECK(file.metadata() == made);
  const auto text = [&](const char* name) { return repr(file[name]); };
  CHECK(elements<float>(file["half"]) == std::vector<float>{1, -2, 0x1p-24f, 65504, INFINITY});
  CHECK(text("f").find("[3. 4. 5.]], shape=(2, 3), dtype=float32") != std::string::npos);
  CHECK(text("d") == "Tensor(0.1, shape=(), dtype=float64, device=/cpu:0)");
  CHECK(text("i") == "Tensor([-1  2], shape=(2,), dtype=int32, device=/cpu:0)");
  CHECK(text("l") == "Tensor([[1099511627776]], shape=(1, 1), dtype=int64, device=/cpu:0)");
  CHECK(text("u") == "Tensor([  0 255], shape=(2,), dtype=uint8, device=/cpu:0)");
  CHECK(text("flag") == "Tensor([ True False], shape=(2,), dtype=bool, device=/cpu:0)");
  CHECK(text("none") == "Tensor([], shape=(0, 3), dtype=float32, device=/cpu:0)");
}
