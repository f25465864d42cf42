#include "article_runs.h"

#include <algorithm>
#include <fstream>
#include <map>

namespace {

// Seconds for 20 steps.
const std::map<std::string, double> kArticleWalls = {
    {"CPU", 9.31}, {"CPU traced", 8.03}, {"GPU", 0.752}, {"GPU traced", 1.39}};

std::string name_of(bool on_gpu, bool traced) {
  return std::string(on_gpu ? "GPU" : "CPU") + (traced ? " traced" : "");
}

template <class Cell>
void row(std::string_view name, const std::vector<ArticleRun>& runs, Cell cell) {
  fmt::print("{:<26}", name);
  for (const ArticleRun& r : runs) fmt::print("{:>24}", cell(r));
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
                     .step_ms = 1e3 * r.median,
                     .wall_s = r.wall,
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
  size_t steps = 0;
  for (const ArticleRun& r : runs) steps = std::max(steps, r.losses.size());
  row("loss of step", runs, [](const ArticleRun& r) { return r.name + (r.recorded ? " (recorded)" : ""); });
  for (size_t i = 0; i < steps; ++i)
    row(fmt::format("{}{}", i + 1,
                    !comparable ? ""
                    : i == 0    ? "   (article: about -0.4)"
                    : i == 19   ? "  (about -4.8)"
                                : ""),
        runs, [&](const ArticleRun& r) { return i < r.losses.size() ? fmt::format("{:.7g}", r.losses[i]) : ""; });
  row("wall, s", runs, [](const ArticleRun& r) { return fmt::format("{:.3f}", r.wall_s); });
  if (comparable)
    row("the article's wall, s", runs,
        [](const ArticleRun& r) { return fmt::format("{:.3g}", kArticleWalls.at(r.name)); });
  row("first step, ms", runs, [](const ArticleRun& r) { return fmt::format("{:.1f}", r.first_ms); });
  row("a step after that, ms", runs, [](const ArticleRun& r) { return fmt::format("{:.3f}", r.step_ms); });
  row("peak memory, MiB", runs,
      [](const ArticleRun& r) { return fmt::format("{:.1f}", static_cast<double>(r.peak_bytes) / (1 << 20)); });
  fmt::print("\n");
}
