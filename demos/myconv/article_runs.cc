#include "article_runs.h"

#include <algorithm>
#include <fstream>
#include <functional>

#include "../article/facts.h"

namespace {

std::string name_of(bool on_gpu, bool traced) {
  return std::string(on_gpu ? "GPU" : "CPU") + (traced ? " traced" : "");
}

const article::Run& articles(const std::string& name) {
  return *std::ranges::find_if(article::kRuns, [&](const article::Run& r) { return name == r.name; });
}

/// A name, and for each run its cell and, if `theirs` is given, the article's beside it.
template <class Ours>
void row(std::string_view name, const std::vector<ArticleRun>& runs, Ours ours,
         const std::function<std::string(const article::Run&)>& theirs) {
  fmt::print("{:<22}", name);
  for (const ArticleRun& r : runs) {
    fmt::print("{:>14}", ours(r));
    if (theirs) fmt::print("{:>14}", theirs(articles(r.name)));
  }
  fmt::print("\n");
}

}  // namespace

std::vector<ArticleRun> article_runs(const std::deque<Run>& runs) {
  std::vector<ArticleRun> found;
  for (const Run& r : runs) {
    if (r.how == How::deferred) continue;
    found.push_back({.name = name_of(r.device != "/cpu:0", r.how == How::optimized),
                     .losses = {r.losses.begin(), r.losses.end()},
                     .first_ms = 1e3 * r.first,
                     .step_ms = 1e3 * r.median(),
                     .wall_s = r.wall,
                     .user_s = r.user,
                     .system_s = r.system,
                     .peak_bytes = r.peak_bytes});
  }
  return found;
}

Recorded recorded_runs(const std::string& path, const Facts& facts) {
  std::ifstream file(path);
  if (!file) return {};
  try {
    const auto document = nlohmann::json::parse(file);
    for (const auto& entry : document.at("recorded")) {
      const bool same = std::ranges::all_of(facts.items(), [&](const auto& fact) {
        const auto it = entry.find(fact.key());
        return it != entry.end() && *it == nlohmann::json(fact.value());
      });
      if (!same) continue;
      Recorded recorded{.machine = entry.at("machine"), .commit = entry.at("commit"), .runs = {}};
      for (const auto& r : entry.at("runs")) {
        const bool traced = r.at("mode") == "deferred";
        if (traced && !r.at("optimize").get<bool>()) continue;
        recorded.runs.push_back({.name = name_of(true, traced),
                                 .recorded = true,
                                 .losses = r.at("losses"),
                                 .first_ms = r.at("first_ms"),
                                 .step_ms = r.at("median_ms"),
                                 .wall_s = r.at("wall_s"),
                                 .user_s = r.at("user_s"),
                                 .system_s = r.at("sys_s"),
                                 .peak_bytes = r.at("peak_bytes")});
      }
      return recorded;
    }
  } catch (const nlohmann::json::exception& e) {
    throw std::runtime_error("no recorded figures: " + path + ": " + e.what());
  }
  return {};
}

void print_article_runs(const std::vector<ArticleRun>& runs, bool comparable) {
  using Theirs = std::function<std::string(const article::Run&)>;
  const auto print = [&](std::string_view name, auto ours, const Theirs& theirs) {
    row(name, runs, ours, comparable ? theirs : Theirs());
  };
  const Theirs blank = [](const article::Run&) { return ""; };
  size_t steps = 0;
  for (const ArticleRun& r : runs) steps = std::max(steps, r.losses.size());
  print(
      "", [](const ArticleRun& r) { return r.name; }, blank);
  print(
      "loss of step", [](const ArticleRun& r) { return r.recorded ? "recorded" : "here"; },
      [](const article::Run&) { return "the article"; });
  for (size_t i = 0; i < steps; ++i)
    print(
        fmt::to_string(i + 1),
        [&](const ArticleRun& r) { return i < r.losses.size() ? fmt::format("{:.7g}", r.losses[i]) : ""; },
        [&](const article::Run& r) { return i < r.losses.size() ? r.losses[i] : ""; });
  const auto seconds = [&](std::string_view name, double ArticleRun::*ours, double article::Run::*theirs) {
    print(
        name, [&](const ArticleRun& r) { return fmt::format("{:.4g}", r.*ours); },
        [&](const article::Run& r) { return fmt::format("{:.3g}", r.*theirs); });
  };
  seconds("wall, s", &ArticleRun::wall_s, &article::Run::wall_s);
  seconds("user CPU, s", &ArticleRun::user_s, &article::Run::user_s);
  seconds("system CPU, s", &ArticleRun::system_s, &article::Run::system_s);
  print(
      "first step, ms", [](const ArticleRun& r) { return fmt::format("{:.1f}", r.first_ms); }, blank);
  print(
      "a step after that, ms", [](const ArticleRun& r) { return fmt::format("{:.3f}", r.step_ms); }, blank);
  print(
      "peak memory, MiB",
      [](const ArticleRun& r) { return fmt::format("{:.1f}", static_cast<double>(r.peak_bytes) / (1 << 20)); }, blank);
  fmt::print("\n");
}
