#include <twofold/lib/op/late_errors.h>

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include <twofold/lib/core/plugin.h>
#include <twofold/lib/op/launch.h>

namespace twofold {
namespace {

constexpr uint32_t kMostPassing = 4096;
constexpr uint32_t kPassing = uint32_t{1} << 31;  ///< marks tags of passing calls

struct All {
  std::mutex mutex;
  std::vector<std::pair<int, LateErrors*>> errors;  // with their GPUs, guarded by mutex
};
All& all() {
  static auto* a = new All;
  return *a;
}

}  // namespace

LateErrors::LateErrors(int gpu) : gpu_(gpu) {
  check_gpu(gpu_runtime()->make_error_word(gpu, &on_device_, &on_host_), "the GPU's error word");
  std::lock_guard lock(all().mutex);
  all().errors.emplace_back(gpu, this);
}

LateErrors::~LateErrors() {
  {
    std::lock_guard lock(all().mutex);
    std::erase(all().errors, std::pair(gpu_, this));
  }
  gpu_runtime()->free_error_word(gpu_, on_device_, on_host_);
}

LateErrors& LateErrors::eager(int gpu) {
  constexpr size_t kMostGpus = 128;
  static std::atomic<LateErrors*> made[kMostGpus];
  auto& known = made[static_cast<size_t>(gpu)];
  if (LateErrors* e = known.load(std::memory_order_acquire)) return *e;
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  if (!known.load()) known = new LateErrors(gpu);
  return *known.load();
}

uint32_t LateErrors::add(Call call) {
  std::lock_guard lock(mutex_);
  calls_.push_back(std::move(call));
  return static_cast<uint32_t>(calls_.size() - 1);
}

uint32_t LateErrors::add_passing(Call call) {
  std::lock_guard lock(mutex_);
  const uint32_t i = passed_++ % kMostPassing;
  if (passing_.size() <= i) passing_.resize(i + 1);
  passing_[i] = std::move(call);
  return kPassing | i;
}

void LateErrors::raise() {
  KernelContext reported;
  Call call;
  {
    std::lock_guard lock(mutex_);
    if (on_host_->code == KernelError::none) return;  // another thread has told it
    reported.error = on_host_->code, reported.error_index = on_host_->index;
    const uint32_t tag = on_host_->tag;
    auto& calls = tag & kPassing ? passing_ : calls_;
    if (const uint32_t i = tag & ~kPassing; i < calls.size()) call = calls[i];
    on_host_->code = KernelError::none;
    gpu_runtime()->clear_error_word(gpu_, on_device_);
  }
  if (!call.op) fail(Code::Internal, "A kernel has failed of which nothing is known");
  try {
    check_kernel(*call.op, call.attrs ? call.attrs->view() : AttrsView(), reported);
  } catch (const Error& e) {
    ErrorFacts facts = e.facts();
    facts.op = call.op->name, facts.node = call.node, facts.where = call.where;
    throw Error(e.code(), std::move(facts));
  }
  fail(Code::Internal, fmt::format("'{}' has failed without a reason", call.op->name));
}

void check_late_errors(int gpu) {
  std::lock_guard lock(all().mutex);  // so that none of them ends meanwhile
  for (const auto& [of, errors] : all().errors)
    if (of == gpu) errors->check();
}

void check_gpu(int error, const char* what) {
  if (error == 0) return;
  const GpuRuntime& gpu = *gpu_runtime();
  fail(Code::Internal,
       fmt::format("{}: {}{}", what, gpu.error_text(error),
                   gpu.is_fatal(error) ? ". This is final: the process can no longer use the GPU" : ""));
}

void synchronize() {
  const GpuRuntime* gpu = gpu_runtime();
  if (!gpu) return;
  for (int i = 0; i < gpu->device_count(); ++i) {
    check_gpu(gpu->synchronize(i), "waiting for the GPU");
    check_late_errors(i);
  }
}

}  // namespace twofold
