// Einstein's summation.
#pragma once

#include <initializer_list>
#include <source_location>
#include <span>
#include <string_view>

#include <twofold/lib/op/operand.h>

namespace twofold {

/// @{
/// The product of the operands, summed over every index that the result does not name. `equation` names the axes of
/// each operand by letters: "ij,jk->ik" is the matrix product, "bij,bj->bi" a batch of matrices times vectors, "ii->i"
/// a diagonal, "ij->" the sum of all. Without "->" the result has the letters that occur once, in alphabetical order.
/// "..." stands for any axes that no letter names, which broadcast against each other: "...ij,...jk->...ik". Blanks are
/// ignored.
///
/// Any number of operands, one at least, which promote to one dtype and are multiplied from the left on, by matrix
/// products where that is possible (of float32, float64, int32 or int64). Made of other ops: differentiable, of every
/// order, with unknown extents, too. InvalidArgument: a malformed equation, another number of operands or axes than it
/// names, extents that differ under one letter (checked by the run where a graph does not know them), "..." where a
/// rank is unknown. Unimplemented: an intermediate tensor of more than 8 axes. Source: NumPy's einsum, without extents
/// of 1 that stand for any; TensorFlow's einsum.
Tensor einsum(std::string_view equation, std::span<const Tensor> operands,
              std::source_location where = std::source_location::current());
Tensor einsum(std::string_view equation, std::initializer_list<Operand> operands,
              std::source_location where = std::source_location::current());
/// @}

}  // namespace twofold
