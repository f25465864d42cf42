// A table with a column for each way of running a program.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <twofold/twofold.h>

using Clock = std::chrono::steady_clock;
inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

inline bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

/// The three ways of running a program.
enum class How { eager, deferred, optimized };
inline const char* name_of(How how) {
  return how == How::eager ? "eager" : how == How::deferred ? "deferred, optimisation off" : "deferred, optimised";
}
/// Those that `--mode` and `--optimize` ask for.
inline std::vector<How> ways(std::string_view mode, std::string_view optimize) {
  std::vector<How> all;
  if (mode != "deferred") all.push_back(How::eager);
  if (mode != "eager" && optimize != "on") all.push_back(How::deferred);
  if (mode != "eager" && optimize != "off") all.push_back(How::optimized);
  return all;
}

/// Gives back the memory that is kept for reuse, so that the first step of every column asks the system for its own.
inline void release_kept_memory() {
  twofold::set_allocator_cache_limit(0);
  twofold::set_allocator_cache_limit(int64_t{2} << 30);  // the default
}

/// Writes text to a file of its own.
inline void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text << '\n';
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path);
}

/// program(session) in that way, in a graph of its own if deferred. (In eager mode the session has nothing to do.)
template <class Program>
void run_program(How how, int64_t seed, Program program) {
  release_kept_memory();
  if (how == How::eager) {
    const twofold::EagerMode eager;
    twofold::set_random_seed(seed);
    twofold::Session unused;
    program(unused);
  } else {
    const twofold::Graph graph;
    const auto scope = graph.as_default();
    twofold::set_random_seed(seed);
    twofold::Session session({.optimize = how == How::optimized});
    program(session);
  }
}

/// What is shown of one way of running.
struct Column {
  std::string name;
  double first = 0;        ///< seconds from nothing to the first loss: building and planning are in it
  double median = 0;       ///< seconds of a step after that
  twofold::Ledger ledger;  ///< of `ledger_steps` further steps, so that it costs the timed ones nothing
  int ledger_steps = 0;
};

/// One row: its name and a cell for each column.
template <class Columns, class Cell>
void print_row(const Columns& columns, std::string_view name, Cell cell) {
  fmt::print("{:<28}", name);
  for (const auto& c : columns) fmt::print("{:>28}", cell(c));
  fmt::print("\n");
}

/// The number of runs from which on `later` is ahead of `sooner`, though its first run takes longer.
inline std::string paid_at(const Column& later, const Column& sooner) {
  if (later.first <= sooner.first && later.median <= sooner.median) return "at once";
  if (later.median >= sooner.median) return "never";
  return fmt::format("{:.0f}", std::ceil(1 + (later.first - sooner.first) / (sooner.median - later.median)));
}

/// Names, first steps, and steps after that with `decimals`, in milliseconds; from which step on a column has paid.
template <class Runs>
void print_steps(const Runs& runs, int decimals) {
  print_row(runs, "", [](const Column& c) { return c.name; });
  print_row(runs, "first step, ms", [](const Column& c) { return fmt::format("{:.1f}", 1e3 * c.first); });
  print_row(runs, "a step after that, ms",
            [&](const Column& c) { return fmt::format("{:.{}f}", 1e3 * c.median, decimals); });
  if (runs.size() > 1)
    print_row(runs, fmt::format("ahead of {} from step", runs[0].how == How::eager ? "eager" : "the first"),
              [&](const Column& c) { return &c == &runs[0] ? "" : paid_at(c, runs[0]); });
}

/// Where the time of a step goes, in units of `unit` seconds.
template <class Columns>
void print_ledgers(const Columns& columns, double unit, std::string_view unit_name) {
  fmt::print("\nWhere the time of a step goes, in {} ({} further steps, with the ledger on):\n", unit_name,
             columns[0].ledger_steps);
  print_row(columns, "", [](const Column& c) { return c.name; });
  const auto row = [&](std::string_view name, const auto& seconds) {
    print_row(columns, name,
              [&](const Column& c) { return fmt::format("{:.2f}", seconds(c.ledger) / unit / c.ledger_steps); });
  };
  for (int i = 0; i < twofold::kPhaseCount; ++i) {
    const auto phase = static_cast<twofold::Phase>(i);
    row(twofold::name_of(phase), [&](const twofold::Ledger& l) { return l.seconds(phase); });
  }
  row("wall", [](const twofold::Ledger& l) { return l.wall_seconds(); });
  row("user CPU", [](const twofold::Ledger& l) { return l.user_seconds(); });
  row("system CPU", [](const twofold::Ledger& l) { return l.system_seconds(); });
  print_row(columns, "plans hit / missed",
            [](const Column& c) { return fmt::format("{} / {}", c.ledger.plan_hits(), c.ledger.plan_misses()); });
}
