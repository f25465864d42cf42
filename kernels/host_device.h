// For code that is compiled for the host and for GPUs.
#pragma once

#ifdef __CUDACC__
#define TWOFOLD_DEVICE __host__ __device__
#else
#define TWOFOLD_DEVICE
#endif
