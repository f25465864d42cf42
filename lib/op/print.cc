// Values as NumPy prints them: numpy.array2string with its default options, as of NumPy 2.4.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <ostream>
#include <vector>

#include <twofold/lib/op/value.h>

namespace twofold {
namespace {

constexpr size_t kPrecision = 8;
constexpr int64_t kThreshold = 1000;
constexpr int64_t kEdge = 3;
constexpr size_t kWidth = 75;

// The indices of an axis that are shown; a gap stands for the rest.
std::vector<int64_t> shown(int64_t extent, bool summarise) {
  std::vector<int64_t> which;
  if (!summarise || extent <= 2 * kEdge) {
    for (int64_t i = 0; i < extent; ++i) which.push_back(i);
  } else {
    for (int64_t i = 0; i < kEdge; ++i) which.push_back(i);
    which.push_back(-1);
    for (int64_t i = extent - kEdge; i < extent; ++i) which.push_back(i);
  }
  return which;
}

// A number cut at its point and its exponent: "-1" "25" "e+10". Trailing zeros of the fraction are dropped.
struct Parts {
  std::string whole, fraction, exponent;
};

template <class T>
Parts parts_of(T v, std::chars_format format, int precision) {
  char text[512];  // the widest float64 has 309 digits before the point
  const auto end = precision < 0 ? std::to_chars(text, text + sizeof text, v, format)
                                 : std::to_chars(text, text + sizeof text, v, format, precision);
  const std::string s(text, end.ptr);
  const auto e = std::min(s.find('e'), s.size());
  const auto point = std::min(s.find('.'), e);
  return {s.substr(0, point), point == e ? "" : s.substr(point + 1, e - point - 1), s.substr(e)};
}

// The shortest digits that read back as v, but no more than kPrecision after the point.
template <class T>
Parts shortest(T v, std::chars_format format) {
  Parts p = parts_of(v, format, -1);
  if (p.fraction.size() > kPrecision) p = parts_of(v, format, kPrecision);
  p.fraction.erase(p.fraction.find_last_not_of('0') + 1);
  return p;
}

std::string non_finite(double v) { return std::isnan(v) ? "nan" : v > 0 ? "inf" : "-inf"; }

// Whether an array with these elements is printed with exponents.
template <class T>
bool wants_exponents(const std::vector<T>& values) {
  T largest = 0, smallest = std::numeric_limits<T>::infinity();
  for (T v : values) {
    if (!std::isfinite(v) || v == 0) continue;
    largest = std::max(largest, std::abs(v));
    smallest = std::min(smallest, std::abs(v));
  }
  constexpr T kLargest = std::is_same_v<T, float> ? T(1e6) : T(1e8);
  return largest >= kLargest || (largest > 0 && (smallest < T(1e-4) || largest / smallest > T(1000)));
}

// One format for all elements of an array.
template <class T>
std::vector<std::string> format_floating(const std::vector<T>& values) {
  const bool exponents = wants_exponents(values);
  const auto format = exponents ? std::chars_format::scientific : std::chars_format::fixed;
  std::vector<Parts> parts(values.size());
  size_t whole = 0, fraction = 0, exponent = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) continue;
    parts[i] = shortest(values[i], format);
    whole = std::max(whole, parts[i].whole.size());
    fraction = std::max(fraction, parts[i].fraction.size());
    exponent = std::max(exponent, parts[i].exponent.size());
  }
  std::vector<std::string> out;
  for (size_t i = 0; i < values.size(); ++i) {
    Parts& p = parts[i];
    if (!std::isfinite(values[i])) {
      out.push_back(non_finite(static_cast<double>(values[i])));
    } else if (!exponents) {
      out.push_back(fmt::format("{:>{}}.{:<{}}", p.whole, whole, p.fraction, fraction));
    } else {
      // Equally many digits each, true ones beyond the shortest.
      if (p.fraction.size() < fraction) p = parts_of(values[i], format, static_cast<int>(fraction));
      p.exponent.insert(2, exponent - p.exponent.size(), '0');
      out.push_back(fmt::format("{:>{}}.{}{}", p.whole, whole, p.fraction, p.exponent));
    }
  }
  return out;
}

template <class T>
std::vector<std::string> format_elements(const std::vector<T>& values) {
  std::vector<std::string> out;
  if constexpr (std::is_same_v<T, bool>) {
    for (bool v : values) out.emplace_back(v ? " True" : "False");
  } else if constexpr (std::is_integral_v<T>) {
    for (T v : values) out.push_back(fmt::format("{}", static_cast<int64_t>(v)));
  } else {
    out = format_floating(values);
  }
  size_t width = 0;
  for (const auto& s : out) width = std::max(width, s.size());
  for (auto& s : out) s.insert(0, width - s.size(), ' ');
  return out;
}

