#include <twofold/graph/fetch.h>

#include <twofold/lib/op/variable_state.h>

namespace twofold {

Fetch::Fetch(const Variable& v) : kind_(Kind::variable), variable_(v.state()) {}

}  // namespace twofold
