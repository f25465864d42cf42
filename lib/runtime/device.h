// Devices: where a value lives and a kernel runs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace twofold {

/// "/cpu:0" is index 0; "/gpu:i" is index i + 1.
struct Device {
  int8_t index = 0;  ///< 0: the CPU; i + 1: GPU i
  /// Whether it is the CPU.
  bool is_cpu() const { return index == 0; }
  int gpu() const { return index - 1; }  ///< the GPU's number, -1 for the CPU
  /// "/cpu:0" or "/gpu:1".
  std::string name() const;
  friend bool operator==(Device, Device) = default;
};

/// From "/cpu:0", "/gpu:1", "cpu", "gpu". Throws InvalidArgument on other words, NotFound (listing the devices there
/// are, and why no GPU can be used) on a device that is absent.
Device parse_device(std::string_view name);
/// The same, but with `soft` the CPU, and a warning, in place of a device that is absent.
Device parse_device(std::string_view name, bool soft);
/// Sets whether guards and `Tensor::to` take the CPU, with a warning, in place of a device that is absent; at first
/// they throw. For the whole process.
void set_soft_placement(bool on);
/// Whether it is set.
bool soft_placement();
[[deprecated("write tf::set_soft_placement(on)")]] inline void soft_placement(bool on) { set_soft_placement(on); }
/// Names of the devices that can be used now.
std::vector<std::string> list_devices();
}  // namespace twofold
