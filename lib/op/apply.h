// Where every op function ends: the branch between the modes.
#pragma once

#include <initializer_list>
#include <source_location>
#include <span>

#include <twofold/lib/core/small_vector.h>
#include <twofold/lib/op/opdef.h>
#include <twofold/lib/op/tensor.h>

namespace twofold {

using Inputs = std::span<const Tensor* const>;
using Outputs = SmallVector<Tensor, 2>;

/// Does `op`: adds a node if any input is a symbol (or if there is no input and a graph is being built), computes at once
/// otherwise. Inputs must have the dtypes the op asks for. Returns visible outputs, then hidden ones. `where` is the user's
/// line, kept in the node and in errors; a SourceFrame further out overrides it.
Outputs apply_all(const OpDef& op, Inputs inputs, AttrsView attrs, std::source_location where);

/// The same, for output 0.
Tensor apply(const OpDef& op, Inputs inputs, AttrsView attrs, std::source_location where);
inline Tensor apply(const OpDef& op, std::initializer_list<const Tensor*> inputs, AttrsView attrs,
                    std::source_location where) {
  return apply(op, Inputs(inputs.begin(), inputs.size()), attrs, where);
}
inline Tensor apply(const OpDef& op, std::initializer_list<const Tensor*> inputs, std::source_location where) {
  return apply(op, Inputs(inputs.begin(), inputs.size()), {}, where);
}

/// For its lifetime, ops made on this thread are attributed to `where`, the line of the user who called a toolkit function.
/// The outermost frame wins.
class [[nodiscard]] SourceFrame {
 public:
  explicit SourceFrame(std::source_location where);
  ~SourceFrame();
  SourceFrame(const SourceFrame&) = delete;
  SourceFrame& operator=(const SourceFrame&) = delete;

 private:
  bool outermost_;
};

}  // namespace twofold
