#include <twofold/lib/op/backward.h>

#include <twofold/lib/op/tensor_parts.h>

namespace twofold {

Gradient gradient_of(const Tensor& t) { return {t, t.is_symbolic() ? t.owner()->symbol_arrived(t.node()) : Tensor()}; }

}  // namespace twofold
