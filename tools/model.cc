#include "model.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "command.h"

namespace command {

namespace tf = twofold;

std::string names_of(const std::vector<tf::SavedValue>& values) {
  std::string names;
  for (const tf::SavedValue& v : values) names += (names.empty() ? "" : ", ") + v.name;
  return names.empty() ? "nothing" : names;
}

std::string device_named(const std::string& name) {
  try {
    return tf::parse_device(name).name();
  } catch (const tf::Error& e) {
    if (e.code() != tf::Code::InvalidArgument) throw;
    throw UsageError(e.message());
  }
}

std::pair<std::string, size_t> Model::chosen(const tf::SavedProgram& program, const std::string& signature) {
  const std::vector<tf::SavedSignature> all = program.signatures();
  std::string list;
  for (const tf::SavedSignature& s : all) {
    std::ostringstream line;
    line << "\n  " << s;
    list += line.str();
  }
  const auto has = [&](const std::string& name) { return std::ranges::count(all, name, &tf::SavedSignature::name); };
  if (signature.empty()) {
    if (all.size() == 1) return {all[0].name, 0};
    if (has("predict") == 1) return {"predict", 0};
    throw UsageError("the model has several signatures, so --signature is needed. They are:" + list);
  }
  if (has(signature) == 1) return {signature, 0};
  const std::string name = signature.substr(0, signature.rfind(':'));
  if (name.size() < signature.size()) {
    size_t number = 0;
    const char *begin = signature.data() + name.size() + 1, *end = signature.data() + signature.size();
    const auto [rest, error] = std::from_chars(begin, end, number);
    if (error == std::errc() && rest == end && number < static_cast<size_t>(has(name))) return {name, number};
  }
  if (has(signature))
    throw UsageError(
        fmt::format("'{}' has {} signatures: --signature {}:0 is the first of", signature, has(signature), signature) +
        list);
  throw UsageError(fmt::format("the model has no signature '{}'. It has:", signature) + list);
}

Model::Model(const std::string& path, const std::string& signature) : Model(tf::load(path), signature) {}
Model::Model(const tf::SavedProgram& program, const std::string& signature)
    : Model(program, chosen(program, signature)) {}
Model::Model(const tf::SavedProgram& program, const std::pair<std::string, size_t>& of)
    : program_(program), function_(program_.function(of.first)), number_(of.second) {}

std::string Model::str() const {
  std::ostringstream text;
  text << signature();
  return text.str();
}

Runner::Runner(const Model& model, const std::vector<std::string>& fetches, const tf::SessionOptions& options)
    : graph_(model.function().in_graph(model.number())), session_(graph_.graph, options) {
  const auto find = [&](const std::string& name) {
    return std::ranges::find(graph_.results, name, [](const auto& r) { return r.first; });
  };
  for (const std::string& name : fetches) {
    if (find(name) == graph_.results.end())
      throw UsageError(fmt::format("there is no result '{}' to fetch; '{}' gives {}", name, model.signature().name,
                                   names_of(model.signature().results)));
    wanted_.push_back(*find(name));
  }
  if (fetches.empty()) wanted_ = graph_.results;
  std::erase_if(wanted_, [](const auto& r) { return !r.second.defined(); });  // what only does something
  for (const auto& [name, t] : wanted_)
    if (t.is_symbolic()) fetches_.emplace_back(t);
  fetches_.emplace_back(graph_.call);
}

std::vector<std::pair<std::string, tf::Tensor>> Runner::operator()(const Values& feeds) const {
  tf::Feeds given;
  for (const auto& [name, t] : graph_.arguments) given.push_back({t, feeds.at(name)});
  const std::vector<tf::Tensor> values = session_.run(fetches_, given);
  std::vector<std::pair<std::string, tf::Tensor>> results = wanted_;
  size_t next = 0;
  for (auto& [name, t] : results)
    if (t.is_symbolic()) t = values[next++];
  return results;
}

}  // namespace command
