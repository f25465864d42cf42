// Passes over a program, each with a name, a switch and a count.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <twofold/session/program/options.h>
#include <twofold/session/program/program.h>

namespace twofold {

class Ledger;

/// Changes `p` into a program with the same results to the bit, and returns how many changes it made.
using PassFn = int64_t (*)(Program& p);

struct Pass {
  std::string_view name;
  std::string_view doc;
  PassFn run;          ///< null: the planner does it, on the plan
  bool joins = false;  ///< ops are no longer done one by one, each with its operands there: left out where observed
};

/// Throws InvalidArgument for the name of no pass, and for less than one plan.
void check_options(const SessionOptions& options);
bool pass_enabled(const SessionOptions& options, const Pass& pass);

/// Whether programs are verified (Program::verify) when they are made and after each pass; true at first where
/// assertions are on. Tests have it on.
void verify_programs(bool on);
bool verifies_programs();

/// All that can be switched off by SessionOptions::disabled_passes and is counted in a ledger, in the order in which it
/// is done.
std::span<const Pass> all_passes();
/// Adds one, which runs before all others. To be called before any session plans; tests use it.
void add_first_pass(const Pass& pass);
/// Runs those that work on programs.
void run_passes(Program& p, const SessionOptions& options, Ledger* ledger);
/// Notes what the planner has done of a pass that works on plans.
void count_pass(const Pass& pass, int64_t changes, const SessionOptions& options, Ledger* ledger);

int64_t fold_constants(Program& p);
int64_t eliminate_common_subexpressions(Program& p);
int64_t eliminate_dead_code(Program& p);
int64_t fuse_batch_norm(Program& p);
int64_t fuse_pointwise(Program& p);
int64_t move_late_updates(Program& p);

inline constexpr Pass kMemoryPass = {.name = "memory",
                                     .doc = "lets values that live at different times lie in the same memory",
                                     .run = nullptr,
                                     .joins = true};
inline constexpr Pass kCapturePass = {
    .name = "capture",
    .doc = "captures what a plan does on a GPU when it runs for the second time, and replays it from then on",
    .run = nullptr,
    .joins = true};

}  // namespace twofold
