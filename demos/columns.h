// A table with a column for each way of running a program.
#pragma once

#include <fmt/format.h>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
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

/// Where the program of one column lives: in a mode and, if deferred, in a graph and a session of its own. (In eager
/// mode the session has nothing to do.) Programs of several columns live side by side and take turns.
class Stage {
 public:
  Stage(How how, int64_t seed)
      : how_(how), seed_(seed), session_(std::make_unique<twofold::Session>(graph_, options_of(how))) {}

  /// f(session), in that mode.
  template <class F>
  decltype(auto) operator()(F f) {
    if (how_ == How::eager) {
      const twofold::EagerMode eager;
      seed_once();
      return f(*session_);
    }
    const auto scope = graph_.as_default();
    seed_once();
    return f(*session_);
  }

 private:
  static twofold::SessionOptions options_of(How how) { return {.optimize = how == How::optimized}; }
  void seed_once() {
    if (!seeded_) twofold::set_random_seed(seed_);
    seeded_ = true;
  }

  How how_;
  int64_t seed_;
  bool seeded_ = false;
  twofold::Graph graph_;
  std::unique_ptr<twofold::Session> session_;
};

/// What is shown of one way of running.
struct Column {
  std::string name;
  double first = 0;                  ///< seconds from nothing to the first loss: building and planning are in it
  std::vector<double> step_seconds;  ///< of each step after that which is timed
  twofold::Ledger first_ledger;      ///< of the first step
  twofold::Ledger ledger;            ///< of `ledger_steps` further steps, so that it costs the timed ones nothing
  int ledger_steps = 0;

  /// Of the timed steps, in seconds, `part` of them took no longer: 0.5 gives the median. The first step's where none
  /// was timed.
  double quantile(double part) const {
    if (step_seconds.empty()) return first;
    std::vector<double> sorted = step_seconds;
    std::ranges::sort(sorted);
    return sorted[static_cast<size_t>(part * static_cast<double>(sorted.size() - 1) + 0.5)];
  }
  double median() const { return quantile(0.5); }
};

/// Calls turn(column) for each column, `rounds` times, so that all of them meet the same moments of the machine.
/// Another column begins each round.
template <class Columns, class Turn>
void take_turns(Columns& columns, int64_t rounds, Turn turn) {
  const size_t n = std::size(columns);
  for (int64_t round = 0; round < rounds; ++round)
    for (size_t k = 0; k < n; ++k) turn(columns[(static_cast<size_t>(round) + k) % n]);
}

/// CPU seconds of the process so far.
struct CpuTime {
  double user = 0, system = 0;
  CpuTime() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
    };
    user = seconds(usage.ru_utime), system = seconds(usage.ru_stime);
  }
};

/// How much of the machine others use while it lives: times on a busy one are not to be believed.
class Neighbours {
 public:
  Neighbours() : machine_(machine_seconds()), own_(own_seconds()) {}
  /// Cores that were busy for others, on average since the beginning.
  double cores() const {
    const double wall = seconds_since(begin_);
    return wall > 0 ? std::max(0.0, machine_seconds() - machine_ - (own_seconds() - own_)) / wall : 0;
  }
  /// A line to print, empty where the machine was quiet.
  std::string remark() const {
    const double busy = cores();
    if (busy < 0.1) return "";
    return fmt::format(
        "\nThis machine was busy: other programs had {:.1f} of its cores meanwhile. Compare columns with care.\n",
        busy);
  }

 private:
  /// Busy time of all cores, what a hypervisor took included.
  static double machine_seconds() {
    std::ifstream file("/proc/stat");
    std::string name;
    double t[8] = {};
    file >> name;
    for (double& each : t) file >> each;
    const double ticks = t[0] + t[1] + t[2] + t[5] + t[6] + t[7];  // user, nice, system, irq, softirq, steal
    return file ? ticks / static_cast<double>(sysconf(_SC_CLK_TCK)) : 0;
  }
  static double own_seconds() {
    const CpuTime now;
    return now.user + now.system;
  }
  Clock::time_point begin_ = Clock::now();
  double machine_, own_;
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
  if (later.first <= sooner.first && later.median() <= sooner.median()) return "at once";
  if (later.median() >= sooner.median()) return "never";
  return fmt::format("{:.0f}", std::ceil(1 + (later.first - sooner.first) / (sooner.median() - later.median())));
}

