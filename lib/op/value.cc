#include <twofold/lib/op/value.h>

#include <fmt/format.h>

#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <tuple>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/late_errors.h>
#include <twofold/lib/runtime/allocator.h>
#include <twofold/lib/runtime/gpu_memory.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/plugin.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {
namespace {

// Blocks of sizeof(Value) kept per thread, each holding the next: an eager scalar op makes and drops one within
// nanoseconds. The cache itself has no constructor or destructor, so that reaching it costs one instruction; its
// Cleaner empties it when the thread ends. It is small, for a program that loads the library while it runs has a few
// hundred bytes for all initial-exec variables of all that it loads (tests/dlopen).
struct Block {
  Block* next;
};
struct BlockCache {
  static constexpr int kMost = 256;
  Block* first;
  int room;  // how many more are kept; 0 until a Cleaner is there, and when it has gone
};
thread_local constinit BlockCache t_blocks __attribute__((tls_model("initial-exec"))) = {};

struct Cleaner {
  Cleaner() { t_blocks.room = BlockCache::kMost; }
  ~Cleaner() {
    t_blocks.room = 0;  // what is freed from now on goes back at once
    while (Block* block = t_blocks.first) {
      t_blocks.first = block->next;
      ::operator delete(block);
    }
  }
};
thread_local bool t_was_open = false;

struct EagerPools {
  GpuPools* outer = std::exchange(t_state.pools, nullptr);
  ~EagerPools() { t_state.pools = outer; }
};

// Where values on a GPU are made: in the pool of the session under way on this thread, or that of eager values.
GpuPool& current_pool(int gpu) { return t_state.pools ? t_state.pools->of(gpu) : GpuPool::eager(gpu); }

}  // namespace

void* Value::operator new(size_t bytes) {
  BlockCache& cache = t_blocks;
  if (Block* block = cache.first) {
    cache.first = block->next;
    ++cache.room;
    return block;
  }
  if (!t_was_open) {
    static thread_local Cleaner cleaner;
    t_was_open = true;
  }
  return ::operator new(bytes);
}

void Value::operator delete(void* p) noexcept {
  BlockCache& cache = t_blocks;
  if (cache.room == 0) return ::operator delete(p);
  --cache.room;
  cache.first = ::new (p) Block{cache.first};
}

Value::Value(Kind kind, DType dtype, const Shape& shape, Device device)
    : spec_{dtype, shape}, kind_(kind), device_(device), num_elements_(shape.saturated_elements()) {}

Value::~Value() {
  if (kind_ == Kind::handle) object()->release();
  if (!device_.is_cpu()) {
    if (const Value* host = host_.load(std::memory_order_acquire)) host->release();
    if (late_) late_->release();
  }
  if (kind_ != Kind::owner) return;
  if (device_.is_cpu()) {
    deallocate(data_, bytes());
  } else {
    static_cast<GpuPool*>(keeper_.get())->deallocate(data_, bytes());
  }
}

Ref<Value> Value::make(DType dtype, const Shape& shape, Device device) {
  const auto n = static_cast<size_t>(shape.saturated_elements());
  const size_t bytes = n * size_of(dtype);
  // Both, for the product may wrap.
  if (device.is_cpu() && bytes <= kSmallBytes && n <= kSmallBytes) {
    auto v = Ref<Value>::adopt(new Value(Kind::small, dtype, shape, device));
    v->data_ = v->small_;
    return v;
  }
  return make_owner(dtype, shape, device, checked_bytes(dtype, shape));
}

Ref<Value> Value::make_owner(DType dtype, const Shape& shape, Device device, size_t bytes) {
  Ref<GpuPool> pool;
  if (!device.is_cpu()) pool = Ref<GpuPool>(&current_pool(device.gpu()));
  void* data = pool ? pool->allocate(bytes) : allocate(bytes);
  auto v = Ref<Value>::adopt(new Value(Kind::owner, dtype, shape, device));
  v->data_ = data;
  v->keeper_ = std::move(pool);
  return v;
}

Ref<Value> Value::view(Ref<Value> base, const Shape& shape, int64_t offset) {
  if (RefCounted* object = base->object()) {
    auto v = handle(Ref<RefCounted>(object), base->dtype(), base->device());
    if (base->late_) (v->late_ = base->late_)->retain();
    return v;
  }
  auto v =
      Ref<Value>::adopt(new Value(base->is_shell() ? Kind::shell : Kind::view, base->dtype(), shape, base->device()));
  v->data_ = static_cast<std::byte*>(base->data_) + offset;
  const bool has_base = base->kind_ == Kind::view || base->kind_ == Kind::shell;
  if (base->late_) (v->late_ = base->late_)->retain();
  v->keeper_ = has_base && base->keeper_ ? base->keeper_ : Ref<RefCounted>(std::move(base));
  return v;
}

Ref<Value> Value::borrow(DType dtype, const Shape& shape, void* data, Device device) {
  auto v = Ref<Value>::adopt(new Value(Kind::borrowed, dtype, shape, device));
  v->data_ = data;
  return v;
}

Ref<Value> Value::alias(DType dtype, const Shape& shape, const void* data, Ref<RefCounted> owner) {
  auto v = Ref<Value>::adopt(new Value(Kind::view, dtype, shape, {}));
  v->data_ = const_cast<void*>(data);
  v->keeper_ = handle(std::move(owner));
  return v;
}