// A single number: positional from 1e-4 up to 1e16 (float32: 1e6), and a whole one without NumPy's ".0".
template <class T>
std::string format_scalar(T v) {
  if constexpr (std::is_same_v<T, bool>) {
    return v ? "True" : "False";
  } else if constexpr (std::is_integral_v<T>) {
    return fmt::format("{}", static_cast<int64_t>(v));
  } else {
    if (!std::isfinite(v)) return non_finite(static_cast<double>(v));
    const double size = std::abs(static_cast<double>(v));
    const bool positional = size == 0 || (size >= 1e-4 && size < (std::is_same_v<T, float> ? 1e6 : 1e16));
    const Parts p = parts_of(v, positional ? std::chars_format::fixed : std::chars_format::scientific, -1);
    return p.whole + (p.fraction.empty() ? "" : "." + p.fraction) + p.exponent;
  }
}

template <class T>
class Printer {
 public:
  explicit Printer(const Value& v) : shape_(v.shape()), data_(static_cast<const T*>(v.data())) {
    summarise_ = v.num_elements() > kThreshold;
    std::vector<T> values;
    collect(0, 0, values);
    elements_ = format_elements(values);
  }
  /// Lines after the first begin with `indent` spaces and one for each open bracket.
  std::string print(size_t indent) {
    next_ = 0;
    return axis(0, std::string(indent + 1, ' '), kWidth);
  }

 private:
  void collect(int axis, int64_t offset, std::vector<T>& values) const {
    if (axis == shape_.rank()) {
      values.push_back(data_[offset]);
      return;
    }
    for (int64_t i : shown(shape_[axis], summarise_))
      if (i >= 0) collect(axis + 1, offset * shape_[axis] + i, values);
  }

  std::string axis(int a, const std::string& indent, size_t width) {
    return a + 1 == shape_.rank() ? row(indent, width - 1) : rows(a, indent, width);
  }

  std::string rows(int a, const std::string& indent, size_t width) {
    std::string text = "[";
    for (int64_t i : shown(shape_[a], summarise_)) {
      if (text.size() > 1) text += std::string(static_cast<size_t>(shape_.rank() - a - 1), '\n') + indent;
      text += i < 0 ? "..." : axis(a + 1, indent + ' ', width - 1);
    }
    return text += ']';
  }

  std::string row(const std::string& indent, size_t width) {
    std::string text = "[", line = indent;
    for (int64_t i : shown(shape_[shape_.rank() - 1], summarise_)) {
      const std::string word = i < 0 ? "..." : elements_[next_++];
      if (line.size() + word.size() > width && line.size() > indent.size()) {
        text += line.erase(line.find_last_not_of(' ') + 1);
        text += '\n';
        line = indent;
      }
      line += word + ' ';
    }
    text += line;
    text.back() = ']';
    return text.erase(1, indent.size());
  }

  Shape shape_;
  const T* data_;
  bool summarise_;
  std::vector<std::string> elements_;
  size_t next_ = 0;
};

std::string value_text(const Tensor& t, size_t indent) {
  const Value& v = *t.value();
  if (v.is_shell()) return fmt::format("<shell of shape {}>", v.shape().str());
  if (!v.device().is_cpu()) return value_text(copy_to(t, {}), indent);
  return dispatch(v.dtype(), [&](auto zero) -> std::string {
    using T = decltype(zero);
    if (v.shape().rank() == 0) return format_scalar(*static_cast<const T*>(v.data()));
    if (v.num_elements() == 0) return "[]";
    return Printer<T>(v).print(indent);
  });
}

}  // namespace

std::string to_string(const Tensor& t) {
  if (!t.defined()) return "None";
  if (t.is_concrete()) return value_text(t, 0);
  const TensorSpec& s = t.owner()->symbol_spec(t.node(), t.output());
  const std::string shape = s.shape.has_rank() ? fmt::format(", shape={}", s.shape.str()) : "";
  return fmt::format("Tensor(\"{}\"{}, dtype={})", t.name(), shape, name_of(s.dtype));
}

std::string repr(const Tensor& t) {
  if (!t.is_concrete()) return to_string(t);
  return fmt::format("Tensor({}, shape={}, dtype={}, device={})", value_text(t, 7), t.shape().str(), name_of(t.dtype()),
                     t.device());
}

std::ostream& operator<<(std::ostream& out, const Tensor& t) { return out << to_string(t); }

}  // namespace twofold
