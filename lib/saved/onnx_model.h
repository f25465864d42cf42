// One trace of a function as the bytes of an ONNX model. Not installed.
#pragma once

#include <source_location>
#include <string>

#include <twofold/lib/saved/onnx.h>
#include <twofold/lib/saved/writer.h>

namespace twofold::saved {

/// `f`, one of `program`'s functions; `name` is its graph's. Throws Unimplemented as tf::save_onnx does, and
/// InvalidArgument for names of arguments and results that are not all different.
std::string onnx_model(const ProgramRecord& program, const FunctionRecord& f, const std::string& name,
                       const OnnxOptions& options, std::source_location where);

}  // namespace twofold::saved
