// The ops of batch normalisation, for passes.
#pragma once

namespace twofold {

struct OpDef;
extern OpDef batch_norm_op, batch_norm_grad_op;

}  // namespace twofold
