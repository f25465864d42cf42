// What kernels on a GPU report while they run: the host learns of it after the call that made them has returned.
#pragma once

#include <mutex>
#include <source_location>
#include <string>
#include <vector>

#include <twofold/lib/core/ref.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {

/// One place to report to, and what the reports are about. Eager execution has one for each GPU, every session its own.
/// Safe from several threads.
class LateErrors final : public RefCounted {
 public:
  /// An op that may fail, for the message.
  struct Call {
    const OpDef* op = nullptr;
    Ref<AttrsBox> attrs;
    std::string node;  ///< its name in a graph
    std::source_location where;
  };

  explicit LateErrors(int gpu);
  static LateErrors& eager(int gpu);

  /// For KernelContext::device_error.
  DeviceError* word() const { return on_device_; }
  /// A tag for KernelContext that stands for `call` as long as this lives.
  uint32_t add(Call call);
  /// A tag that stands for it until a few thousand more have been given.
  uint32_t add_passing(Call call);

  /// Throws what has been reported, once.
  void check() {
    if (static_cast<const volatile DeviceError*>(on_host_)->code != KernelError::none) raise();
  }

 private:
  ~LateErrors() override;
  void raise();

  const int gpu_;
  DeviceError* on_device_ = nullptr;
  DeviceError* on_host_ = nullptr;
  std::mutex mutex_;  // guards all below
  std::vector<Call> calls_;
  std::vector<Call> passing_;
  uint32_t passed_ = 0;
};

/// Throws what kernels of `gpu` have reported so far to anyone, once.
void check_late_errors(int gpu);
/// Throws Internal for a CUDA error other than 0, saying so if the GPU can be used no more.
void check_gpu(int error, const char* what);

}  // namespace twofold
