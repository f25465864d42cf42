#include "tensor_io.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "command.h"

namespace command {

namespace tf = twofold;
using nlohmann::json;

namespace {

json json_of(const std::string& text) {
  if (text == "nan") return std::nan("");
  if (text == "inf" || text == "+inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  return json::parse(text, nullptr, false);
}

// The extents of nested lists, by the first of each.
std::vector<int64_t> extents_of(const json& j) {
  std::vector<int64_t> shape;
  for (const json* e = &j; e->is_array(); e = &e->front()) {
    shape.push_back(static_cast<int64_t>(e->size()));
    if (e->empty()) break;
  }
  return shape;
}

// Whether all lists have these extents, and numbers or truths in them.
bool is_rectangular(const json& j, std::span<const int64_t> shape) {
  if (shape.empty()) return j.is_number() || j.is_boolean();
  return j.is_array() && static_cast<int64_t>(j.size()) == shape[0] &&
         std::ranges::all_of(j, [&](const json& e) { return is_rectangular(e, shape.subspan(1)); });
}

template <class T>
T element(const json& j, const std::string& text, tf::DType dtype) {
  const auto refuse = [&]() -> UsageError {
    return UsageError(fmt::format("'{}' in '{}' is no {}", j.dump(), text, tf::name_of(dtype)));
  };
  if constexpr (std::is_same_v<T, bool>) {
    if (!j.is_boolean()) throw refuse();
    return j.get<bool>();
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!j.is_number()) throw refuse();
    const double v = j.get<double>();
    if (std::isfinite(v) && !std::isfinite(static_cast<T>(v))) throw refuse();
    return static_cast<T>(v);
  } else {
    if (j.is_number_unsigned()) {
      if (j.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<T>::max())) throw refuse();
      return static_cast<T>(j.get<uint64_t>());
    }
    if (!j.is_number_integer()) throw refuse();
    const auto v = j.get<int64_t>();
    if (v < static_cast<int64_t>(std::numeric_limits<T>::min())) throw refuse();
    return static_cast<T>(v);
  }
}

void flatten(const json& j, std::vector<const json*>& out) {
  if (!j.is_array()) return out.push_back(&j);
  for (const json& e : j) flatten(e, out);
}

template <class T>
tf::Tensor tensor_of(const json& j, const std::vector<int64_t>& shape, const std::string& text, tf::DType dtype) {
  std::vector<const json*> flat;
  flatten(j, flat);
  tf::Shape extents;
  for (int64_t d : shape) extents.push_back(d);
  const auto values = std::make_unique<T[]>(flat.size() + 1);  // no vector<bool>
  for (size_t i = 0; i < flat.size(); ++i) values[i] = element<T>(*flat[i], text, dtype);
  return tf::tensor(std::span<const T>(values.get(), flat.size()), extents);
}

// What a file holds under a name; of a file with one tensor that one.
tf::Tensor entry(const tf::io::TensorFile& file, const std::string& path, const std::string& name,
                 const std::string& argument) {
  if (!name.empty()) {
    if (const tf::Tensor* t = file.find(name)) return *t;
  } else if (const tf::Tensor* t = file.find(argument)) {
    return *t;
  } else if (file.size() == 1) {
    return file.begin()->second;
  }
  std::string names;
  for (const auto& [each, t] : file) names += (names.empty() ? "" : ", ") + each;
  throw UsageError(name.empty() ? fmt::format("'{}' has several tensors, of which none is called '{}'; "
                                              "--feed {}={}:NAME, of {}",
                                              path, argument, argument, path, names)
                                : fmt::format("'{}' has no '{}'; it has {}", path, name, names));
}

tf::Tensor read_file(const std::string& given, const std::string& argument) {
  if (given.ends_with(".npy")) return tf::io::load_npy(given);
  for (const char* ending : {".npz", ".safetensors"}) {
    std::string path = given, name;
    const size_t at = given.find(std::string(ending) + ':');
    if (at != std::string::npos) {
      path = given.substr(0, at + std::string_view(ending).size());
      name = given.substr(path.size() + 1);
    }
    if (!path.ends_with(ending)) continue;
    if (path.ends_with(".npz")) return entry(tf::io::load_npz(path), path, name, argument);
    return entry(tf::io::load_safetensors(path), path, name, argument);
  }
  throw UsageError(
      fmt::format("'{}' for '{}' is neither a number, a list such as [1, 2], nor the name of a .npy, .npz "
                  "or .safetensors file",
                  given, argument));
}

void check_fits(const tf::SavedValue& wanted, const tf::Tensor& t) {
  if (t.dtype() != wanted.dtype)
    throw tf::Error(
        tf::Code::InvalidArgument,
        {.message = fmt::format("'{}' takes {} of shape {} and was given {} of shape {}; in NumPy: "
                                "numpy.save('{}.npy', {}.astype('{}'))",
                                wanted.name, tf::name_of(wanted.dtype), wanted.shape.str(), tf::name_of(t.dtype()),
                                t.shape().str(), wanted.name, wanted.name, tf::name_of(wanted.dtype))});
  if (!t.shape().compatible_with(wanted.shape))
    throw tf::Error(tf::Code::InvalidArgument,
                    {.message = fmt::format("'{}' takes shape {} and was given {}", wanted.name, wanted.shape.str(),
                                            t.shape().str())});
}

}  // namespace

