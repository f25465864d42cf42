// The CUDA plugin's device functions: streams, memory, copies, captured graphs, events.
#include <cuda_runtime.h>
#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <mutex>
#include <vector>

#include <twofold/kernels/cuda/capture.h>
#include <twofold/kernels/cuda/tuning.h>
#include <twofold/lib/runtime/device.h>
#include <twofold/lib/runtime/gpu_runtime.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

const char* plugin_isa();
const char* plugin_isa() { return "cuda"; }
const GpuRuntime* gpu_runtime();

namespace {

constexpr int kMostGpus = 64;

/// Makes `gpu` current on this thread and gives the one stream that all its work goes to, so that memory freed in
/// program order is free in device order. Null if the device cannot be used. Never destroyed: the driver may be gone by
/// then.
cudaStream_t stream_of(int gpu) {
  static std::array<std::atomic<cudaStream_t>, kMostGpus> streams{};
  if (gpu < 0 || gpu >= kMostGpus || cudaSetDevice(gpu) != cudaSuccess) return nullptr;
  auto& known = streams[static_cast<size_t>(gpu)];
  if (const cudaStream_t stream = known.load(std::memory_order_acquire)) return stream;
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  cudaStream_t stream = known.load(std::memory_order_relaxed);
  if (!stream && cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess)
    known.store(stream, std::memory_order_release);
  return stream;
}

/// `f(stream)` on the GPU's stream.
template <class F>
int with_stream(int gpu, F&& f) {
  const cudaStream_t stream = stream_of(gpu);
  return stream ? f(stream) : cudaErrorInvalidDevice;
}

/// Page-locked host memory through which copies go: a pageable source would make the call wait for the device.
class Staging {
 public:
  static constexpr size_t kLargest = size_t{64} << 20;

  struct Block {
    void* data = nullptr;
    size_t bytes = 0;
    cudaEvent_t done = nullptr;
  };

  static Staging& of(int gpu) {
    static std::array<Staging, kMostGpus> all;
    return all[static_cast<size_t>(gpu)];
  }

  /// A block that no copy uses any more; `data` is null if there is no memory for one.
  Block take(size_t bytes) {
    const size_t wanted = std::bit_ceil(std::max<size_t>(bytes, 4096));
    {
      std::lock_guard lock(mutex_);
      for (Block& b : free_) {
        if (b.bytes != wanted || cudaEventQuery(b.done) != cudaSuccess) continue;
        const Block found = b;
        b = free_.back();
        free_.pop_back();
        return found;
      }
    }
    Block made{nullptr, wanted, nullptr};
    if (cudaEventCreateWithFlags(&made.done, cudaEventDisableTiming) != cudaSuccess) return {};
    if (cudaHostAlloc(&made.data, wanted, cudaHostAllocDefault) == cudaSuccess) return made;
    static_cast<void>(cudaGetLastError());  // copies go by pageable memory then
    cudaEventDestroy(made.done);
    return {};
  }
  /// Gives back a block whose last use has been enqueued.
  void give(Block b, cudaStream_t stream) {
    cudaEventRecord(b.done, stream);
    std::lock_guard lock(mutex_);
    free_.push_back(b);
  }

 private:
  std::mutex mutex_;
  std::vector<Block> free_;  // guarded by mutex_; the uses of some may be under way
};

int to_device(int gpu, void* to, const void* from, size_t bytes) {
  return with_stream(gpu, [&](cudaStream_t stream) -> int {
    if (bytes <= Staging::kLargest) {
      if (const auto block = Staging::of(gpu).take(bytes); block.data) {
        std::memcpy(block.data, from, bytes);
        const cudaError_t e = cudaMemcpyAsync(to, block.data, bytes, cudaMemcpyHostToDevice, stream);
        Staging::of(gpu).give(block, stream);
        return e;
      }
    }
    const cudaError_t e = cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream);
    return e == cudaSuccess ? cudaStreamSynchronize(stream) : e;
  });
}

