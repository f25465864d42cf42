#include <twofold/kernels/cuda/nvrtc.h>

#include <cuda_runtime.h>
#include <nvrtc.h>

#include <map>
#include <mutex>
#include <vector>

#include <twofold/kernels/cuda/disk_cache.h>

namespace twofold::cuda {
namespace {

std::vector<std::string> options_for(int arch) {
  return {"--std=c++20", "--fmad=false", "--gpu-architecture=sm_" + std::to_string(arch)};
}

/// All that a cubin depends on.
std::string key_of(const std::string& source, int arch) {
  int major = 0, minor = 0;
  nvrtcVersion(&major, &minor);
  std::string key = "NVRTC " + std::to_string(major) + "." + std::to_string(minor);
  for (const std::string& option : options_for(arch)) key += ' ' + option;
  key += '\n' + source;
  for (const EmbeddedHeader& h : embedded_headers()) key = key + '\n' + h.name + '\n' + h.text;
  return key;
}

/// The library that `cubin` is, for all devices of its architecture, or null.
cudaLibrary_t load(const std::string& cubin) {
  cudaLibrary_t library = nullptr;
  const auto error = cudaLibraryLoadData(&library, cubin.data(), nullptr, nullptr, 0, nullptr, nullptr, 0);
  return error == cudaSuccess ? library : nullptr;
}

cudaLibrary_t make_library(const std::string& source, int arch, const std::string& key) {
  if (const auto cubin = read_cached("nvrtc", key))
    if (cudaLibrary_t library = load(*cubin)) return library;
  const auto cubin = compile_cubin(source, arch);
  cudaLibrary_t library = cubin ? load(*cubin) : nullptr;
  if (library) write_cached("nvrtc", key, *cubin);
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

std::optional<std::string> compile_cubin(const std::string& source, int arch) {
  std::vector<const char*> texts, names, options;
  for (const EmbeddedHeader& h : embedded_headers()) texts.push_back(h.text), names.push_back(h.name);
  nvrtcProgram program;
  if (nvrtcCreateProgram(&program, source.c_str(), "kernel.cu", static_cast<int>(names.size()), texts.data(),
                         names.data()) != NVRTC_SUCCESS)
    return std::nullopt;
  const std::vector<std::string> words = options_for(arch);
  for (const std::string& word : words) options.push_back(word.c_str());
  std::optional<std::string> cubin;
  size_t size = 0;
  if (nvrtcCompileProgram(program, static_cast<int>(options.size()), options.data()) == NVRTC_SUCCESS &&
      nvrtcGetCUBINSize(program, &size) == NVRTC_SUCCESS && size > 0) {
    cubin.emplace(size, '\0');
    if (nvrtcGetCUBIN(program, cubin->data()) != NVRTC_SUCCESS) cubin.reset();
  }
  nvrtcDestroyProgram(&program);
  return cubin;
}

const void* compile_kernel(const std::string& source, const char* name) {
  // Never unloaded: the driver may be gone by the time it could be.
  static std::mutex mutex;
  static auto& libraries = *new std::map<std::string, cudaLibrary_t>;
  const int arch = current_arch();
  if (arch == 0) return nullptr;
  const std::string key = key_of(source, arch);
  cudaLibrary_t library = nullptr;
  {
    std::lock_guard lock(mutex);
    if (const auto found = libraries.find(key); found != libraries.end()) library = found->second;
  }
  if (!library) {
    library = make_library(source, arch, key);  // at worst by two threads at once: the first one's is kept
    if (!library) return cudaGetLastError(), nullptr;
    std::lock_guard lock(mutex);
    library = libraries.try_emplace(key, library).first->second;
  }
  cudaKernel_t kernel;
  cudaFuncAttributes unused;  // to ask for them loads the code, which a stream that is being captured could not
  if (cudaLibraryGetKernel(&kernel, library, name) != cudaSuccess ||
      cudaFuncGetAttributes(&unused, reinterpret_cast<const void*>(kernel)) != cudaSuccess)
    return cudaGetLastError(), nullptr;
  return reinterpret_cast<const void*>(kernel);
}

}  // namespace twofold::cuda
