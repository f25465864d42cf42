// Headers of safetensors files, to and from JSON.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <unordered_set>

#include <twofold/lib/io/file.h>
#include <twofold/lib/io/safetensors_format.h>

namespace twofold::io {
namespace {

using nlohmann::json;

struct Type {
  std::string_view name;
  size_t size;
  Stored stored;
  DType dtype;
  bool written;  ///< it is what `dtype` is written as
};
constexpr Type kTypes[] = {
    {"F64", 8, Stored::f64, float64, true},  {"F32", 4, Stored::f32, float32, true},
    {"F16", 2, Stored::f16, float32, false}, {"BF16", 2, Stored::bf16, float32, false},
    {"I64", 8, Stored::i64, int64, true},    {"I32", 4, Stored::i32, int32, true},
    {"U8", 1, Stored::u8, uint8, true},      {"BOOL", 1, Stored::boolean, bool_, true},
};
const Type& type_of(Stored s) { return kTypes[static_cast<size_t>(s)]; }

// The fields of one tensor, as far as they have come.
struct Fields {
  std::optional<std::string> dtype;
  std::optional<std::vector<uint64_t>> shape, offsets;
};

// Takes the parser's events one at a time and stops it, by an Error, at the first that does not fit. So nesting
// is never deeper than the format's own, and a name that comes twice is seen.
class HeaderEvents final : public nlohmann::json_sax<json> {
 public:
  explicit HeaderEvents(const Source& source) : source_(source) {}

