// Immediate execution: the thin shell around `launch`.
#include <fmt/format.h>

#include <twofold/eager/tape.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/high.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/report/ledger.h>

namespace twofold {

void eager_apply(const OpDef& op, Inputs inputs, AttrsView attrs, std::source_location where, Outputs& outputs) {
  if (t_state.tape) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i]->value()->is_shell() && !op.flags.alias && !(op.shape_inputs >> i & 1))
        fail(Code::Internal, fmt::format("'{}' reads input {} that the tape did not keep: the gradient rule's op does not list it "
                                         "under `reads`", op.name, i));
    }
  }
  const uint64_t counter = op.flags.random ? next_eager_random_counter(random_key_of(attrs)) : 0;
  launch(op, inputs, attrs, counter, outputs);
  for (Tape* tape = t_state.tape; tape; tape = tape->outer()) tape->record(op, inputs, attrs, where, outputs);
}

}  // namespace twofold
