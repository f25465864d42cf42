// Updates of variables that are done when a run can fail no more.
#pragma once

#include <twofold/session/program/program.h>

namespace twofold {

/// Moves behind all other nodes, with their assignments, the updates whose results may lie over the old values of
/// their variables (OpDef::in_place) if they are done last: on the CPU, by ops that cannot fail, whose results are only
/// assigned, to variables that nothing else reads later or hands out. Returns the number of the first.
size_t move_late_updates(Program& p);

}  // namespace twofold
