// Devices: where a value lives and a kernel runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace twofold {

/// "/cpu:0" is index 0; "/gpu:i" is index i + 1.
struct Device {
  int8_t index = 0;
  bool is_cpu() const { return index == 0; }
  std::string name() const;
  friend bool operator==(Device, Device) = default;
};

/// From "/cpu:0", "/gpu:1", "cpu", "gpu". Throws InvalidArgument on other words, NotFound (listing the devices there
/// are, and why no GPU can be used) on a device that is absent.
Device parse_device(std::string_view name);
/// Names of the devices that can be used now.
std::vector<std::string> list_devices();

/// What the CUDA plugin offers besides kernels. Functions return 0 or a CUDA error number.
struct GpuRuntime {
  int (*device_count)();
  int (*allocate)(int gpu, size_t bytes, void** p);
  int (*release)(int gpu, void* p);
  int (*to_device)(int gpu, void* to, const void* from, size_t bytes);
  int (*to_host)(int gpu, void* to, const void* from, size_t bytes);
  int (*on_device)(int gpu, void* to, const void* from, size_t bytes);
  int (*synchronize)(int gpu);
  void* (*stream)(int gpu);  ///< also makes `gpu` current on the calling thread
  const char* (*error_text)(int error);
};

}  // namespace twofold
