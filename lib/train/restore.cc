#include <twofold/lib/train/restore.h>

#include <fmt/format.h>

#include <set>
#include <string_view>
#include <utility>

#include <twofold/lib/core/error.h>
#include <twofold/lib/train/checkpoints.h>
#include <twofold/session/session.h>
#include <twofold/session/state.h>

namespace twofold::train {
namespace {

using Values = std::map<std::string, Tensor>;

std::string described(DType dtype, const Shape& shape) { return fmt::format("{} {}", name_of(dtype), shape.str()); }

/// What differs between variables and values, to be thrown as one error.
class Differences {
 public:
  void add(const std::string& text) {
    constexpr int kShown = 8;
    if (++count_ <= kShown) text_ += (count_ == 1 ? " " : "; ") + text;
    if (count_ == kShown + 1) text_ += "; ...";
  }
  void compare(const std::string& name, const std::string& in_file, const Tensor& value, const Variable& variable) {
    if (value.dtype() == variable.dtype() && value.shape().compatible_with(variable.shape())) return;
    const std::string there = name == in_file ? "in the file" : "as " + io::in_quotes(in_file) + " in the file";
    add(fmt::format("{} is {} {} and {} here", io::in_quotes(name), described(value.dtype(), value.shape()), there,
                    described(variable.dtype(), variable.shape())));
  }
  void check(const io::Source& source) const {
    if (count_) source.fail("it does not fit the variables here:" + text_, Code::InvalidArgument);
  }

 private:
  int count_ = 0;
  std::string text_;
};

bool is_prefix(std::string_view name) { return name.empty() || name.ends_with('.') || name.ends_with('/'); }

/// The entry of `names` for a tensor: its own name, else the longest beginning. Null if there is none.
const Names::value_type* mapping_of(const std::string& in_file, const Names& names, const io::Source& source) {
  const Names::value_type* longest = nullptr;
  for (const auto& m : names) {
    const bool prefix = is_prefix(m.first);
    if (prefix != is_prefix(m.second))
      source.fail(
          fmt::format("{} cannot become {}: where one is the beginning of names, ends in a dot or a slash or is "
                      "empty, both must be",
                      io::in_quotes(m.first), io::in_quotes(m.second)),
          Code::InvalidArgument);
    if (!prefix && m.first == in_file) return &m;
    if (prefix && in_file.starts_with(m.first) && (!longest || m.first.size() > longest->first.size())) longest = &m;
  }
  return longest;
}

}  // namespace

io::Safetensors read_checkpoint(const std::string& path, std::source_location where) {
  io::Safetensors file = io::load_safetensors(path, where);
  record_of(path, file.metadata(), where);
  check_checksum(path, file, where);
  return file;
}

void restore_all(const Session& session, const Variables& variables, const io::Safetensors& file, bool random_state,
                 const io::Source& source) {
  Values values, random;
  for (const auto& [name, value] : file) {
    if (name.starts_with(kRandom)) {
      random.emplace(name.substr(kRandom.size()), value);
    } else {
      values.emplace(name, value);
    }
  }
  Differences differences;
  for (const auto& [name, variable] : variables) {
    if (const auto found = values.find(name); found != values.end()) {
      differences.compare(name, name, found->second, variable);
    } else {
      differences.add(fmt::format("{} is {} here and not in the file", io::in_quotes(name),
                                  described(variable.dtype(), variable.shape())));
    }
  }
  for (const auto& [name, value] : values)
    if (!variables.contains(name))
      differences.add(fmt::format("{} is {} in the file and not here", io::in_quotes(name),
                                  described(value.dtype(), value.shape())));
  differences.check(source);
  if (!random_state || random.empty()) return load_state(session, variables, values, {}, source.where);
  const Values before = read_random_state(session, source.where);
  load_random_state(session, random, source.where);
  try {
    load_state(session, variables, values, {}, source.where);
  } catch (...) {
    load_random_state(session, before, source.where);
    throw;
  }
}

std::vector<std::string> restore_part(const Session& session, const Variables& variables, const std::string& path,
                                      const Names& names, std::source_location where) {
  const io::Source source{path, where};
  const io::Safetensors file = io::load_safetensors(path, where);
  Values values;
  Differences differences;
  std::set<std::string_view> used;
  for (const auto& [in_file, value] : file) {
    const auto found = mapping_of(in_file, names, source);
    if (!found) continue;
    used.insert(found->first);
    const std::string name = found->second + in_file.substr(found->first.size());
    const auto variable = variables.find(name);
    if (variable == variables.end())
      source.fail(fmt::format("{} would be the variable {}, which this Saver does not have", io::in_quotes(in_file),
                              io::in_quotes(name)),
                  Code::NotFound);
    if (!values.emplace(name, value).second) {
      source.fail(fmt::format("the variable {} would be set twice, the second time from {}", io::in_quotes(name),
                              io::in_quotes(in_file)),
                  Code::InvalidArgument);
    }
    differences.compare(name, in_file, value, variable->second);
  }
  for (const auto& [from, to] : names)
    if (!used.contains(from))
      source.fail(fmt::format("it has no tensor {} {}", is_prefix(from) ? "whose name begins with" : "called",
                              io::in_quotes(from)),
                  Code::NotFound);
  differences.check(source);
  Variables part;
  std::vector<std::string> set;
  for (const auto& [name, value] : values) {
    part.emplace(name, variables.at(name));
    set.push_back(name);
  }
  load_state(session, part, values, {}, where);
  return set;
}

}  // namespace twofold::train
