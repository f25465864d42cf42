// What a kernel plugin and the library say to each other. A plugin includes this header and the attribute structs of
// its ops, and nothing else of the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <type_traits>

#include <twofold/lib/core/dtype.h>
#include <twofold/lib/core/shape.h>
#include <twofold/lib/runtime/math_mode.h>
#include <twofold/lib/runtime/op_name.h>

namespace twofold {

/// What is known of a tensor before it is computed.
struct TensorSpec {
  DType dtype = float32;  ///< of its elements
  Shape shape;            ///< may be unknown in part
  friend bool operator==(const TensorSpec&, const TensorSpec&) = default;
};

/// Everything a kernel's choice of algorithm may depend on: two calls with equal signatures do the same arithmetic.
struct Signature {
  std::span<const TensorSpec> inputs;     ///< shapes fully known
  std::span<const TensorSpec> outputs;    ///< visible ones, then hidden ones
  const void* attrs = nullptr;            ///< the op's attribute struct
  MathMode math_mode = MathMode::strict;  ///< what may be rounded
  bool deterministic = true;              ///< algorithms whose result varies between runs are excluded

  /// The op's attributes. `A` must be its own attribute type.
  template <class A>
  const A& attrs_as() const {
    return *static_cast<const A*>(attrs);
  }
};

/// What a kernel reports while it runs; `launch` or the session turns it into an Error on the caller's thread.
enum class KernelError : int32_t {
  none = 0,
  index_out_of_range,
  out_of_memory,
  device_failure,
  refused,  ///< the op's own check: OpDef::refusal has the words
};

/// Where the kernels of one unit of work report, in the GPU's memory: the first failure since the unit began. While it
/// holds one, updates of state leave the state as it is.
struct DeviceError {
  KernelError code;   ///< what has failed; none: nothing yet
  uint32_t tag;       ///< KernelContext::tag of the call that failed
  int64_t index;      ///< as KernelContext::fail's
  DeviceError* host;  ///< the unit's record in the host's memory, which kernels write too
  uint64_t unit;      ///< of a record: the unit that it is of, once the GPU has begun it
};

/// Runs `body(arg, i)` for every 0 <= i < n, on any threads, and returns when all are done. A body must not depend on
/// which thread or in which order: chunks are fixed by the problem, never by the number of threads.
struct ParallelFor {
  void* pool;  ///< the first argument of `run`
  /// @{
  /// Calls `body` for each i.
  void (*run)(void* pool, int64_t n, void (*body)(void*, int64_t), void* arg);
  /// @}
};

/// Handed to a kernel for one call.
struct KernelContext {
  const ParallelFor* parallel = nullptr;  ///< null: run on this thread
  void* workspace = nullptr;              ///< Prepared::workspace bytes, 64-byte aligned
  void* stream = nullptr;                 ///< the GPU's stream
  DeviceError* device_error = nullptr;    ///< on a GPU: where kernels report what they find while they run
  uint32_t tag = 0;                       ///< on a GPU: what tells this call from others in device_error
  uint64_t random_counter = 0;            ///< how often this random op has run before
  /// On a GPU: where to read random_counter from instead, when the call may be replayed; else null.
  const uint64_t* random_counter_at = nullptr;
  KernelError error = KernelError::none;  ///< what the kernel reports; see `fail`
  int64_t error_index = 0;                ///< its number: an index out of range, a device's error

  /// The first failure is kept.
  void fail(KernelError code, int64_t index) noexcept {
    if (error == KernelError::none) error = code, error_index = index;
  }
  /// `f(i)` for 0 <= i < n, in parallel where there is a pool and more than one chunk.
  template <class F>
  void parallel_for(int64_t n, F&& f) const {
    if (parallel && n > 1) {
      parallel->run(
          parallel->pool, n, [](void* arg, int64_t i) { (*static_cast<std::remove_reference_t<F>*>(arg))(i); },
          const_cast<void*>(static_cast<const void*>(&f)));
    } else {
      for (int64_t i = 0; i < n; ++i) f(i);
    }
  }
};

/// A kernel's work. `args` holds input pointers, then outputs, then hidden outputs. Outputs never overlap inputs,
/// except where the op's OpDef allows an output in place of an input of the same size. It allocates nothing and keeps
/// no state.
using KernelFn = void (*)(const void* params, void* const* args, KernelContext& context) noexcept;

/// A kernel made ready for one signature. Immutable; may run on several threads at once.
struct Prepared {
  static constexpr size_t kParamBytes = 512;
  KernelFn fn = nullptr;                 ///< null: this kernel does not support the signature
  size_t workspace = 0;                  ///< bytes of scratch for each call
  std::shared_ptr<const void> resource;  ///< what `params` points to, where a copy of bytes is not enough
  bool provisional = false;  ///< chosen for want of memory to choose better: not to be remembered for other calls
  alignas(16) std::byte params[kParamBytes];  ///< what `fn` gets: plain data of the kernel's own

  Prepared() = default;
  template <class P>
  Prepared(KernelFn f, const P& p, size_t workspace_bytes = 0) : fn(f), workspace(workspace_bytes) {
    static_assert(std::is_trivially_copyable_v<P> && sizeof(P) <= kParamBytes);
    std::memcpy(params, &p, sizeof p);
  }
};

using PrepareFn = Prepared (*)(const Signature&);

/// One kernel of a plugin.
struct KernelEntry {
  OpName op;          ///< OpDef::key
  PrepareFn prepare;  ///< makes it ready for a signature
};

/// One elementwise step over `n` contiguous elements. Bit i of `scalar_mask` says that input i is one element, used for
/// all. The unit from which pointwise kernels and fused groups are both made, so that they agree to the bit: element i
/// of the result depends on element i of the inputs alone, not on n or on its place.
using TileFn = void (*)(void* const* inputs, void* output, int64_t n, uint32_t scalar_mask) noexcept;

/// A pointwise op's tile function for operands of `dtype` and results of `to`.
struct TileEntry {
  OpName op;    ///< OpDef::key
  DType dtype;  ///< the operands'
  DType to;     ///< the result's
  TileFn fn;    ///< the function
};

/// The one table that a plugin exports, by `extern "C" const PluginTable* twofold_plugin()`.
struct PluginTable {
  uint64_t abi = 0;  ///< a hash of the headers that plugins and the library share, by kernels/generate.py; stays first
  const char* isa = "";                    ///< "x86-64-v4", "cuda"
  std::span<const KernelEntry> kernels;    ///< all kernels
  std::span<const TileEntry> tiles;        ///< all tile functions; none in the CUDA plugin
  const struct GpuRuntime* gpu = nullptr;  ///< the CUDA plugin's device functions, lib/runtime/gpu_runtime.h
};

}  // namespace twofold
