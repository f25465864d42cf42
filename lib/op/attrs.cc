#include <twofold/lib/op/attrs.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace twofold {

std::string print_field(int64_t v) { return std::to_string(v); }
std::string print_field(uint64_t v) { return std::to_string(v); }
std::string print_field(double v) { return fmt::format("{}", v); }
std::string print_field(bool v) { return v ? "True" : "False"; }
std::string print_field(const std::string& v) { return "'" + v + "'"; }
std::string print_field(const Shape& v) { return v.str(); }
std::string print_field(const Axes& v) { return fmt::format("[{}]", fmt::join(v.begin(), v.end(), ", ")); }
std::string print_field(DType v) { return std::string(name_of(v)); }

std::string internal::print_fields(std::string_view names, std::span<const std::string> values) {
  std::string text;
  for (const std::string& value : values) {
    const auto comma = names.find(',');
    text += (text.empty() ? "" : ", ") + std::string(names.substr(0, comma)) + "=" + value;
    names.remove_prefix(comma == names.npos ? names.size() : names.find_first_not_of(' ', comma + 1));
  }
  return text;
}

}  // namespace twofold
