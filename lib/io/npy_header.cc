// Headers of .npy files, to and from Python's literals.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include <twofold/lib/core/error.h>
#include <twofold/lib/io/npy_format.h>
#include <twofold/lib/op/value.h>

namespace twofold::io {
namespace {

struct Type {
  std::string_view code;
  DType dtype;
};
constexpr Type kTypes[] = {{"f4", float32}, {"f8", float64}, {"i4", int32}, {"i8", int64},
                           {"u1", uint8},   {"b1", bool_},   {"?", bool_}};

// What NumPy has beside these: what codes are or begin with, and what it calls them.
struct Foreign {
  std::string_view code, name;
  bool is_prefix = false;
};
constexpr Foreign kForeign[] = {
    {"f2", "float16"},     {"f12", "longdouble"}, {"f16", "longdouble"},      {"i1", "int8"},
    {"i2", "int16"},       {"u2", "uint16"},      {"u4", "uint32"},           {"u8", "uint64"},
    {"c8", "complex64"},   {"c16", "complex128"}, {"c24", "clongdouble"},     {"c32", "clongdouble"},
    {"O", "object", true}, {"S", "bytes", true},  {"a", "bytes", true},       {"U", "str", true},
    {"V", "void", true},   {"T", "str", true},    {"M8", "datetime64", true}, {"m8", "timedelta64", true},
};

class HeaderParser {
 public:
  HeaderParser(std::string_view text, const Source& source) : text_(text), source_(source) {}

  NpyHeader parse() {
    expect('{', "'{'");
    while (!take('}')) {
      entry();
      if (take(',')) continue;
      expect('}', "',' or '}'");
      break;
    }
    if (next() != kEnd) refuse("its end");
    for (const auto& [key, seen] :
         {std::pair("descr", has_dtype_), {"fortran_order", has_order_}, {"shape", has_shape_}})
      if (!seen) source_.fail(fmt::format("the header has no '{}'", key));
    return header_;
  }

 private:
  static constexpr int kEnd = -1;

  /// The next character that is no space, which it leaves.
  int next() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
    return at_ < text_.size() ? static_cast<unsigned char>(text_[at_]) : kEnd;
  }
  bool take(char c) {
    if (next() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c, const char* what) {
    if (!take(c)) refuse(what);
  }
  [[noreturn]] void refuse(const std::string& expected) {
    const int came = next();
    source_.fail(fmt::format("the header must have {} at byte {}; {} came", expected, at_,
                             came == kEnd ? "its end" : in_quotes(text_.substr(at_, 1))));
  }

  void entry() {
    const std::string_view key = string("a key in quotes");
    expect(':', "':'");
    const auto once = [&](bool& seen) {
      if (seen) source_.fail(fmt::format("the header has '{}' twice", key));
      seen = true;
    };
    if (key == "descr") {
      once(has_dtype_);
      dtype();
    } else if (key == "fortran_order") {
      once(has_order_);
      header_.fortran_order = boolean();
    } else if (key == "shape") {
      once(has_shape_);
      shape();
    } else {
      source_.fail(
          fmt::format("the header has the key {}; it may have descr, fortran_order and shape", in_quotes(key)));
    }
  }

  std::string_view string(const char* what) {
    const int quote = next();
    if (quote != '\'' && quote != '"') refuse(what);
    const size_t begin = ++at_, end = text_.find(static_cast<char>(quote), begin);
    if (end == text_.npos) source_.fail(fmt::format("the text at byte {} of the header has no end", begin - 1));
    at_ = end + 1;
    return text_.substr(begin, end - begin);
  }

  bool boolean() {
    const int c = next();
    for (const auto& [word, value] : {std::pair<std::string_view, bool>("True", true), {"False", false}})
      if (c != kEnd && text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return value;
      }
    refuse("True or False");
  }

  void dtype() {
    if (next() == '[')
      source_.fail(fmt::format("the elements are structured, {}; there is no such dtype", in_quotes(text_.substr(at_))),
                   Code::Unimplemented, "numpy.save(path, a['field'])");
    const std::string_view whole = string("a dtype in quotes");
    std::string_view code = whole;
    if (!code.empty() && std::string_view("<>|=").find(code[0]) != code.npos) {
      header_.big_endian = code[0] == '>';
      code.remove_prefix(1);
    }
    for (const Type& t : kTypes)
      if (code == t.code) {
        header_.dtype = t.dtype;
        return;
      }
    for (const Foreign& f : kForeign)
      if (code == f.code || (f.is_prefix && code.starts_with(f.code)))
        source_.fail(
            fmt::format("the elements are of NumPy's dtype {} ({}), which no dtype can hold", f.name, in_quotes(whole)),
            Code::Unimplemented, "numpy.save(path, a.astype(numpy.float32))");
    source_.fail(fmt::format("{} is no dtype of NumPy's", in_quotes(whole)));
  }

  void shape() {
    expect('(', "a tuple");
    int64_t extents[kMaxRank];
    size_t rank = 0;
    bool ended = take(')'), comma = false;
    while (!ended) {
      const int64_t extent = number();
      if (rank < kMaxRank) extents[rank] = extent;
      ++rank;
      comma = take(',');
      ended = take(')');
      if (!comma && !ended) refuse("',' or ')'");
    }
    if (rank == 1 && !comma) source_.fail(fmt::format("the shape must be a tuple; the number {} came", extents[0]));
    if (rank > kMaxRank)
      source_.fail(fmt::format("the array has {} axes; at most {} are supported", rank, kMaxRank), Code::Unimplemented);
    header_.shape = Shape(std::span<const int64_t>(extents, rank));
  }

  int64_t number() {
    const int c = next();
    if (c < '0' || c > '9') refuse("an extent, from 0 to 2^63 - 1,");
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc()) refuse("an extent, from 0 to 2^63 - 1,");
    at_ = static_cast<size_t>(end - text_.data());
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // as Python 2 wrote them
    return value;
  }

  std::string_view text_;
  const Source& source_;
  size_t at_ = 0;
  NpyHeader header_;
  bool has_dtype_ = false, has_order_ = false, has_shape_ = false;
};

}  // namespace

NpyHeader parse_npy_header(std::string_view text, const Source& source) { return HeaderParser(text, source).parse(); }

std::string npy_header_of(const Tensor& t, const Source& source) {
  if (!t.defined()) source.fail("the tensor is None: an undefined Tensor", Code::InvalidArgument);
  if (t.is_symbolic())
    source.fail(fmt::format("the symbol {} has no value to write", to_string(t)), Code::FailedPrecondition,
                "what session.run returns for it");
  const auto* type = std::ranges::find(kTypes, t.dtype(), &Type::dtype);
  const bool comma = t.rank() == 1;
  std::string text =
      fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}{}), }}", size_of(t.dtype()) > 1 ? '<' : '|',
                  type->code, fmt::join(t.shape().dims(), ", "), comma ? "," : "");
  // NumPy leaves room for the first extent to grow to 21 digits in place.
  if (t.rank() > 0) text.append(21 - fmt::to_string(t.shape()[0]).size(), ' ');
  constexpr size_t kPrefix = kNpyMagic.size() + 4, kAlignment = 64;
  text.append(kAlignment - (kPrefix + text.size() + 1) % kAlignment, ' ');
  text += '\n';
  std::string head(kNpyMagic);
  head += '\1';
  head += '\0';
  head += static_cast<char>(text.size() & 0xff);
  head += static_cast<char>(text.size() >> 8);
  return head + text;
}

}  // namespace twofold::io
