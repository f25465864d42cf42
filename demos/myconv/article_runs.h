// The article's four runs, on the CPU and on a GPU, each eager and traced, and what a machine with a GPU gave once.
#pragma once

#include <deque>
#include <nlohmann/json.hpp>
#include <string>

#include "train.h"

/// What decides losses and times, by the names of the options.
using Facts = nlohmann::ordered_json;

/// One column of the article's table. What it calls traced is deferred and optimised here.
struct ArticleRun {
  std::string name;       ///< "CPU", "GPU traced"
  bool recorded = false;  ///< on another machine
  std::vector<double> losses;
  double first_ms = 0, step_ms = 0, wall_s = 0, user_s = 0, system_s = 0;
  int64_t peak_bytes = 0;
};
/// Those among `runs`, in the article's order.
std::vector<ArticleRun> article_runs(const std::deque<Run>& runs);

/// Figures of another machine.
struct Recorded {
  std::string machine, commit;
  std::vector<ArticleRun> runs;
};
/// Those of a run with the same facts in `path`, a JSON file {"recorded": [{"machine", "commit", and what --json
/// writes}]}; without runs if it has none. Throws std::runtime_error where it is no such file.
Recorded recorded_runs(const std::string& path, const Facts& facts);

/// Losses and times; where `comparable` to the article's, its own stand beside each.
void print_article_runs(const std::vector<ArticleRun>& runs, bool comparable);
