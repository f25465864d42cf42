// Convolutions by cuDNN's graph API: what it offers for one, and plans made of that.
#pragma once

#include <cudnn_graph.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace twofold::cudnn {

/// A backend descriptor. The first failure is kept, and what follows does nothing.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) : status_(cudnnBackendCreateDescriptor(type, &raw_)) {}
  Descriptor(Descriptor&& o) noexcept : raw_(std::exchange(o.raw_, nullptr)), status_(o.status_) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (raw_) cudnnBackendDestroyDescriptor(raw_);
  }

  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void* data) {
    if (good()) status_ = cudnnBackendSetAttribute(raw_, name, type, count, data);
    return *this;
  }
  Descriptor& set(cudnnBackendAttributeName_t name, int64_t v) { return set(name, CUDNN_TYPE_INT64, 1, &v); }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& d) {
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &d.raw_);
  }
  Descriptor& finalize() {
    if (good()) status_ = cudnnBackendFinalize(raw_);
    return *this;
  }
  /// How many elements were read, at most `count`; with count 0, how many there are.
  int64_t get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, void* data) const {
    int64_t n = 0;
    const bool read = good() && cudnnBackendGetAttribute(raw_, name, type, count, &n, data) == CUDNN_STATUS_SUCCESS;
    return !read ? 0 : count == 0 ? n : std::min(n, count);
  }

  bool good() const { return status_ == CUDNN_STATUS_SUCCESS; }
  cudnnStatus_t status() const { return status_; }
  cudnnBackendDescriptor_t raw() const { return raw_; }

 private:
  cudnnBackendDescriptor_t raw_ = nullptr;
  cudnnStatus_t status_;
};

/// A device's cuDNN handle. A use binds a stream first, so it is locked as a whole; what it enqueues runs unlocked.
/// Never destroyed: the driver may be gone by the time statics are destroyed.
class Handle {
 public:
  /// Null if none can be made.
  static Handle* of_current_device();

  /// Calls `f(handle)`, bound to `stream`.
  template <class F>
  cudnnStatus_t with(cudaStream_t stream, F&& f) {
    std::lock_guard lock(mutex_);
    const cudnnStatus_t status = cudnnSetStream(handle_, stream);
    return status == CUDNN_STATUS_SUCCESS ? f(handle_) : status;
  }
  /// For descriptors, which need no stream.
  cudnnHandle_t raw() const { return handle_; }

 private:
  explicit Handle(cudnnHandle_t handle) : handle_(handle) {}
  std::mutex mutex_;
  cudnnHandle_t handle_;
};

enum class Pass : int32_t { output, input_gradient, weight_gradient };

/// One convolution as cuDNN describes it: extents in the order N, C, H, W whatever the layout. The weight lies as O, C,
/// H, W.
struct Convolution {
  Pass pass;
  bool float64;
  bool channels_last;  ///< of x and y in memory
  std::array<int64_t, 4> x, weight, y;
  std::array<int64_t, 2> before, after, stride, dilation;

  int64_t groups() const { return weight[1] == 0 ? 1 : x[1] / weight[1]; }
};

inline int64_t elements(const std::array<int64_t, 4>& extents) {
  return extents[0] * extents[1] * extents[2] * extents[3];
}

/// What engines must keep to.
struct Constraints {
  bool tf32;           ///< float32 operands may be rounded to TF32
  bool deterministic;  ///< equal runs give equal bits
};

/// An engine and how its knobs are set: what a plan is made of, and can be made of again.
struct Engine {
  int64_t index = 0;
  std::vector<std::pair<int32_t, int64_t>> knobs;  ///< type, value

  std::string str() const;
  /// Reads what str() wrote.
  static std::optional<Engine> parse(const std::string& text);
  friend bool operator==(const Engine&, const Engine&) = default;
};

/// A convolution as an operation graph.
class Operation {
 public:
  Operation(const Convolution& c, const Handle& handle);
  bool good() const { return graph_.good(); }
  const Descriptor& graph() const { return graph_; }

  /// At most `most` engines that keep to the constraints, the most promising first. None uses transforms (Winograd's,
  /// Fourier's), so that float32 errors are bounded by a result's own terms.
  std::vector<Engine> engines(const Constraints& constraints, size_t most) const;

 private:
  bool float64_;
  Descriptor x_, weight_, y_, convolution_, operation_, graph_;
};

/// A convolution made ready. Immutable.
class Plan {
 public:
  /// The alignment that run's pointers must have.
  static constexpr int64_t kAlignment = 16;

  /// Null if the engine cannot do it.
  static std::shared_ptr<const Plan> make(std::shared_ptr<const Operation> operation, const Engine& engine,
                                          const Handle& handle);
  /// Bytes of scratch for each run.
  size_t workspace() const { return workspace_; }
  cudnnStatus_t run(cudnnHandle_t handle, void* x, void* weight, void* y, void* workspace) const;

 private:
  Plan(std::shared_ptr<const Operation> operation, const Engine& engine, const Handle& handle);

  std::shared_ptr<const Operation> operation_;
  Descriptor engine_, config_, plan_;
  std::vector<Descriptor> knobs_;
  size_t workspace_ = 0;
};

}  // namespace twofold::cudnn
