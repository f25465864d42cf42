// Whether this thread's time is being recorded: what hot paths ask.
#pragma once

#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

// A library built with TWOFOLD_NO_LEDGER records nothing. It is no product: a test counts how many instructions fewer
// it executes, which is what a ledger that is off costs.
#ifdef TWOFOLD_NO_LEDGER
inline constexpr bool kLedgers = false;
#else
inline constexpr bool kLedgers = true;
#endif

/// The ledger that records this thread; null if none does.
inline Ledger* current_ledger() { return kLedgers ? t_state.ledger : nullptr; }

}  // namespace twofold
