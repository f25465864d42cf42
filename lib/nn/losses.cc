#include <twofold/lib/nn/losses.h>

#include <fmt/format.h>

#include <string>

#include <twofold/kernels/gather/gather.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/kernels/shape_check/shape_check.h>
#include <twofold/kernels/softmax/softmax.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/apply.h>

namespace twofold::nn {

Tensor mse_loss(Operand input, Operand target) {
  const SourceScope source_scope(input.where());
  return mean(square(input - target));
}

namespace {

// Of scores (batch, classes), which `function` calls `name`, and of the numbers of the right classes (batch).
void check_scores(const char* function, const char* name, const Tensor& scores, const Tensor& classes,
                  std::source_location where) {
  const CurrentOp current(function, where);
  check_input(function, 0, scores, where);
  check_input(function, 1, classes, where);
  const std::string takes = fmt::format("{}() takes {} (batch, classes) and target (batch)", function, name);
  if (scores.shape().has_rank() && classes.shape().has_rank() && scores.rank() == 2 && classes.rank() == 2)
    fail(Code::InvalidArgument,
         fmt::format("{}, the number of each right class, not {} and {}", takes, scores.shape().str(),
                     classes.shape().str()),
         "tf::argmax(target, 1) of one-hot labels, or -tf::mean(tf::sum(target * tf::log_softmax(logits), {1}))");
  if ((scores.shape().has_rank() && scores.rank() != 2) || (classes.shape().has_rank() && classes.rank() != 1))
    fail(Code::InvalidArgument, fmt::format("{}, not {} and {}", takes, scores.shape().str(), classes.shape().str()));
  if (!is_integer(classes.dtype()) || classes.dtype() == uint8)
    fail(Code::InvalidArgument,
         fmt::format("{}, numbers of classes in int32 or int64, not {}", takes, name_of(classes.dtype())),
         "tf::cast(target, tf::int64)");
}

Tensor mean_nll(const Tensor& log_probs, const Tensor& classes) {
  return negative(mean(gather(log_probs, classes, {.axis = 1, .batch_dims = 1})));
}

}  // namespace

Tensor nll_loss(Operand log_probs, Operand target) {
  const SourceScope source_scope(log_probs.where());
  const Tensor &scores = log_probs.resolve(), &classes = target.resolve();
  check_scores("nll_loss", "log_probs", scores, classes, log_probs.where());
  const ShapeCheckAttrs shapes{.words = "nll_loss() takes log_probs (batch, classes) and target (batch), not {} and {}",
                               .wanted = {Shape::of_rank(2), Shape::of_rank(1)}};
  return mean_nll(twofold::internal::shape_checked({&scores, &classes}, shapes, log_probs.where()), classes);
}

Tensor softmax_cross_entropy(Operand logits, Operand target) {
  const SourceScope source_scope(logits.where());
  const Tensor &scores = logits.resolve(), &classes = target.resolve();
  check_scores("softmax_cross_entropy", "logits", scores, classes, logits.where());
  return mean_nll(log_softmax(scores), classes);
}

}  // namespace twofold::nn
