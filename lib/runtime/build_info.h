// What this build of the library is made of, and what it has found here.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace twofold {

/// What `build_info()` knows. Parts that a build or this machine lacks are said with the reason, "left out: no nvcc
/// ...".
struct BuildInfo {
  std::string version;            ///< of twofold, "0.2.0"
  std::string compiler;           ///< that built the library, "gcc 12.2.0"
  std::string build_type;         ///< "-O3", with assertions and sanitizers where they are in
  std::vector<std::string> isas;  ///< that CPU kernels were built for: "x86-64-v3"
  std::string cuda;               ///< the toolkit that the CUDA kernels were built with, "13.0"; or why there are none
  std::string cudnn;  ///< "9.19.0, /usr/lib/x86_64-linux-gnu/libcudnn.so"; or where it was looked for; may be empty
  std::string cpu_kernels;  ///< the instruction set of those loaded at run time; or why none could be
  std::string gpus;         ///< the GPUs that are used at run time, "1"; or why none is
};
/// A line for each member.
std::ostream& operator<<(std::ostream&, const BuildInfo&);

/// What the library was built from and with, and what it loads on this machine: kernel plugins are loaded if they have
/// not been yet. Never throws for what is missing: the member says so. Print it where a program runs slower than it
/// should, or does not see a GPU.
BuildInfo build_info();

}  // namespace twofold
