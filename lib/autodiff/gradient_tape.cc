#include <twofold/lib/autodiff/gradient_tape.h>

#include <fmt/format.h>

#include <twofold/lib/autodiff/engine.h>
#include <twofold/lib/autodiff/tape_recording.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/mode_interface.h>

namespace twofold {

GradientTape::GradientTape(GradientTapeOptions options)
    : options_(options), recording_(mode().record(options.watch_accessed_variables)), eager_(mode().is_eager()) {}
GradientTape::~GradientTape() = default;

static void check_can_be_watched(DType dtype) {
  if (!is_floating(dtype))
    fail(Code::InvalidArgument, fmt::format("Only floating tensors can be watched, not {}", name_of(dtype)),
         "tf::cast(x, tf::float32)");
}

void GradientTape::watch(const Tensor& x, std::source_location where) {
  const SourceScope source_scope(where);
  recording_->check_thread();
  check_input("watch", 0, x, where);
  check_can_be_watched(x.dtype());
  recording_->watch(x);
}

void GradientTape::watch(const Variable& x, std::source_location where) {
  const SourceScope source_scope(where);
  recording_->check_thread();
  check_can_be_watched(x.dtype());
  recording_->watch(x.state());
}

std::vector<Tensor> GradientTape::gradient(const Differentiables& of, const Differentiables& by,
                                           std::source_location where) {
  const SourceScope source_scope(where);
  recording_->check_thread();
  const std::vector<Tensor> ys = of.read();
  if (used_ && !options_.persistent)
    fail(Code::FailedPrecondition, "GradientTape.gradient can only be called once on non-persistent tapes.",
         "tf::GradientTape tape({.persistent = true})");
  if (!eager_ && executing_eagerly())
    fail(Code::FailedPrecondition, "A GradientTape made in deferred mode has not recorded what was done eagerly",
         "make the tape in eager mode");
  check_gradient_arguments(ys, by.items(), {});
  used_ = true;
  return recording_->gradients(ys, by.items(), !options_.persistent);
}

}  // namespace twofold
