// The cases that records stand for, and the gradients that are taken in each.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "check.h"

namespace op_test {

std::string describe(const Record& r, const std::vector<Shape>& shapes, DType dtype);
int64_t elements(const std::vector<Shape>& shapes);

using CaseFunction =
    std::function<void(const Record& r, const std::vector<Shape>& shapes, DType dtype, Random& random)>;

/// Calls f for every case of every record. With TWOFOLD_OPS_BRIEF in the environment a record has one case only, of
/// moderate size, its dtype another one from record to record: for tools under which all would take too long.
void for_each_case(const CaseFunction& f);
bool brief();

/// Calls f for every record of a pointwise op of floating operands, which are zeros, infinities, NaN and the ends of
/// the range.
void for_each_special_case(const std::function<void(const Record& r, DType dtype, const Arrays& inputs)>& f);

/// First gradients of <ws, call(xs)>, then the gradients of <vs, first gradients>: one text for both modes. Undefined
/// where they are unconnected.
struct GradientProgram {
  const Record& record;
  Tensors ws, vs;

  Tensors operator()(std::span<const Tensor> in) const;
  /// As a call all of whose results are defined.
  Call defined_ones() const;
};
GradientProgram program_for(const Record& r, const Arrays& inputs, Random& random);

}  // namespace op_test
