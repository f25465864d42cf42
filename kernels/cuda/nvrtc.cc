#include <twofold/kernels/cuda/nvrtc.h>

#include <cuda_runtime.h>
#include <nvrtc.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <twofold/kernels/cuda/disk_cache.h>

namespace twofold::cuda {
namespace {

/// What is compiled for a device: machine code if NVRTC knows its architecture, else PTX for the newest older one,
/// which the driver compiles.
struct Target {
  int arch = 0;  ///< e.g. 90; 0: there is none
  bool ptx = false;

  explicit Target(int arch_of_device) {
    int n = 0;
    if (nvrtcGetNumSupportedArchs(&n) != NVRTC_SUCCESS) return;
    std::vector<int> known(static_cast<size_t>(n));
    if (nvrtcGetSupportedArchs(known.data()) != NVRTC_SUCCESS) return;
    for (const int a : known)
      if (a <= arch_of_device) arch = std::max(arch, a);
    ptx = arch != arch_of_device;
  }
};

std::vector<std::string> options_for(Target t) {
  return {"--std=c++20", "--fmad=false",
          (t.ptx ? "--gpu-architecture=compute_" : "--gpu-architecture=sm_") + std::to_string(t.arch)};
}

/// All that the code depends on.
std::string key_of(const std::string& source, Target target) {
  int major = 0, minor = 0;
  nvrtcVersion(&major, &minor);
  std::string key = "NVRTC " + std::to_string(major) + "." + std::to_string(minor);
  for (const std::string& option : options_for(target)) key += ' ' + option;
  key += '\n' + source;
  for (const EmbeddedHeader& h : embedded_headers()) key = key + '\n' + h.name + '\n' + h.text;
  return key;
}

/// `source`, which may include embedded headers, compiled; nullopt if NVRTC refuses it. Its arithmetic is that of the
/// plugin's own kernels: multiplications and additions are not contracted.
std::optional<std::string> compile(const std::string& source, Target target) {
  std::vector<const char*> texts, names, options;
  for (const EmbeddedHeader& h : embedded_headers()) texts.push_back(h.text), names.push_back(h.name);
  nvrtcProgram program;
  if (nvrtcCreateProgram(&program, source.c_str(), "kernel.cu", static_cast<int>(names.size()), texts.data(),
                         names.data()) != NVRTC_SUCCESS)
    return std::nullopt;
  const std::vector<std::string> words = options_for(target);
  for (const std::string& word : words) options.push_back(word.c_str());
  std::optional<std::string> code;
  size_t size = 0;
  if (nvrtcCompileProgram(program, static_cast<int>(options.size()), options.data()) == NVRTC_SUCCESS &&
      (target.ptx ? nvrtcGetPTXSize : nvrtcGetCUBINSize)(program, &size) == NVRTC_SUCCESS && size > 0) {
    code.emplace(size, '\0');
    if ((target.ptx ? nvrtcGetPTX : nvrtcGetCUBIN)(program, code->data()) != NVRTC_SUCCESS) code.reset();
  }
  nvrtcDestroyProgram(&program);
  return code;
}

/// Loads `code` as a library for all devices that can run it; null if that fails.
cudaLibrary_t load(const std::string& code) {
  cudaLibrary_t library = nullptr;
  const auto error = cudaLibraryLoadData(&library, code.data(), nullptr, nullptr, 0, nullptr, nullptr, 0);
  return error == cudaSuccess ? library : nullptr;
}

cudaLibrary_t make_library(const std::string& source, Target target, const std::string& key) {
  if (const auto code = read_cached("nvrtc", key))
    if (cudaLibrary_t library = load(*code)) return library;
  const auto code = compile(source, target);
  cudaLibrary_t library = code ? load(*code) : nullptr;
  if (library) write_cached("nvrtc", key, *code);
  return library;
}

/// The architecture of the current device, or 0.
int current_arch() {
  int device = 0, major = 0, minor = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess)
    return 0;
  return major * 10 + minor;
}

}  // namespace

const void* compile_kernel(const std::string& source, const char* name) {
  // Never unloaded: the driver may be gone by the time it could be.
  static std::mutex mutex;
  static auto& libraries = *new std::map<std::string, cudaLibrary_t>;
  const Target target(current_arch());
  if (target.arch == 0) return nullptr;
  const std::string key = key_of(source, target);
  cudaLibrary_t library = nullptr;
  {
    std::lock_guard lock(mutex);
    if (const auto found = libraries.find(key); found != libraries.end()) library = found->second;
  }
  if (!library) {
    library = make_library(source, target, key);  // at worst by two threads at once: the first one's is kept
    if (!library) return cudaGetLastError(), nullptr;
    std::lock_guard lock(mutex);
    library = libraries.try_emplace(key, library).first->second;
  }
  cudaKernel_t kernel;
  cudaFuncAttributes unused;  // asking for them loads the code, which cannot be done while a stream is captured
  if (cudaLibraryGetKernel(&kernel, library, name) != cudaSuccess ||
      cudaFuncGetAttributes(&unused, reinterpret_cast<const void*>(kernel)) != cudaSuccess)
    return cudaGetLastError(), nullptr;
  return reinterpret_cast<const void*>(kernel);
}

}  // namespace twofold::cuda