int to_host(int gpu, void* to, const void* from, size_t bytes) {
  constexpr size_t kSmall = 64 << 10;  // where the second copy costs less than what the driver does for pageable memory
  return with_stream(gpu, [&](cudaStream_t stream) -> int {
    if (bytes <= kSmall) {
      if (const auto block = Staging::of(gpu).take(bytes); block.data) {
        cudaError_t e = cudaMemcpyAsync(block.data, from, bytes, cudaMemcpyDeviceToHost, stream);
        if (e == cudaSuccess) e = cudaStreamSynchronize(stream);
        if (e == cudaSuccess) std::memcpy(to, block.data, bytes);
        Staging::of(gpu).give(block, stream);
        return e;
      }
    }
    const cudaError_t e = cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream);
    return e == cudaSuccess ? cudaStreamSynchronize(stream) : e;
  });
}

/// The target's stream waits for the source's work, and the source's stream for the copy: then `from` may be freed.
int between(int to_gpu, void* to, int from_gpu, const void* from, size_t bytes) {
  const cudaStream_t source = stream_of(from_gpu), target = stream_of(to_gpu);
  if (!source || !target) return cudaErrorInvalidDevice;
  const auto wait = [](int gpu, cudaStream_t first, cudaStream_t then) -> cudaError_t {
    cudaEvent_t event;
    cudaError_t e = cudaSetDevice(gpu);
    if (e == cudaSuccess) e = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    if (e != cudaSuccess) return e;
    e = cudaEventRecord(event, first);
    if (e == cudaSuccess) e = cudaStreamWaitEvent(then, event);
    cudaEventDestroy(event);
    return e;
  };
  cudaError_t e = wait(from_gpu, source, target);
  if (e == cudaSuccess) e = cudaMemcpyPeerAsync(to, to_gpu, from, from_gpu, bytes, target);
  return e == cudaSuccess ? wait(to_gpu, target, source) : e;
}

int make_error_words(int gpu, size_t n, DeviceError** words, DeviceError** records) {
  return with_stream(gpu, [&](cudaStream_t) -> int {
    const size_t bytes = n * sizeof(DeviceError);
    cudaError_t e = cudaHostAlloc(reinterpret_cast<void**>(records), bytes, cudaHostAllocPortable);
    if (e != cudaSuccess) return e;
    std::memset(static_cast<void*>(*records), 0, bytes);
    e = cudaMalloc(reinterpret_cast<void**>(words), bytes);
    if (e != cudaSuccess) cudaFreeHost(*records);
    return e;
  });
}

/// The number of the last unit that the GPU has begun, in the host's memory, where kernels write it. Null if there is
/// no memory for it.
volatile uint64_t* begun_by(int gpu) {
  static std::array<std::atomic<volatile uint64_t*>, kMostGpus> all{};
  auto& known = all[static_cast<size_t>(gpu)];
  if (volatile uint64_t* p = known.load(std::memory_order_acquire)) return p;
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  if (!known.load()) {
    uint64_t* made = nullptr;
    if (cudaHostAlloc(reinterpret_cast<void**>(&made), sizeof *made, cudaHostAllocPortable) != cudaSuccess)
      return nullptr;
    *made = 0;
    known = made;
  }
  return known.load();
}

/// Under unified addressing kernels use the host's pointers. A record is emptied before it names its unit, so that the
/// host never takes an earlier unit's failure for this one's.
__global__ void begin(DeviceError* word, DeviceError* record, uint64_t unit, volatile uint64_t* begun) {
  word->code = KernelError::none;
  word->host = record;
  volatile DeviceError* host = record;
  host->code = KernelError::none;
  __threadfence_system();
  host->unit = unit;
  *begun = unit;
}

int begin_unit(int gpu, DeviceError* word, DeviceError* record, uint64_t unit) {
  return with_stream(gpu, [&](cudaStream_t stream) -> int {
    volatile uint64_t* begun = begun_by(gpu);
    if (!begun) return cudaErrorMemoryAllocation;
    begin<<<1, 1, 0, stream>>>(word, record, unit, begun);
    return cudaGetLastError();
  });
}

/// Events for timing, kept for reuse.
class FreeEvents {
 public:
  cudaEvent_t take() {
    std::lock_guard lock(mutex_);
    if (events_.empty()) return nullptr;
    const cudaEvent_t e = events_.back();
    events_.pop_back();
    return e;
  }
  void give(cudaEvent_t e) {
    std::lock_guard lock(mutex_);
    events_.push_back(e);
  }

