#include "checkpoint.h"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

namespace tf = twofold;
namespace io = twofold::io;

namespace {

constexpr const char* kFormat = "digits checkpoint 1";
using Tensors = std::map<std::string, tf::Tensor>;

/// The groups of a checkpoint's tensors, by the prefixes of their names in the file.
template <class C>
auto groups_of(C& checkpoint) {
  return std::array{std::pair{"net.", &checkpoint.net}, std::pair{"optimizer.", &checkpoint.optimizer},
                    std::pair{"random.", &checkpoint.random}};
}

template <class T>
std::vector<T> elements(const tf::Tensor& t) {
  const auto data = t.data<T>();
  return {data.begin(), data.end()};
}

std::string quoted(const io::Metadata& notes, const std::string& key) {
  const auto found = notes.find(key);
  return found == notes.end() ? "nothing" : "'" + found->second + "'";
}

}  // namespace

void save(const std::string& path, const Checkpoint& c) {
  io::NamedTensors all;
  for (const auto& [prefix, tensors] : groups_of(c))
    for (const auto& [name, value] : *tensors) all.emplace_back(prefix + name, value);
  all.emplace_back("position", tf::tensor(std::vector<int64_t>{c.reached.position.epoch, c.reached.position.batch}));
  all.emplace_back("losses", tf::tensor(c.reached.losses));
  all.emplace_back("correct", tf::tensor(c.reached.correct));
  io::Metadata notes = c.identity;
  notes["format"] = kFormat;
  io::save_safetensors(path, all, notes);
}

Checkpoint load(const std::string& path, const io::Metadata& expected) {
  const io::Safetensors file = io::load_safetensors(path);
  Checkpoint c;
  c.identity = file.metadata();
  if (quoted(c.identity, "format") != fmt::format("'{}'", kFormat))
    throw std::runtime_error(fmt::format("'{}' is no checkpoint of this program", path));
  c.identity.erase("format");
  std::string differences;
  for (const auto& [key, value] : expected)
    if (const std::string there = quoted(c.identity, key); there != "'" + value + "'")
      differences += fmt::format("\n  {}: the checkpoint has {}, this run '{}'", key, there, value);
  if (!differences.empty())
    throw std::runtime_error(fmt::format("'{}' is a checkpoint of another run:{}", path, differences));

  for (const auto& [name, value] : file)
    for (const auto& [prefix, tensors] : groups_of(c))
      if (name.starts_with(prefix)) tensors->emplace(name.substr(std::string_view(prefix).size()), value);
  const auto position = elements<int64_t>(file["position"]);
  c.reached.losses = elements<float>(file["losses"]);
  c.reached.correct = elements<int64_t>(file["correct"]);
  if (position.size() != 2 || position[0] < 0 || std::cmp_not_equal(position[0], c.reached.correct.size()))
    throw std::runtime_error(fmt::format("'{}' is damaged: its position is not where its results end", path));
  c.reached.position = {.epoch = position[0], .batch = position[1]};
  return c;
}