Ref<Value> Value::shell(DType dtype, const Shape& shape, Device device, uint64_t id) {
  auto v = Ref<Value>::adopt(new Value(Kind::shell, dtype, shape, device));
  v->id_ = id;
  return v;
}

Ref<Value> Value::handle(Ref<RefCounted> object, DType dtype, Device device) {
  auto v = Ref<Value>::adopt(new Value(Kind::handle, dtype, Shape{0}, device));
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

size_t checked_bytes(DType dtype, const Shape& shape) {
  // The addresses of a program reach as far; no GPU's memory does.
  constexpr int64_t kMost = int64_t{1} << 47;
  const int64_t n = shape.saturated_elements();
  if (n > kMost / static_cast<int64_t>(size_of(dtype)))
    fail(Code::ResourceExhausted,
         fmt::format("A {} tensor of shape {} has more elements than any memory holds", name_of(dtype), shape.str()));
  return static_cast<size_t>(n) * size_of(dtype);
}

Tensor renamed(const Tensor& t) {
  return Tensor::adopt(Value::view(Ref<Value>(retained(t).value()), t.shape(), 0).detach());
}

Tensor retained(const Tensor& t) {
  return t.is_concrete() && t.value()->is_borrowed() ? copy_to(t, t.value()->device()) : t;
}

void* Value::overwrite() {
  if (!device_.is_cpu())
    if (const Value* host = host_.exchange(nullptr, std::memory_order_acq_rel)) host->release();
  id_.store(0, std::memory_order_relaxed);
  return data_;
}

void Value::set_late_errors(Ref<LateErrors> errors) {
  if (late_) late_->release();
  late_ = errors.detach();
}

Tensor with_late_errors(const Tensor& t, const LateErrors* errors) {
  if (!errors || t.value()->device().is_cpu()) return t;
  Ref<Value> view = Value::view(Ref<Value>(t.value()), t.shape(), 0);
  view->set_late_errors(LateErrors::joined(t.value()->late_errors(), errors));
  return Tensor::adopt(view.detach());
}

void check_late_errors(const Tensor& t) {
  if (const LateErrors* errors = t.value()->late_errors()) errors->wait_and_check();
}

const Value& Value::on_host() const {
  if (device_.is_cpu()) return *this;
  if (const Value* known = host_.load(std::memory_order_acquire)) return *known;
  const Tensor self = Tensor::adopt(Ref<Value>(const_cast<Value*>(this)).detach());
  Value* made = Ref<Value>(copy_to(self, {}).value()).detach();
  Value* none = nullptr;
  if (host_.compare_exchange_strong(none, made, std::memory_order_acq_rel)) return *made;
  made->release();  // another thread was first
  return *none;
}

void copy_into(const Tensor& source, const Tensor& target) {
  const Value &from = *source.value(), &to = *target.value();
  const int here = from.device().gpu(), there = to.device().gpu();
  if (from.bytes() == 0) return;
  if (here < 0 && there < 0) {
    std::memcpy(to.data(), from.data(), from.bytes());
    return;
  }
  const GpuRuntime& gpu = *gpu_runtime();
  if (there < 0) {
    const PhaseTimer waiting(current_ledger(), Phase::sync);
    check_gpu(gpu.to_host(here, to.data(), from.data(), from.bytes()), "copying to the host");
    if (const LateErrors* errors = from.late_errors()) errors->check();
    return;
  }
  const DeviceTimer timer(to.device(), current_ledger(), "Transfer", Phase::transfer);
  if (here < 0) {
    check_gpu(gpu.to_device(there, to.data(), from.data(), from.bytes()), "copying to the GPU");
  } else if (here == there) {
    check_gpu(gpu.on_device(there, to.data(), from.data(), from.bytes()), "copying on the GPU");
  } else {
    check_gpu(gpu.between(there, to.data(), here, from.data(), from.bytes()), "copying between GPUs");
  }
}

Tensor copy_to(const Tensor& t, Device device) {
  if (t.value()->object()) return renamed(t);
  const Tensor made = Tensor::adopt(Value::make(t.dtype(), t.shape(), device).detach());
  copy_into(t, made);
  if (const LateErrors* errors = t.value()->late_errors(); errors && !device.is_cpu())
    made.value()->set_late_errors(LateErrors::joined(errors, nullptr));
  return made;
}

Tensor copied_operand(const Tensor& t, Device device) {
  const Value& v = *t.value();
  if (v.shape().rank() != 0 || !v.device().is_cpu() || device.is_cpu()) return copy_to(t, device);
  using Key = std::tuple<int8_t, DType, uint64_t>;
  constexpr size_t kMost = 1024;
  static std::mutex mutex;
  static auto* kept = new std::map<Key, Tensor>;
  uint64_t bits = 0;
  std::memcpy(&bits, v.data(), v.bytes());
  std::lock_guard lock(mutex);
  if (kept->size() >= kMost) kept->clear();
  Tensor& number = (*kept)[{device.index, v.dtype(), bits}];
  if (!number.defined()) {
    const EagerPools outside;  // it outlives sessions
    number = copy_to(t, device);
  }
  return number;
}

Tensor moved_to(const Tensor& t, Device device) { return t.value()->device() == device ? t : copy_to(t, device); }

}  // namespace twofold
