// Values as NumPy prints them: numpy.array2string with its default options.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <vector>

#include <twofold/lib/op/high.h>
#include <twofold/lib/op/value.h>

namespace twofold {
namespace {

constexpr int kPrecision = 8;
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

// Shortest digits that read back as the same T, as `digits` after the point and possibly an exponent.
template <class T>
struct Digits {
  std::string whole, fraction;
};
template <class T>
Digits<T> positional(T v) {
  std::string s = fmt::format("{}", std::abs(v));
  if (s.find('e') != s.npos) {  // the shortest digits, laid out without exponent
    s = fmt::format("{:.{}f}", std::abs(v), kPrecision);
  }
  auto point = s.find('.');
  Digits<T> d{s.substr(0, point), point == s.npos ? "" : s.substr(point + 1)};
  if (d.fraction.size() > kPrecision) {
    s = fmt::format("{:.{}f}", std::abs(v), kPrecision);
    point = s.find('.');
    d = {s.substr(0, point), s.substr(point + 1)};
  }
  while (!d.fraction.empty() && d.fraction.back() == '0') d.fraction.pop_back();
  return d;
}
template <class T>
Digits<T> scientific(T v, std::string& exponent) {
  std::string s = fmt::format("{:e}", v);
  // fmt's {:e} has six digits; the shortest that read back are wanted, at most kPrecision of them after the point.
  for (int p = 0; p <= kPrecision; ++p) {
    s = fmt::format("{:.{}e}", std::abs(v), p);
    if (static_cast<T>(std::strtod(s.c_str(), nullptr)) == std::abs(v)) break;
  }
  const auto e = s.find('e');
  exponent = s.substr(e);
  const auto point = s.find('.');
  std::string fraction = point == s.npos ? "" : s.substr(point + 1, e - point - 1);
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  return {s.substr(0, 1), fraction};
}

// One format for all elements of an array.
template <class T>
std::vector<std::string> format_elements(const std::vector<T>& values) {
  std::vector<std::string> out;
  out.reserve(values.size());
  if constexpr (std::is_same_v<T, bool>) {
    for (size_t i = 0; i < values.size(); ++i) out.emplace_back(values[i] ? "True" : "False");
  } else if constexpr (std::is_integral_v<T>) {
    for (T v : values) out.push_back(fmt::format("{}", static_cast<int64_t>(v)));
  } else {
    T largest = 0, smallest = std::numeric_limits<T>::infinity();
    for (T v : values) {
      if (!std::isfinite(v) || v == 0) continue;
      largest = std::max(largest, std::abs(v));
      smallest = std::min(smallest, std::abs(v));
    }
    const bool exponents = largest >= T(1e8) || (largest > 0 && (smallest < T(1e-4) || largest / smallest > T(1000)));
    struct Parts {
      std::string whole, fraction, exponent;
    };
    std::vector<Parts> parts(values.size());
    size_t fraction_width = 0, whole_width = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const T v = values[i];
      if (!std::isfinite(v)) continue;
      Digits<T> d = exponents ? scientific(v, parts[i].exponent) : positional(v);
      parts[i].whole = (std::signbit(v) ? "-" : "") + d.whole;
      parts[i].fraction = d.fraction;
      fraction_width = std::max(fraction_width, d.fraction.size());
      whole_width = std::max(whole_width, parts[i].whole.size());
    }
    for (size_t i = 0; i < values.size(); ++i) {
      const T v = values[i];
      if (!std::isfinite(v)) {
        out.emplace_back(std::isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
        continue;
      }
      const char pad = exponents ? '0' : ' ';
      out.push_back(fmt::format("{:>{}}.{}{}", parts[i].whole, whole_width,
                                parts[i].fraction + std::string(fraction_width - parts[i].fraction.size(), pad),
                                parts[i].exponent));
    }
  }
  size_t width = 0;
  for (const auto& s : out) width = std::max(width, s.size());
  for (auto& s : out) s.insert(0, width - s.size(), ' ');
  return out;
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
  std::string print(size_t indent) {
    next_ = 0;
    return axis(0, indent);
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

  std::string axis(int a, size_t indent) {
    if (a == shape_.rank()) return elements_[next_++];
    std::string text = "[";
    const bool last = a + 1 == shape_.rank();
    size_t column = indent + 1;
    bool first = true;
    for (int64_t i : shown(shape_[a], summarise_)) {
      const std::string item = i < 0 ? std::string("...") : axis(a + 1, indent + 1);
      if (last) {
        if (!first) {
          if (column + 1 + item.size() > kWidth - static_cast<size_t>(a)) {
            text += "\n" + std::string(indent + 1, ' ');
            column = indent + 1;
          } else {
            text += ' ';
            ++column;
          }
        }
        column += item.size();
      } else if (!first) {
        text += std::string(static_cast<size_t>(shape_.rank() - a - 1), '\n') + std::string(indent + 1, ' ');
      }
      text += item;
      first = false;
    }
    return text + "]";
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
    if (v.shape().rank() == 0) {
      const T x = *static_cast<const T*>(v.data());
      if constexpr (std::is_same_v<T, bool>) return x ? "True" : "False";
      return fmt::format("{}", x);
    }
    if (v.num_elements() == 0) {
      return v.shape().rank() == 1 ? "[]" : fmt::format("[] (shape {})", v.shape().str());
    }
    return Printer<T>(v).print(indent);
  });
}

}  // namespace

std::string to_string(const Tensor& t) {
  if (!t.defined()) return "None";
  if (t.is_concrete()) return value_text(t, 0);
  const TensorSpec& s = symbol_spec(t);
  const std::string shape = s.shape.has_rank() ? fmt::format(", shape={}", s.shape.str()) : "";
  return fmt::format("Tensor(\"{}\"{}, dtype={})", symbol_name(t), shape, name_of(s.dtype));
}

std::string repr(const Tensor& t) {
  if (!t.is_concrete()) return to_string(t);
  return fmt::format("Tensor({}, shape={}, dtype={}, device={})", value_text(t, 7), t.shape().str(), name_of(t.dtype()),
                     t.device());
}

std::ostream& operator<<(std::ostream& out, const Tensor& t) { return out << to_string(t); }

}  // namespace twofold
