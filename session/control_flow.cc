#include <twofold/session/control_flow.h>

#include <twofold/lib/core/error.h>

namespace twofold {

bool is_control_flow(const OpDef&) { return false; }
std::unique_ptr<HostStep> make_control_flow_step(const ProgramNode&, const Program&, const SessionOptions&, SessionSlots&) {
  fail(Code::Unimplemented, "control flow");
}

}  // namespace twofold