bool is_value(const std::string& text) { return !json_of(text).is_discarded(); }

tf::Tensor parse_value(const std::string& text, tf::DType dtype) {
  const json j = json_of(text);
  const std::vector<int64_t> shape = extents_of(j);
  if (j.is_discarded() || shape.size() > tf::kMaxRank || !is_rectangular(j, shape))
    throw UsageError(fmt::format("'{}' is neither a number nor a rectangular list of numbers", text));
  switch (dtype) {
    case tf::float32: return tensor_of<float>(j, shape, text, dtype);
    case tf::float64: return tensor_of<double>(j, shape, text, dtype);
    case tf::int32: return tensor_of<int32_t>(j, shape, text, dtype);
    case tf::int64: return tensor_of<int64_t>(j, shape, text, dtype);
    case tf::uint8: return tensor_of<uint8_t>(j, shape, text, dtype);
    case tf::bool_: return tensor_of<bool>(j, shape, text, dtype);
    default: break;  // lists of tensors, which no text or file has
  }
  throw UsageError("a dtype that this command does not know");
}

Values read_feeds(const Model& model, const std::vector<std::string>& feeds) {
  const auto& arguments = model.signature().arguments;
  Values values;
  for (const std::string& feed : feeds) {
    const size_t at = feed.find('=');
    if (at == std::string::npos || at == 0) throw UsageError(fmt::format("--feed takes NAME=VALUE, not '{}'", feed));
    const std::string name = feed.substr(0, at), text = feed.substr(at + 1);
    const auto argument = std::ranges::find(arguments, name, &tf::SavedValue::name);
    if (argument == arguments.end())
      throw UsageError(fmt::format("there is no argument '{}' to feed; '{}' takes {}", name, model.signature().name,
                                   names_of(arguments)));
    const tf::Tensor value = is_value(text) ? parse_value(text, argument->dtype) : read_file(text, name);
    check_fits(*argument, value);
    if (!values.emplace(name, value).second) throw UsageError(fmt::format("'{}' is fed twice", name));
  }
  return values;
}

void check_complete(const Model& model, const Values& feeds) {
  std::string missing;
  for (const tf::SavedValue& a : model.signature().arguments)
    if (!feeds.contains(a.name))
      missing += fmt::format("{}--feed {}=... ({} {})", missing.empty() ? "" : ", ", a.name, tf::name_of(a.dtype),
                             a.shape.str());
  if (!missing.empty()) throw UsageError(fmt::format("'{}' lacks {}", model.signature().name, missing));
}

void print_values(const NamedValues& values) {
  for (const auto& [name, t] : values)
    fmt::print("{} = {} {}\n{}\n", name, tf::name_of(t.dtype()), t.shape().str(), tf::to_string(t));
}

void check_output(const std::string& path, size_t values) {
  if (path.ends_with(".npz") || path.ends_with(".safetensors")) return;
  if (!path.ends_with(".npy"))
    throw UsageError(fmt::format("results go to .npy, .npz or .safetensors, not to '{}'", path));
  if (values != 1)
    throw UsageError(
        fmt::format("a .npy file holds one array, and there are {} results: --fetch one, or -o {}z", values, path));
}

void write_values(const NamedValues& values, const std::string& path) {
  if (path.ends_with(".npy")) return tf::io::save_npy(path, values.at(0).second);
  const tf::io::NamedTensors named(values.begin(), values.end());
  if (path.ends_with(".npz")) return tf::io::save_npz(path, named);
  tf::io::save_safetensors(path, named);
}

}  // namespace command