/// Names, first steps, and steps after that with `decimals`; from which step on a column has paid. Times after the
/// first step in units of `unit` seconds.
template <class Runs>
void print_steps(const Runs& runs, int decimals, double unit = 1e-3, std::string_view unit_name = "ms") {
  print_row(runs, "", [](const Column& c) { return c.name; });
  print_row(runs, "first step, ms", [](const Column& c) { return fmt::format("{:.1f}", 1e3 * c.first); });
  print_row(runs, fmt::format("a step after that, {}", unit_name),
            [&](const Column& c) { return fmt::format("{:.{}f}", c.median() / unit, decimals); });
  print_row(runs, "  its quartiles", [&](const Column& c) {
    return fmt::format("{:.{}f} .. {:.{}f}", c.quantile(0.25) / unit, decimals, c.quantile(0.75) / unit, decimals);
  });
  if (runs.size() > 1)
    print_row(runs, fmt::format("ahead of {} from step", runs[0].how == How::eager ? "eager" : "the first"),
              [&](const Column& c) { return &c == &runs[0] ? "" : paid_at(c, runs[0]); });
}

/// One table of where time goes: phases, and the program's own share, which add up to the wall. What a GPU does goes on
/// beside the host's work, and stands below.
template <class Columns, class LedgerOf>
void print_ledger(const Columns& columns, double unit, bool on_gpu, LedgerOf ledger_of) {
  const auto row = [&](std::string_view name, const auto& seconds) {
    std::vector<double> values;
    for (const auto& c : columns) values.push_back(seconds(ledger_of(c).first) / ledger_of(c).second / unit);
    if (std::ranges::all_of(values, [](double v) { return v < 0.005; })) return;  // would be 0.00 throughout
    size_t i = 0;
    print_row(columns, name, [&](const auto&) { return fmt::format("{:.2f}", values[i++]); });
  };
  const auto is_gpus = [&](twofold::Phase p) {
    return on_gpu && (p == twofold::Phase::kernel || p == twofold::Phase::transfer);
  };
  const auto phase_rows = [&](bool gpus, std::string_view before) {
    for (int i = 0; i < twofold::kPhaseCount; ++i) {
      const auto phase = static_cast<twofold::Phase>(i);
      if (is_gpus(phase) == gpus)
        row(fmt::format("{}{}", before, twofold::name_of(phase)),
            [&](const twofold::Ledger& l) { return l.seconds(phase); });
    }
  };
  print_row(columns, "", [](const Column& c) { return c.name; });
  phase_rows(false, "");
  row("the program itself", [&](const twofold::Ledger& l) {
    double rest = l.wall_seconds();
    for (int i = 0; i < twofold::kPhaseCount; ++i)
      if (!is_gpus(static_cast<twofold::Phase>(i))) rest -= l.seconds(static_cast<twofold::Phase>(i));
    return std::max(0.0, rest);
  });
  row("wall, their sum", [](const twofold::Ledger& l) { return l.wall_seconds(); });
  phase_rows(true, "meanwhile on the GPU: ");
  row("user CPU", [](const twofold::Ledger& l) { return l.user_seconds(); });
  row("system CPU", [](const twofold::Ledger& l) { return l.system_seconds(); });
  print_row(columns, "plans hit / missed", [&](const Column& c) {
    const twofold::Ledger& l = ledger_of(c).first;
    return fmt::format("{} / {}", l.plan_hits(), l.plan_misses());
  });
}

/// Where the time of the first step and of a step after that goes, the latter in units of `unit` seconds.
template <class Columns>
void print_ledgers(const Columns& columns, double unit, std::string_view unit_name, bool on_gpu = false) {
  fmt::print("\nWhere the time of the first step goes, in ms:\n");
  print_ledger(columns, 1e-3, on_gpu,
               [](const Column& c) { return std::pair<const twofold::Ledger&, int>(c.first_ledger, 1); });
  fmt::print("\nWhere the time of a step after that goes, in {} ({} further steps, with the ledger on):\n", unit_name,
             columns[0].ledger_steps);
  print_ledger(columns, unit, on_gpu,
               [](const Column& c) { return std::pair<const twofold::Ledger&, int>(c.ledger, c.ledger_steps); });
}
