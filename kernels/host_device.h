// For text that kernels of every device compile.
#pragma once

#ifdef __CUDACC__
#define TWOFOLD_DEVICE __host__ __device__
#else
#define TWOFOLD_DEVICE
#endif
