// From what is asked of a graph to a plan.
#pragma once

#include <memory>

#include <twofold/session/plan/plan.h>
#include <twofold/session/program/options.h>

namespace twofold {

class Ledger;

/// The plan for `request` on `g`: prunes, lowers, places, optimises and lays out. Throws InvalidArgument where shapes
/// do not fit or a placeholder is not fed.
std::unique_ptr<const Plan> make_plan(GraphData& g, const Request& request, const SessionOptions& options, Slots& slots,
                                      Ledger* ledger);

}  // namespace twofold
