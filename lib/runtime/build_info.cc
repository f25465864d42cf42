#include <twofold/lib/runtime/build_info.h>

#include <ostream>

#include <twofold/lib/core/error.h>
#include <twofold/lib/runtime/plugin.h>

#include "built.h"  // written when the build is configured

namespace twofold {

BuildInfo build_info() {
  BuildInfo info{.version = TWOFOLD_VERSION,
                 .compiler = TWOFOLD_COMPILER,
                 .build_type = TWOFOLD_BUILD_TYPE,
                 .isas = {TWOFOLD_ISAS},
                 .cuda = TWOFOLD_CUDA,
                 .cudnn = TWOFOLD_CUDNN,
                 .cpu_kernels = {},
                 .gpus = {}};
  try {
    info.cpu_kernels = cpu_isa();
  } catch (const Error& e) {
    info.cpu_kernels = "none: " + e.message();
  }
  std::string why;
  const GpuRuntime* gpu = gpu_runtime(&why);
  info.gpus = gpu ? std::to_string(gpu->device_count()) : "none: " + why;
  return info;
}

std::ostream& operator<<(std::ostream& out, const BuildInfo& info) {
  out << "twofold " << info.version << ", built by " << info.compiler << ", " << info.build_type << "\nCPU kernels for";
  for (const auto& isa : info.isas) out << ' ' << isa;
  out << "; loaded: " << info.cpu_kernels << "\nCUDA: " << info.cuda;
  if (!info.cudnn.empty()) out << "\ncuDNN: " << info.cudnn;
  return out << "\nGPUs: " << info.gpus << '\n';
}

}  // namespace twofold
