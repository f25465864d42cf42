// Functions as ONNX models, for other runtimes.
#pragma once

#include <concepts>
#include <cstdint>
#include <source_location>
#include <string>

#include <twofold/lib/saved/saved_program.h>

namespace twofold {

/// Options of `save_onnx`.
struct OnnxOptions {
  /// Which trace is written, of a function that was traced for several signatures: its place in `f.traces()`.
  int64_t trace = -1;
  /// Leaves out what ONNX has no operator for and what results do not depend on: printing, assertions, checks for NaN.
  bool drop_checks = false;
};

namespace internal {
void save_onnx(const std::string& path, const ToSave& f, const OnnxOptions& options, std::source_location where);
}

/// Writes `f`, which tf::function or tf::step has made or which was loaded, as an ONNX model for inference:
///
///     auto predict = tf::function([&](Tensor x) { return net(x); }, {.arguments = {"image"}, .results = {"scores"}});
///     predict(x);
///     tf::save_onnx("net.onnx", predict);
///
/// The model has opset 17 of the default domain and IR version 8. Its inputs and outputs have the names and dtypes of
/// the function's arguments and results; extents that the function does not know are named dimensions ("image_0").
/// Variables are initializers under their names, with their values now. `cond` is an If, `while_loop` a Loop;
/// functions that it calls become part of its graph. docs/onnx.md says which op becomes what, and what differs.
///
/// The file takes the place of an older one at once and whole.
///
/// Throws Unimplemented with a list of all ops that ONNX has nothing for, each with its line and the reason: random
/// ops, assignments, gradients, batch normalisation in training; and for more than 2 GB, for which ONNX wants files
/// beside the model. FailedPrecondition for a function that was not called yet; InvalidArgument for one that was traced
/// for several signatures, unless options.trace says which; else as `save` does. (PyTorch: torch.onnx.export)
template <class F>
requires std::constructible_from<internal::ToSave, std::string, const F&>
void save_onnx(const std::string& path, const F& f, OnnxOptions options = {},
               std::source_location where = std::source_location::current()) {
  internal::save_onnx(path, internal::ToSave("f", f), options, where);
}

}  // namespace twofold
