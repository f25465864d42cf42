// Small programs that are saved: those that the fuzzer's corpus begins with.
#pragma once

#include <string>
#include <vector>

#include <twofold/twofold.h>

namespace saved_models {

/// Saves each of them in `folder`, as NAME.safetensors, without source lines:
///
/// - `training`: `predict` and `fit` of a net with dropout, trained by Adam for two steps
/// - `control`: `fit` of w^3 x to y, w^3 by a loop with a branch in it, by momentum after one step; `slope`, a gradient
///   of the loop as a result
/// - `draws`: `noise`, a normal and a permutation that were drawn once; `sample`, drawn in a loop
/// - `nests`: `pair` and `list`, nests in and out, functions that call one; a constant beyond what is kept inline
/// - `types`: `types`, ops of each dtype, strings of attributes and a TensorArray
void write_all(const std::string& folder);

inline const std::vector<std::string> kNames = {"training", "control", "draws", "nests", "types"};

}  // namespace saved_models
