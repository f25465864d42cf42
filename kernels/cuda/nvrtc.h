// Kernels compiled while the program runs, by NVRTC.
#pragma once

#include <optional>
#include <span>
#include <string>

namespace twofold::cuda {

/// A header's text, embedded in the plugin by generate.py.
struct EmbeddedHeader {
  const char* name;  ///< as it is included
  const char* text;
};
std::span<const EmbeddedHeader> embedded_headers();

/// `source`, which may include embedded headers, as machine code for `arch`, e.g. 90; nullopt if NVRTC refuses it.
/// Arithmetic is what nvcc makes of the plugin's own kernels: nothing is contracted. Needs no GPU.
std::optional<std::string> compile_cubin(const std::string& source, int arch);

/// The `extern "C"` kernel `name` of `source`, compiled for the current device and ready to run there, to be given to
/// cudaLaunchKernel; null if that fails. What was compiled once is kept: by the process, and on disk.
const void* compile_kernel(const std::string& source, const char* name);

}  // namespace twofold::cuda
