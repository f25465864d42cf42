// Losses: one number from predictions and targets, the mean over examples.
#pragma once

#include <twofold/lib/op/operand.h>

namespace twofold::nn {

/// The mean of (input - target)^2 over all elements. Source: PyTorch's mse_loss.
Tensor mse_loss(Operand input, Operand target);

/// The mean of -log_probs[i, target[i]] over i. log_probs (batch, classes), as log_softmax gives them; target (batch),
/// int32 or int64. InvalidArgument: other ranks or extents that differ; OutOfRange, when it runs: a target that is no
/// class. Source: PyTorch's nll_loss.
Tensor nll_loss(Operand log_probs, Operand target);

/// nll_loss(log_softmax(logits), target). Source: PyTorch's cross_entropy, TensorFlow's
/// sparse_softmax_cross_entropy_with_logits.
Tensor softmax_cross_entropy(Operand logits, Operand target);

}  // namespace twofold::nn
