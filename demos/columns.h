// A table with a column for each way of running a program.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <string>
#include <string_view>

#include <twofold/lib/report/ledger.h>

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
