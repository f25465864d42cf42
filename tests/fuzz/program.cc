#include <twofold/lib/op/random_key.h>

#include "program.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "ops.h"

namespace fuzz {

bool Program::has_gradients() const {
  return std::ranges::any_of(body, [](const Instruction& i) { return i.op == "gradient" || i.op == "watch"; });
}
bool Program::has_writes() const {
  return std::ranges::any_of(
      body, [](const Instruction& i) { return i.op.starts_with("assign") || i.op.ends_with("_write"); });
}
bool Program::has_control_flow() const { return std::ranges::any_of(body, is_control_flow); }

namespace {

template <class T>
T element(Rng& rng) {
  if constexpr (std::is_same_v<T, bool>) {
    return rng.one_in(2);
  } else if constexpr (std::is_integral_v<T>) {
    if (rng.one_in(20)) return rng.one_in(2) ? std::numeric_limits<T>::max() : std::numeric_limits<T>::min();
    return static_cast<T>(rng.below(9) - (std::is_signed_v<T> ? 4 : 0));
  } else {
    switch (rng.below(40)) {
      case 0: return T(0);
      case 1: return T(-0.0);
      case 2: return rng.one_in(4) ? std::numeric_limits<T>::infinity() : T(1);
      case 3: return rng.one_in(4) ? std::numeric_limits<T>::quiet_NaN() : T(-1);
      case 4: return T(rng.below(5) - 2);
      default: return static_cast<T>(static_cast<double>(rng.next() >> 11) * 0x1p-53 * 6 - 3);
    }
  }
}

/// One from the ends of what the dtype holds.
template <class T>
T extreme(Rng& rng) {
  using L = std::numeric_limits<T>;
  if constexpr (std::is_same_v<T, bool>) {
    return rng.one_in(2);
  } else if constexpr (std::is_integral_v<T>) {
    const T ends[] = {L::min(), T(L::min() + 1), 0, 1, T(L::max() - 1), L::max()};
    return ends[rng.below(std::size(ends))];
  } else {
    const T ends[] = {0, 1, L::max(), L::min(), L::denorm_min(), L::infinity(), L::quiet_NaN(), T(1e20), T(1e-20)};
    const T v = ends[rng.below(std::size(ends))];
    return rng.one_in(2) ? -v : v;
  }
}

}  // namespace

tf::Tensor leaf_data(tf::DType dtype, const tf::Shape& shape, uint64_t seed) {
  Rng rng(seed);
  return tf::dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> elements(static_cast<size_t>(shape.num_elements()));
    // A leaf in ten is made of extremes, one element in three.
    const bool extremes = rng.one_in(10);
    for (size_t k = 0; k < elements.size(); ++k)
      elements[k] = extremes && rng.one_in(3) ? extreme<T>(rng) : element<T>(rng);
    if constexpr (std::is_same_v<T, bool>) {
      // A vector of bool has no elements in memory.
      std::vector<uint8_t> bytes(elements.begin(), elements.end());
      return tf::cast(tf::tensor(bytes, shape), tf::bool_);
    } else {
      return tf::tensor(elements, shape);
    }
  });
}

namespace {

template <class R>
std::string braces(const R& r) {
  std::string s = "{";
  for (int64_t e : r) s += (s.size() > 1 ? ", " : "") + std::to_string(e);
  return s + "}";
}
std::string braces(const tf::Shape& s) {
  std::vector<int64_t> extents;
  for (int k = 0; k < s.rank(); ++k) extents.push_back(s.extent(k).value_or(-1));
  return braces(extents);
}
std::string shape_text(const tf::Shape& s) { return s.has_rank() ? "tf::Shape" + braces(s) : "tf::unknown_shape"; }
std::string dtype_text(tf::DType t) { return t == tf::bool_ ? "tf::bool_" : "tf::" + std::string(tf::name_of(t)); }
std::string number_text(double v) {
  std::ostringstream s;
  s.precision(17);
  s << v;
  const std::string text = s.str();
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

/// A leaf's elements in full while they are few; else as what computes them.
std::string data_text(tf::DType dtype, const tf::Shape& shape, uint64_t seed) {
  if (shape.num_elements() > 32)
    return "fuzz::leaf_data(" + dtype_text(dtype) + ", " + shape_text(shape) + ", " + std::to_string(seed) + "u)";
  const tf::Tensor t = leaf_data(dtype, shape, seed);
  std::ostringstream s;
  tf::dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    const char* names[] = {"float", "double", "int32_t", "int64_t", "uint8_t", "bool"};
    s << "tf::tensor(std::vector<" << names[static_cast<int>(dtype)] << ">{";
    s.precision(std::numeric_limits<T>::max_digits10);
    bool first = true;
    for (T v : t.data<T>()) {
      s << (first ? "" : ", ");
      first = false;
      if constexpr (std::is_floating_point_v<T>) {
        if (std::isnan(v))
          s << "NAN";
        else if (std::isinf(v))
          s << (v < 0 ? "-INFINITY" : "INFINITY");
        else
          s << v << (v == 0 && std::signbit(v) ? ".0" : "");
      } else if constexpr (std::is_same_v<T, int64_t>) {
        v == std::numeric_limits<T>::min() ? s << "INT64_MIN" : s << v;
      } else {
        s << +v;
      }
    }
  });
  s << "}, " << shape_text(shape) << ")";
  return s.str();
}

