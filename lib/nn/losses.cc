#include <twofold/lib/nn/losses.h>

#include <twofold/kernels/gather/gather.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/kernels/shape_check/shape_check.h>
#include <twofold/kernels/softmax/softmax.h>
#include <twofold/lib/op/apply.h>

namespace twofold::nn {

Tensor mse_loss(Operand input, Operand target) {
  const SourceFrame frame(input.where());
  return mean(square(input - target));
}

Tensor nll_loss(Operand log_probs, Operand target) {
  const SourceFrame frame(log_probs.where());
  const Tensor &scores = log_probs.resolve(), &classes = target.resolve();
  check_input("nll_loss", 0, scores, log_probs.where());
  check_input("nll_loss", 1, classes, log_probs.where());
  const ShapeCheckAttrs shapes{.words = "nll_loss() takes log_probs (batch, classes) and target (batch), not {} and {}",
                               .wanted = {Shape::of_rank(2), Shape::of_rank(1)}};
  const Tensor checked = twofold::internal::shape_checked({&scores, &classes}, shapes, log_probs.where());
  return negative(mean(gather(checked, classes, {.axis = 1, .batch_dims = 1})));
}

Tensor softmax_cross_entropy(Operand logits, Operand target) {
  const SourceFrame frame(logits.where());
  return nll_loss(log_softmax(logits), target);
}

}  // namespace twofold::nn