 private:
  std::mutex mutex_;
  std::vector<cudaEvent_t> events_;  // guarded by mutex_
};
FreeEvents& free_events(int gpu) {
  static std::array<FreeEvents, kMostGpus> all;
  return all[static_cast<size_t>(gpu)];
}

/// Pieces of memory to copy, several in one launch: blockIdx.y is the piece's number.
struct Pieces {
  static constexpr size_t kMost = 64;
  void* to[kMost];
  const void* from[kMost];
  size_t bytes[kMost];
};

__global__ void copy_pieces(Pieces pieces, const DeviceError* word) {
  if (word && word->code != KernelError::none) return;
  const size_t start = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x,
               step = size_t{gridDim.x} * blockDim.x;
  auto* to = static_cast<unsigned char*>(pieces.to[blockIdx.y]);
  const auto* from = static_cast<const unsigned char*>(pieces.from[blockIdx.y]);
  const size_t bytes = pieces.bytes[blockIdx.y];
  const bool aligned = (reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % sizeof(uint4) == 0;
  const size_t whole = aligned ? bytes / sizeof(uint4) : 0;
  for (size_t i = start; i < whole; i += step)
    reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(from)[i];
  for (size_t i = whole * sizeof(uint4) + start; i < bytes; i += step) to[i] = from[i];
}

int commit(void* stream, const DeviceError* word, size_t n, void* const* to, const void* const* from,
           const size_t* bytes) {
  constexpr unsigned kThreads = 256, kBlocks = 64;
  for (size_t first = 0; first < n; first += Pieces::kMost) {
    Pieces pieces{};
    const size_t count = std::min(Pieces::kMost, n - first);
    size_t largest = 0;
    for (size_t i = 0; i < count; ++i) {
      pieces.to[i] = to[first + i], pieces.from[i] = from[first + i], pieces.bytes[i] = bytes[first + i];
      largest = std::max(largest, bytes[first + i]);
    }
    const auto blocks = static_cast<unsigned>(std::clamp<size_t>(largest / (kThreads * sizeof(uint4)), 1, kBlocks));
    copy_pieces<<<dim3(blocks, static_cast<unsigned>(count)), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(pieces,
                                                                                                                word);
    if (const cudaError_t e = cudaGetLastError(); e != cudaSuccess) return e;
  }
  return 0;
}

int end_capture(int gpu, void* stream, void** graph) {
  if (!stream_of(gpu)) return cudaErrorInvalidDevice;
  const auto captured_on = static_cast<cudaStream_t>(stream);
  cudaGraph_t captured = nullptr;
  cudaGraphExec_t executable = nullptr;
  cudaError_t e = cudaStreamEndCapture(captured_on, &captured);
  if (e == cudaSuccess) e = cuda::give_way_to_long_chains(captured);
  if (e == cudaSuccess) e = cudaGraphInstantiate(&executable, captured, cudaGraphInstantiateFlagUseNodePriority);
  if (e == cudaSuccess) e = cudaGraphUpload(executable, stream_of(gpu));
  if (captured) cudaGraphDestroy(captured);
  cudaStreamDestroy(captured_on);
  if (e != cudaSuccess && executable) cudaGraphExecDestroy(executable), executable = nullptr;
  if (e != cudaSuccess) static_cast<void>(cudaGetLastError());
  *graph = executable;
  return e;
}

constexpr GpuRuntime kRuntime{
    .device_count =
        [] {
          int n = 0;
          return cudaGetDeviceCount(&n) == cudaSuccess ? n : 0;
        },
    .error_text = [](int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); },
    .is_fatal =
        [](int error) {
          switch (error) {
            case cudaErrorECCUncorrectable:
            case cudaErrorIllegalAddress:
            case cudaErrorLaunchTimeout:
            case cudaErrorAssert:
            case cudaErrorHardwareStackError:
            case cudaErrorIllegalInstruction:
            case cudaErrorMisalignedAddress:
            case cudaErrorInvalidAddressSpace:
            case cudaErrorInvalidPc:
            case cudaErrorLaunchFailure:
            case cudaErrorDevicesUnavailable: return true;
            default: return false;
          }
        },
    .stream = [](int gpu) -> void* { return stream_of(gpu); },
    .synchronize = [](int gpu) { return with_stream(gpu, [](auto s) -> int { return cudaStreamSynchronize(s); }); },
    .allocate =
        [](int gpu, size_t bytes, void** p) {
          return with_stream(gpu, [&](auto s) -> int {
            const cudaError_t e = cudaMallocAsync(p, bytes ? bytes : 1, s);
            if (e == cudaErrorMemoryAllocation) static_cast<void>(cudaGetLastError());  // or the next launch reports it
            return e;
          });
        },
    .release = [](int gpu, void* p) { return with_stream(gpu, [&](auto s) -> int { return cudaFreeAsync(p, s); }); },
    .memory = [](int gpu, size_t* free, size_t* total) -> int {
      return stream_of(gpu) ? cudaMemGetInfo(free, total) : cudaErrorInvalidDevice;
    },
    .trim =
        [](int gpu) {
          return with_stream(gpu, [&](auto s) -> int {
            cudaMemPool_t pool;
            cudaError_t e = cudaStreamSynchronize(s);
            if (e == cudaSuccess) e = cudaDeviceGetDefaultMemPool(&pool, gpu);
            return e == cudaSuccess ? cudaMemPoolTrimTo(pool, 0) : e;
          });
        },
    .to_device = to_device,
    .to_host = to_host,
    .on_device =
        [](int gpu, void* to, const void* from, size_t bytes) {
          return with_stream(
              gpu, [&](auto s) -> int { return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, s); });
        },
    .between = between,
    .fill =
        [](int gpu, void* to, int byte, size_t bytes) {
          return with_stream(gpu, [&](auto s) -> int { return cudaMemsetAsync(to, byte, bytes, s); });
        },
    .make_error_words = make_error_words,
    .begin_unit = begin_unit,
    .begun_unit = [](int gpu) -> uint64_t {
      const volatile uint64_t* begun = begun_by(gpu);
      return begun ? *begun : 0;
    },
    .on_exhausted = [](bool (*give_up)(int)) { cuda::g_give_up = give_up; },
    .begin_capture = [](int gpu, void** stream) -> int {
      if (!stream_of(gpu)) return cudaErrorInvalidDevice;
      cudaStream_t s;
      cudaError_t e = cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
      if (e == cudaSuccess) e = cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed);
      *stream = s;
      return e;
    },
    .end_capture = end_capture,
    .captured_ends = [](void* stream, void* const** nodes, size_t* n) -> int {
      const cudaGraphNode_t* ends = nullptr;
      const cudaError_t e = cuda::captured_ends(static_cast<cudaStream_t>(stream), &ends, n);
      *nodes = reinterpret_cast<void* const*>(ends);
      return e;
    },
    .capture_after = [](void* stream, void* const* nodes, size_t n) -> int {
      return cuda::capture_after(static_cast<cudaStream_t>(stream), reinterpret_cast<const cudaGraphNode_t*>(nodes), n);
    },
    .launch_graph =
        [](int gpu, void* graph) {
          return with_stream(gpu,
                             [&](auto s) -> int { return cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), s); });
        },
    .free_graph =
        [](int gpu, void* graph) {
          if (stream_of(gpu)) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
        },
    .commit = commit,
    .record_event =
        [](int gpu, void** event) {
          return with_stream(gpu, [&](auto s) -> int {
            cudaEvent_t made = free_events(gpu).take();
            cudaError_t e = made ? cudaSuccess : cudaEventCreate(&made);
            if (e == cudaSuccess) e = cudaEventRecord(made, s);
            *event = made;
            return e;
          });
        },
    .elapsed = [](void* begin, void* end, float* milliseconds) -> int {
      const cudaError_t e = cudaEventSynchronize(static_cast<cudaEvent_t>(end));
      return e == cudaSuccess
                 ? cudaEventElapsedTime(milliseconds, static_cast<cudaEvent_t>(begin), static_cast<cudaEvent_t>(end))
                 : e;
    },
    .free_event = [](int gpu, void* event) { free_events(gpu).give(static_cast<cudaEvent_t>(event)); },
    .push_range = [](const char* name) { nvtxRangePushA(name); },
    .pop_range = [] { nvtxRangePop(); },
};

}  // namespace

const GpuRuntime* gpu_runtime() { return &kRuntime; }

}  // namespace twofold