std::string values_text(const std::vector<int>& values, size_t from) {
  std::string s;
  for (size_t k = from; k < values.size(); ++k) s += (k > from ? ", v" : "v") + std::to_string(values[k]);
  return s;
}

std::string gradient_text(const Instruction& i) {
  const std::string y = "v" + std::to_string(i.inputs[0]);
  std::string xs = values_text(i.inputs, i.flag[0] ? 2 : 1);
  for (int v : i.variables) xs += (xs.empty() ? "w" : ", w") + std::to_string(v);
  if (!i.flag[1]) return "tape.gradient(" + y + ", {" + xs + "})";
  return "tf::gradients({" + y + "}, {" + xs + "}" + (i.flag[0] ? ", {v" + std::to_string(i.inputs[1]) + "})" : ")");
}

/// The op's text with the instruction's own words in place of the `$`s.
std::string expand(const Instruction& i) {
  const std::string& text = op_entry(i.op).text;
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '$') {
      out += text[at];
      continue;
    }
    size_t end = at + 1;
    while (end < text.size() && std::isalnum(static_cast<unsigned char>(text[end]))) ++end;
    const std::string key = text.substr(at + 1, end - at - 1);
    at = end - 1;
    if (std::isdigit(static_cast<unsigned char>(key[0]))) {
      out += "v" + std::to_string(i.inputs[static_cast<size_t>(std::stoi(key))]);
    } else if (key == "all") {
      out += values_text(i.inputs, 0);
    } else if (key == "rest") {
      out += values_text(i.inputs, 1);
    } else if (key == "gradient") {
      out += gradient_text(i);
    } else if (key == "placeholder") {
      out += "input(" + dtype_text(i.dtype) + ", " +
             (i.declared.has_rank() ? braces(i.declared) : "tf::unknown_shape") + ")";
    } else if (key == "v") {
      out += "w" + std::to_string(i.variables[0]);
    } else if (key == "axes") {
      out += braces(i.axes);
    } else if (key == "sizes") {
      out += braces(i.sizes);
    } else if (key == "strides") {
      std::vector<int64_t> strides;  // as ops_slices.cc keeps them
      for (int64_t e : i.shape) strides.push_back(e < 3 ? e + 1 : 2 - e);
      out += braces(strides);
    } else if (key == "paddings") {
      std::string pairs;
      for (int k = 0; k < i.axes.size(); ++k)
        pairs += (k ? ", {" : "{") + std::to_string(i.axes[k]) + ", " + std::to_string(i.sizes[k]) + "}";
      out += "{" + pairs + "}";
    } else if (key == "shape") {
      out += shape_text(i.shape);
    } else if (key == "dtype") {
      out += dtype_text(i.dtype);
    } else if (key == "n") {
      out += std::to_string(i.integer);
    } else if (key == "m") {
      out += std::to_string(i.sizes[0]);
    } else if (key == "x" || key == "y") {
      out += number_text(i.number[key == "y"]);
    } else if (key == "literal") {
      out += tf::is_floating(i.dtype) ? number_text(i.number[0]) : std::to_string(i.integer);
    } else if (key == "f" || key == "g") {
      out += i.flag[key == "g"] ? "true" : "false";
    } else if (key == "seed") {
      out += i.flag[0] ? ", .seed = " + std::to_string(i.integer) : "";
    } else if (key == "data") {
      out += data_text(i.dtype, i.shape, i.data);
    }
  }
  return out;
}

}  // namespace

namespace {

// What every printed program begins and ends with: one body, executed in both modes.
constexpr const char* kPrologue = R"(#include <twofold/twofold.h>

#include <cmath>
#include <iostream>

namespace tf = twofold;
using Tensors = std::vector<tf::Tensor>;

)";
constexpr const char* kEpilogue = R"(
std::vector<Tensors> run_eagerly() {
  const tf::EagerMode eager;
  const auto device = tf::device(kDevice);
  tf::set_random_seed(kSeed);
  const auto w = variables();
  const auto random = tf::new_body_key("step");
  std::vector<Tensors> rows;
  for (int run = 0; run < kRuns; ++run) {
    const tf::BodyExecution frame(random);
    Tensors fed = feeds(run);
    rows.push_back(body(w, fed));
    for (const tf::Variable& v : w) rows.back().push_back(v);
  }
  return rows;
}

