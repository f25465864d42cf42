#include <twofold/lib/op/value.h>

#include <fmt/format.h>

#include <new>

#include <twofold/lib/core/allocator.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/core/plugin.h>

namespace twofold {
namespace {

// Blocks of sizeof(Value) kept per thread: an eager scalar op makes and drops one within nanoseconds. The cache itself
// has no constructor or destructor, so that reaching it costs one instruction; its Cleaner empties it when the thread
// ends.
struct BlockCache {
  static constexpr int kMost = 256;
  void* blocks[kMost];
  int count;
  bool open;
};
thread_local constinit BlockCache t_blocks __attribute__((tls_model("initial-exec"))) = {};

struct Cleaner {
  Cleaner() { t_blocks.open = true; }
  ~Cleaner() {
    t_blocks.open = false;  // what is freed from now on goes back at once
    while (t_blocks.count) ::operator delete(t_blocks.blocks[--t_blocks.count]);
  }
};
thread_local bool t_was_open = false;

void check_gpu(int error, const char* what) {
  if (error) fail(Code::Internal, fmt::format("{}: {}", what, gpu_runtime()->error_text(error)));
}

}  // namespace

void* Value::operator new(size_t bytes) {
  BlockCache& cache = t_blocks;
  if (cache.count) return cache.blocks[--cache.count];
  if (!t_was_open) {
    static thread_local Cleaner cleaner;
    t_was_open = true;
  }
  return ::operator new(bytes);
}

void Value::operator delete(void* p) noexcept {
  BlockCache& cache = t_blocks;
  if (cache.open && cache.count < BlockCache::kMost) {
    cache.blocks[cache.count++] = p;
  } else {
    ::operator delete(p);
  }
}

Value::Value(Kind kind, DType dtype, const Shape& shape, Device device)
    : spec_{dtype, shape}, kind_(kind), device_(device), num_elements_(shape.num_elements()) {}

Value::~Value() {
  if (kind_ == Kind::handle) object()->release();
  if (kind_ != Kind::owner) return;
  if (device_.is_cpu()) {
    deallocate(data_, bytes());
  } else {
    gpu_runtime()->release(device_.index - 1, data_);
  }
}

Ref<Value> Value::make(DType dtype, const Shape& shape, Device device) {
  const int64_t n = shape.num_elements();
  if (n < 0) fail(Code::Internal, fmt::format("A value of shape {} was asked for", shape.str()));
  check_size(shape);
  const size_t bytes = static_cast<size_t>(n) * size_of(dtype);
  if (device.is_cpu() && bytes <= kSmallBytes) {
    auto v = Ref<Value>::adopt(new Value(Kind::small, dtype, shape, device));
    v->data_ = v->small_;
    return v;
  }
  void* data = nullptr;
  if (device.is_cpu()) {
    data = allocate(bytes);
  } else if (const int error = gpu_runtime()->allocate(device.index - 1, bytes, &data)) {
    fail(Code::ResourceExhausted,
         fmt::format("{} bytes on {}: {}", bytes, device.name(), gpu_runtime()->error_text(error)));
  }
  auto v = Ref<Value>::adopt(new Value(Kind::owner, dtype, shape, device));
  v->data_ = data;
  return v;
}

Ref<Value> Value::view(Ref<Value> base, const Shape& shape, int64_t offset) {
  auto v =
      Ref<Value>::adopt(new Value(base->is_shell() ? Kind::shell : Kind::view, base->dtype(), shape, base->device()));
  v->data_ = static_cast<std::byte*>(base->data_) + offset;
  v->base_ = base->base_ ? base->base_ : std::move(base);
  return v;
}

Ref<Value> Value::borrow(DType dtype, const Shape& shape, void* data) {
  auto v = Ref<Value>::adopt(new Value(Kind::borrowed, dtype, shape, {}));
  v->data_ = data;
  return v;
}

Ref<Value> Value::alias(DType dtype, const Shape& shape, const void* data, Ref<RefCounted> owner) {
  auto v = Ref<Value>::adopt(new Value(Kind::view, dtype, shape, {}));
  v->data_ = const_cast<void*>(data);
  v->base_ = handle(std::move(owner));
  return v;
}

Ref<Value> Value::shell(DType dtype, const Shape& shape, Device device, uint64_t id) {
  auto v = Ref<Value>::adopt(new Value(Kind::shell, dtype, shape, device));
  v->id_ = id;
  return v;
}

Ref<Value> Value::handle(Ref<RefCounted> object) {
  auto v = Ref<Value>::adopt(new Value(Kind::handle, uint8, Shape{0}, {}));
  v->data_ = v->small_;
  ::new (static_cast<void*>(v->small_)) RefCounted*(object.detach());
  return v;
}

RefCounted* Value::object() const {
  return kind_ == Kind::handle ? *std::launder(reinterpret_cast<RefCounted* const*>(small_)) : nullptr;
}

uint64_t Value::id() const {
  uint64_t id = id_.load(std::memory_order_relaxed);
  if (id == 0) {
    static std::atomic<uint64_t> g_next{1};
    const uint64_t fresh = g_next.fetch_add(1, std::memory_order_relaxed);
    if (id_.compare_exchange_strong(id, fresh, std::memory_order_relaxed)) id = fresh;
  }
  return id;
}

void check_size(const Shape& shape) {
  if (shape.num_elements() > INT64_MAX / 8)
    fail(Code::ResourceExhausted, fmt::format("A value of shape {} has too many elements", shape.str()));
}

Tensor renamed(const Tensor& t) {
  return Tensor::adopt(Value::view(Ref<Value>(retained(t).value()), t.shape(), 0).detach());
}

Tensor retained(const Tensor& t) {
  return t.is_concrete() && t.value()->is_borrowed() ? copy_to(t, t.value()->device()) : t;
}

Tensor copy_to(const Tensor& t, Device device) {
  const Value& from = *t.value();
  auto to = Value::make(from.dtype(), from.shape(), device);
  if (from.bytes() != 0) {
    if (from.device().is_cpu() && device.is_cpu()) {
      std::memcpy(to->data(), from.data(), from.bytes());
    } else {
      const GpuRuntime& gpu = *gpu_runtime();
      if (device.is_cpu()) {
        check_gpu(gpu.to_host(from.device().index - 1, to->data(), from.data(), from.bytes()), "copy to the host");
      } else if (from.device().is_cpu()) {
        check_gpu(gpu.to_device(device.index - 1, to->data(), from.data(), from.bytes()), "copy to the GPU");
      } else {
        check_gpu(gpu.on_device(device.index - 1, to->data(), from.data(), from.bytes()), "copy between GPUs");
      }
    }
  }
  return Tensor::adopt(to.detach());
}

}  // namespace twofold
