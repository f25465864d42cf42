#include <fmt/format.h>

#include <ostream>

#include <twofold/lib/core/dtype.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/core/shape.h>

namespace twofold {

std::ostream& operator<<(std::ostream& out, DType t) { return out << name_of(t); }
std::ostream& operator<<(std::ostream& out, const Shape& s) { return out << s.str(); }

namespace {
std::string extents(const Shape& s, std::string_view separator) {
  std::string text;
  for (int i = 0; i < s.rank(); ++i) {
    if (i) text += separator;
    text += s.knows(i) ? std::to_string(s[i]) : "?";
  }
  return text;
}
}  // namespace

std::string Shape::str() const {
  if (!has_rank()) return "<unknown>";
  return fmt::format("({}{})", extents(*this, ", "), rank() == 1 ? "," : "");
}

std::string Shape::brackets() const { return has_rank() ? fmt::format("[{}]", extents(*this, ",")) : "<unknown>"; }

void internal::throw_bad_shape(int64_t rank, int64_t extent, std::source_location where) {
  std::string message;
  if (extent == INT64_MIN) {
    message = "A shape has an extent beyond int64, as unsigned numbers below 0 are";
  } else if (extent < -1) {
    message = fmt::format("A shape has the extent {}; extents are >= 0, or -1 for unknown", extent);
  } else if (rank <= 0) {
    message = "An axis cannot be added to a shape of unknown rank";
  } else {
    message = fmt::format("A tensor of rank {} was asked for; at most {} axes are supported", rank, kMaxRank);
  }
  if (where.line() == 0) fail(Code::InvalidArgument, std::move(message));
  fail_at(where, "", Code::InvalidArgument, std::move(message));
}

std::string_view name_of(Code code) {
  switch (code) {
    case Code::InvalidArgument: return "InvalidArgument";
    case Code::FailedPrecondition: return "FailedPrecondition";
    case Code::NotFound: return "NotFound";
    case Code::OutOfRange: return "OutOfRange";
    case Code::Unimplemented: return "Unimplemented";
    case Code::ResourceExhausted: return "ResourceExhausted";
    case Code::DataLoss: return "DataLoss";
    case Code::Cancelled: return "Cancelled";
    case Code::Internal: break;
  }
  return "Internal";
}

namespace {
// libstdc++ lies in /usr/include/c++/12, libc++ in .../include/c++/v1.
bool of_standard_library(std::source_location where) {
  return std::string_view(where.file_name()).find("/include/c++/") != std::string_view::npos;
}
ErrorFacts without_foreign_line(ErrorFacts facts) {
  if (of_standard_library(facts.where)) facts.where = {};
  return facts;
}

std::string describe(Code code, const ErrorFacts& facts) {
  std::string text = fmt::format("{}: {}", name_of(code), facts.message);
  std::string about;
  const auto add = [&](const std::string& part) { about += (about.empty() ? "" : ", ") + part; };
  if (!facts.op.empty()) add("op " + facts.op);
  if (!facts.node.empty()) add("node '" + facts.node + "'");
  if (!facts.layer.empty()) add("layer " + facts.layer);
  if (facts.where.line() != 0) add(line_of(facts.where));
  if (!about.empty()) text += " [" + about + "]";
  if (!facts.hint.empty()) text += " Try: " + facts.hint;
  return text;
}
}  // namespace

std::string line_of(std::source_location where) {
  if (of_standard_library(where)) return "a line of the standard library";
  return fmt::format("{}:{}", where.file_name(), where.line());
}

Error::Error(Code code, ErrorFacts facts)
    : std::runtime_error(describe(code, facts = without_foreign_line(std::move(facts)))),
      code_(code),
      facts_(std::move(facts)) {}

}  // namespace twofold