std::vector<Tensors> run_deferred() {
  const auto device = tf::device(kDevice);
  tf::set_random_seed(kSeed);
  const auto w = variables();
  Tensors inputs, made;
  {
    const tf::BodyExecution frame(tf::new_body_key("step"));
    made = body(w, inputs);
  }
  std::vector<tf::Fetch> fetches;
  for (const tf::Tensor& t : made)
    if (t.is_symbolic()) fetches.emplace_back(t);
  for (const tf::Variable& v : w) fetches.emplace_back(v);
  tf::Session session({.optimize = false});
  session.run(tf::global_variables_initializer());
  std::vector<Tensors> rows;
  for (int run = 0; run < kRuns; ++run) {
    std::vector<tf::Feed> fed;
    const Tensors values = feeds(run);
    for (size_t k = 0; k < inputs.size(); ++k) fed.emplace_back(inputs[k], values[k]);
    const Tensors given = session.run(fetches, fed);
    auto next = given.begin();
    Tensors row;
    for (const tf::Tensor& t : made) row.push_back(t.is_symbolic() ? *next++ : t);
    row.insert(row.end(), next, given.end());
    rows.push_back(row);
  }
  return rows;
}

int main() {
  const auto eager = run_eagerly(), deferred = run_deferred();
  for (int run = 0; run < kRuns; ++run)
    for (size_t k = 0; k < eager[run].size(); ++k) std::cout << eager[run][k] << " | " << deferred[run][k] << '\n';
}
)";

/// The line that makes the instruction's values.
std::string line(const Instruction& i) {
  std::string made = expand(i);
  if (i.scope || !i.after.empty()) {
    std::string guards;
    if (i.scope) guards += "const auto scope = tf::name_scope(\"" + std::string(i.scope == 1 ? "a" : "b") + "\"); ";
    if (!i.after.empty()) guards += "const auto after = tf::control_dependencies({" + values_text(i.after, 0) + "}); ";
    made = "[&] { " + guards + "return " + made + "; }()";
  }
  const std::string name = "v" + std::to_string(i.output);
  if (i.outputs == 0) return "  " + made + ";\n";
  if (i.op == "gradient") {
    std::string text = "  const auto d" + name + " = " + made + ";\n  const tf::Tensor ";
    for (int k = 0; k < i.outputs; ++k)
      text += (k ? ", v" : "v") + std::to_string(i.output + k) + " = d" + name + "[" + std::to_string(k) + "]";
    return text + ";\n";
  }
  std::string names = name;
  for (int k = 1; k < i.outputs; ++k) names += ", v" + std::to_string(i.output + k);
  return "  const auto " + (i.outputs > 1 ? "[" + names + "]" : names) + " = " + made + ";\n";
}

}  // namespace

std::string to_cpp(const Program& p) {
  std::ostringstream s;
  s << kPrologue << "constexpr int64_t kSeed = " << p.seed << ";\nconstexpr int kRuns = " << p.runs
    << ";\nconstexpr const char* kDevice = \"" << p.device << "\";\n\n"
    << "std::vector<tf::Variable> variables() {\n";
  for (size_t k = 0; k < p.variables.size(); ++k) {
    const VariableDecl& v = p.variables[k];
    s << "  tf::Variable w" << k << "("
      << (v.random ? "tf::random_normal(" + shape_text(v.shape) + ", {.dtype = " + dtype_text(v.dtype) + "})"
                   : data_text(v.dtype, v.shape, v.data))
      << ", {.name = \"w\", .trainable = " << (v.trainable ? "true" : "false") << "});\n";
  }
  const auto list = [&](const char* name, size_t n) {
    std::string text = "{";
    for (size_t k = 0; k < n; ++k) text += (k ? ", " : "") + std::string(name) + std::to_string(k);
    return text + "}";
  };
  s << "  return " << list("w", p.variables.size()) << ";\n}\n\nTensors feeds(int run) {\n";
  for (int run = 0; run < p.runs; ++run) {
    s << "  if (run == " << run << ") return {";
    const char* separator = "";
    for (const Instruction& i : p.body) {
      if (i.op != "placeholder") continue;
      s << separator << data_text(i.dtype, i.shape, feed_seed(i.data, run));
      separator = ", ";
    }
    s << "};\n";
  }
  s << "  return {};\n}\n\nTensors body(const std::vector<tf::Variable>& w, Tensors& fed) {\n"
    << "  size_t next = 0;\n"
    << "  const auto input = [&](tf::DType dtype, const tf::Shape& shape) {\n"
    << "    return tf::executing_eagerly() ? fed[next++] : fed.emplace_back(tf::placeholder(dtype, shape));\n  };\n";
  for (size_t k = 0; k < p.variables.size(); ++k) s << "  const tf::Variable& w" << k << " = w[" << k << "];\n";
  if (p.has_gradients()) s << "  tf::GradientTape tape({.persistent = true});\n";
  std::string all;
  for (const Instruction& i : p.body) {
    s << line(i);
    for (int k = 0; k < i.outputs && i.op != "group" && i.op != "assert_that"; ++k)
      all += (all.empty() ? "v" : ", v") + std::to_string(i.output + k);
  }
  s << "  return {" << all << "};\n}\n" << kEpilogue;
  return s.str();
}

}  // namespace fuzz