  bool start_object(std::size_t) override {
    switch (state_) {
      case State::start: return go(State::names);
      case State::tensor: return go(State::fields);
      case State::metadata: return go(State::notes);
      default: return unexpected("an object");
    }
  }
  bool end_object() override {
    switch (state_) {
      case State::fields: entries_.emplace_back(name_, std::move(fields_)); [[fallthrough]];
      case State::notes: return go(State::names);
      default: return go(State::end);
    }
  }
  bool key(string_t& key) override {
    switch (state_) {
      case State::names: return begin_name(key);
      case State::fields: return begin_field(key);
      default: note_ = key; return go(State::note);
    }
  }
  bool start_array(std::size_t) override {
    if (state_ == State::shape) return fields_.shape.emplace(), go(State::extents);
    if (state_ == State::data_offsets) return fields_.offsets.emplace(), go(State::offsets);
    return unexpected("an array");
  }
  bool end_array() override { return go(State::fields); }
  bool string(string_t& text) override {
    if (state_ == State::dtype) {
      fields_.dtype = std::move(text);
      return go(State::fields);
    }
    if (state_ != State::note) return unexpected("a string");
    if (!metadata_.emplace(note_, std::move(text)).second)
      return refuse(fmt::format("{} has the key {} twice", kMetadataKey, in_quotes(note_)));
    return go(State::notes);
  }
  bool number_unsigned(number_unsigned_t v) override {
    if (state_ == State::extents) return fields_.shape->push_back(v), true;
    if (state_ == State::offsets) return fields_.offsets->push_back(v), true;
    return unexpected(fmt::format("the number {}", v));
  }
  bool number_integer(number_integer_t v) override { return unexpected(fmt::format("the number {}", v)); }
  bool number_float(number_float_t, const string_t& s) override { return unexpected("the number " + in_quotes(s)); }
  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool binary(binary_t&) override { return unexpected("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    std::string_view what = e.what();
    if (const size_t bracket = what.find("] "); bracket != what.npos) what.remove_prefix(bracket + 2);
    return refuse(fmt::format("the header is not JSON at byte {}: {}", position, in_quotes(what)));
  }

  Source source_;
  Metadata metadata_;
  std::vector<std::pair<std::string, Fields>> entries_;

 private:
  enum class State : uint8_t {
    start,         // before {
    names,         // in the outer object
    tensor,        // a tensor's value is next
    fields,        // in it
    dtype,         // the field's value is next
    shape,         // the same
    extents,       // in it
    data_offsets,  // the field's value is next
    offsets,       // in it
    metadata,      // __metadata__'s value is next
    notes,         // in it
    note,          // a note's value is next
    end,
  };
  bool go(State next) { return state_ = next, true; }

  bool begin_name(const std::string& key) {
    if (!names_.insert(key).second) return refuse(fmt::format("the header has the key {} twice", in_quotes(key)));
    if (key == kMetadataKey) return go(State::metadata);
    name_ = key, fields_ = {};
    return go(State::tensor);
  }
  bool begin_field(const std::string& key) {
    const auto once = [&](bool there, State next) {
      return there ? refuse(fmt::format("the tensor {} has the field {} twice", in_quotes(name_), key)) : go(next);
    };
    if (key == "dtype") return once(fields_.dtype.has_value(), State::dtype);
    if (key == "shape") return once(fields_.shape.has_value(), State::shape);
    if (key == "data_offsets") return once(fields_.offsets.has_value(), State::data_offsets);
    return refuse(fmt::format("the tensor {} has the field {}; a tensor has dtype, shape and data_offsets",
                              in_quotes(name_), in_quotes(key)));
  }
  bool unexpected(const std::string& what) {
    const std::string tensor = "of the tensor " + in_quotes(name_);
    const std::string expected = [&]() -> std::string {
      switch (state_) {
        case State::start: return "the header must be an object";
        case State::tensor: return fmt::format("the value {} must be an object", tensor);
        case State::dtype: return fmt::format("the dtype {} must be a string", tensor);
        case State::shape: return fmt::format("the shape {} must be an array", tensor);
        case State::extents: return fmt::format("the shape {} must hold integers from 0 to 2^63 - 1", tensor);
        case State::data_offsets: return fmt::format("the data_offsets {} must be an array", tensor);
        case State::offsets: return fmt::format("the data_offsets {} must be integers, at least 0", tensor);
        case State::metadata: return fmt::format("{} must be an object", kMetadataKey);
        default: return fmt::format("{} of {} must be a string", in_quotes(note_), kMetadataKey);
      }
    }();
    return refuse(fmt::format("{}; {} came", expected, what));
  }
  [[noreturn]] bool refuse(const std::string& problem) { source_.fail(problem); }

  State state_ = State::start;
  std::unordered_set<std::string> names_;
  std::string name_, note_;
  Fields fields_;
};

Shape shape_of(const std::string& name, const std::vector<uint64_t>& extents, const Source& source) {
  if (extents.size() > kMaxRank)
    source.fail(
        fmt::format("the tensor {} has {} axes; at most {} are supported", in_quotes(name), extents.size(), kMaxRank),
        Code::Unimplemented);
  Shape shape;
  for (const uint64_t extent : extents) {
    if (extent > INT64_MAX)
      source.fail(fmt::format("the shape of the tensor {} must hold integers from 0 to 2^63 - 1; {} came",
                              in_quotes(name), extent));
    shape.push_back(static_cast<int64_t>(extent));
  }
  return shape;
}

Entry entry_of(const std::string& name, const Fields& fields, uint64_t data_bytes, const Source& source) {
  const char* missing = !fields.dtype ? "dtype" : !fields.shape ? "shape" : !fields.offsets ? "data_offsets" : nullptr;
  if (missing) source.fail(fmt::format("the tensor {} has no {}", in_quotes(name), missing));
  const auto* type = std::ranges::find(kTypes, std::string_view(*fields.dtype), &Type::name);
  if (type == std::end(kTypes))
    source.fail(fmt::format("the tensor {} has the dtype {}; supported are F64, F32, F16, BF16, I64, I32, U8 and BOOL",
                            in_quotes(name), in_quotes(*fields.dtype)),
                Code::Unimplemented);
  const Shape shape = shape_of(name, *fields.shape, source);
  if (fields.offsets->size() != 2)
    source.fail(fmt::format("the data_offsets of the tensor {} must be two, begin and end; {} came", in_quotes(name),
                            fields.offsets->size()));
  const uint64_t begin = (*fields.offsets)[0], end = (*fields.offsets)[1];
  if (begin > end || end > data_bytes)
    source.fail(fmt::format("the tensor {} lies at bytes {} to {} of data that have {}", in_quotes(name), begin, end,
                            data_bytes));
  uint64_t bytes = type->size;
  bool overflow = false;
  for (const int64_t extent : shape) overflow |= __builtin_mul_overflow(bytes, static_cast<uint64_t>(extent), &bytes);
  if (overflow || bytes != end - begin)
    source.fail(fmt::format("the tensor {} of shape {} and dtype {} takes {} bytes; its data_offsets [{}, {}] hold {}",
                            in_quotes(name), shape.str(), type->name,
                            overflow ? "more than 2^64" : fmt::to_string(bytes), begin, end, end - begin));
  return {name, type->stored, shape, begin, end};
}

// Every byte of the data belongs to one tensor.
void check_coverage(const std::vector<Entry>& entries, uint64_t data_bytes, const Source& source) {
  std::vector<size_t> order(entries.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return std::pair(entries[i].begin, entries[i].end); });
  uint64_t covered = 0;
  for (const size_t i : order) {
    const Entry& e = entries[i];
    if (e.begin != covered)
      source.fail(
          fmt::format("the tensor {} begins at byte {} of the data, which leaves {}: the one before it ends at {}",
                      in_quotes(e.name), e.begin, e.begin < covered ? "an overlap" : "a gap", covered));
    covered = e.end;
  }
  if (covered != data_bytes)
    source.fail(fmt::format("the tensors take {} bytes of data; the file has {}", covered, data_bytes));
}

}  // namespace

DType dtype_of(Stored s) { return type_of(s).dtype; }
size_t size_of(Stored s) { return type_of(s).size; }

Header parse_header(std::string_view text, uint64_t data_bytes, const Source& source) {
  // The parser would pass over a byte-order mark, and take a zero byte for the end.
  if (text.empty() || text[0] != '{')
    source.fail(fmt::format("the header must begin with '{{'; {} came",
                            text.empty() ? "nothing" : in_quotes(text.substr(0, 1))));
  if (const size_t zero = text.find('\0'); zero != text.npos)
    source.fail(fmt::format("the header is not JSON at byte {}: a zero byte", zero + 1));
  HeaderEvents events(source);
  json::sax_parse(text.begin(), text.end(), &events);
  Header header{{}, std::move(events.metadata_)};
  header.entries.reserve(events.entries_.size());
  for (const auto& [name, fields] : events.entries_)
    header.entries.push_back(entry_of(name, fields, data_bytes, source));
  check_coverage(header.entries, data_bytes, source);
  return header;
}

std::string header_of(const NamedTensors& tensors, const Metadata& metadata, const Source& source) {
  const auto as_json = [&](const std::string& text) {
    try {
      return json(text).dump();
    } catch (const json::exception&) {
      source.fail(fmt::format("names and metadata must be UTF-8; {} is not", in_quotes(text)), Code::InvalidArgument);
    }
  };
  std::string text = "{";
  const auto add = [&](const std::string& key, std::string_view value) {
    text += fmt::format("{}{}:{}", text.size() > 1 ? "," : "", as_json(key), value);
  };
  if (!metadata.empty()) {
    std::string notes;
    for (const auto& [key, value] : metadata)
      notes += fmt::format("{}{}:{}", notes.empty() ? "" : ",", as_json(key), as_json(value));
    add(std::string(kMetadataKey), "{" + notes + "}");
  }
  std::unordered_set<std::string_view> names;
  uint64_t offset = 0;
  for (const auto& [name, t] : tensors) {
    const auto refuse = [&](const std::string& problem, Code code = Code::InvalidArgument) {
      source.fail(fmt::format("the tensor {} {}", in_quotes(name), problem), code);
    };
    if (name == kMetadataKey) refuse("has a name that the format keeps for itself");
    if (!names.insert(name).second) refuse("is given twice");
    if (!t.defined()) refuse("is undefined (None)");
    if (t.is_symbolic())
      fail_at(source.where, "", Code::FailedPrecondition,
              fmt::format("{}: the tensor {} is the symbol {}, which has no value to write", in_quotes(source.path),
                          in_quotes(name), to_string(t)),
              "what session.run returns for it");
    const auto* type = std::ranges::find_if(kTypes, [&](const Type& y) { return y.written && y.dtype == t.dtype(); });
    if (type == std::end(kTypes)) refuse(fmt::format("has the dtype {}, which is not written", name_of(t.dtype())));
    const uint64_t bytes = static_cast<uint64_t>(t.num_elements()) * type->size;
    add(name, fmt::format(R"({{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", type->name,
                          fmt::join(t.shape().dims(), ","), offset, offset + bytes));
    offset += bytes;
  }
  text += "}";
  text.append((8 - text.size() % 8) % 8, ' ');
  if (text.size() > kMostHeader)
    source.fail(fmt::format("the header takes {} bytes; the format allows {}", text.size(), kMostHeader),
                Code::InvalidArgument);
  static_assert(std::endian::native == std::endian::little);
  const uint64_t length = text.size();
  std::string head(kLengthBytes, '\0');
  std::memcpy(head.data(), &length, kLengthBytes);
  return head + text;
}

}  // namespace twofold::io
