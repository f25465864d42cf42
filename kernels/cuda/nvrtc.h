// Kernels compiled while the program runs, by NVRTC.
#pragma once

#include <span>
#include <string>

namespace twofold::cuda {

/// A header's text, embedded in the plugin by generate.py.
struct EmbeddedHeader {
  const char* name;  ///< as it is included
  const char* text;
};
std::span<const EmbeddedHeader> embedded_headers();

/// The `extern "C"` kernel `name` of `source`, compiled for the current device and ready to run there, to be given to
/// cudaLaunchKernel; null if that fails. What was compiled once is kept: by the process, and on disk.
const void* compile_kernel(const std::string& source, const char* name);

}  // namespace twofold::cuda
