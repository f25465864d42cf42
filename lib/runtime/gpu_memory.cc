#include <twofold/lib/runtime/gpu_memory.h>

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <vector>

#include <twofold/lib/core/error.h>
#include <twofold/lib/runtime/plugin.h>
#include <twofold/lib/runtime/reclaim.h>

namespace twofold {
namespace {

// All pools, so that one that finds no memory can have the others give back what they only keep.
struct Pools {
  std::mutex mutex;
  std::vector<GpuPool*> all;  // guarded by mutex
};
Pools& pools() {
  static auto* p = new Pools;
  return *p;
}

// Guard bands: a block is [band][the value][band], all of it filled at first.
constexpr size_t kBand = 256;
constexpr uint8_t kMark = 0xA5;
std::atomic<int64_t> g_damaged{0};

bool bands_wanted() {
  static const bool wanted = std::getenv("TWOFOLD_GPU_GUARD_BANDS") != nullptr;
  return wanted;
}

bool intact(int gpu, const std::byte* band) {
  std::array<uint8_t, kBand> bytes;
  if (gpu_runtime()->to_host(gpu, bytes.data(), band, kBand)) return false;
  return std::ranges::all_of(bytes, [](uint8_t b) { return b == kMark; });
}

}  // namespace

GpuPool::GpuPool(int gpu, int64_t limit) : source_(gpu), allocator_(source_, INT64_MAX), limit_(limit) {
  std::lock_guard lock(pools().mutex);
  pools().all.push_back(this);
}

GpuPool::~GpuPool() {
  {
    std::lock_guard lock(pools().mutex);
    std::erase(pools().all, this);
  }
  release_cached();
}

GpuPool& GpuPool::eager(int gpu) {
  constexpr size_t kMostGpus = 128;
  static std::atomic<GpuPool*> made[kMostGpus];  // never destroyed: values may live as long as the process
  auto& known = made[static_cast<size_t>(gpu)];
  if (GpuPool* pool = known.load(std::memory_order_acquire)) return *pool;
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  if (!known.load()) known = make_ref<GpuPool>(gpu, 0).detach();
  return *known.load();
}

void* GpuPool::Source::take(size_t bytes) {
  void* p = nullptr;
  return gpu_runtime()->allocate(gpu, bytes, &p) ? nullptr : p;
}
void GpuPool::Source::give(void* p, size_t) noexcept { gpu_runtime()->release(gpu, p); }
void GpuPool::Source::release() noexcept {
  {
    std::lock_guard lock(pools().mutex);
    for (GpuPool* pool : pools().all)
      if (pool->gpu() == gpu) pool->allocator_.release_cached();
  }
  gpu_runtime()->trim(gpu);
}

void* GpuPool::allocate(size_t bytes) {
  const bool bands = bands_wanted();
  const size_t block = bands ? bytes + 2 * kBand : bytes;
  const auto over = [&](bool with_cached) {
    if (limit_ <= 0) return false;
    const AllocatorStats s = allocator_.stats();
    return s.in_use + (with_cached ? s.cached : 0) + static_cast<int64_t>(CachingAllocator::size_of_block(block)) >
           limit_;
  };
  std::byte* p = nullptr;
  const Device device{static_cast<int8_t>(gpu() + 1)};
  while (!p) {
    const bool full = over(false);
    if (over(true)) allocator_.release_cached();
    if (!full) p = static_cast<std::byte*>(allocator_.allocate(block));
    // Within its limit, what this pool's session keeps is what can help; else what anybody does.
    if (!p && !reclaim_memory(device, full ? this : nullptr)) break;
  }
  if (!p) {
    size_t free = 0, total = 0;
    gpu_runtime()->memory(gpu(), &free, &total);
    const std::string limit = limit_ > 0 ? fmt::format(" of its limit of {}", limit_) : "";
    fail(Code::ResourceExhausted,
         fmt::format("Out of memory on /gpu:{}: {} bytes were asked for; {} are held{}; {} of {} are free", gpu(),
                     bytes, allocator_.stats().in_use, limit, free, total),
         "smaller batches, or close sessions and drop tensors that are no longer needed");
  }
  if (!bands) return p;
  gpu_runtime()->fill(gpu(), p, kMark, block);
  return p + kBand;
}

void GpuPool::deallocate(void* p, size_t bytes) noexcept {
  if (!bands_wanted()) return allocator_.deallocate(p, bytes);
  auto* value = static_cast<std::byte*>(p);
  if (!intact(gpu(), value - kBand) || !intact(gpu(), value + bytes)) ++g_damaged;
  allocator_.deallocate(value - kBand, bytes + 2 * kBand);
}

bool GpuPool::give_up_memory(int gpu) {
  int64_t cached = 0;
  {
    std::lock_guard lock(pools().mutex);
    for (const GpuPool* pool : pools().all)
      if (pool->gpu() == gpu) cached += pool->stats().cached;
  }
  if (cached == 0 && !reclaim_memory({static_cast<int8_t>(gpu + 1)})) return false;
  Source(gpu).release();
  return true;
}

void GpuPool::release_cached() noexcept {
  allocator_.release_cached();
  gpu_runtime()->trim(gpu());
}

AllocatorStats memory_stats(std::string_view device) {
  const Device d = parse_device(device);
  if (d.is_cpu()) return allocator_stats();
  AllocatorStats sum;
  std::lock_guard lock(pools().mutex);
  for (const GpuPool* pool : pools().all) {
    if (pool->gpu() != d.gpu()) continue;
    const AllocatorStats s = pool->stats();
    sum.in_use += s.in_use, sum.peak += s.peak, sum.cached += s.cached, sum.fresh_count += s.fresh_count;
  }
  return sum;
}

void reset_peak_memory(std::string_view device) {
  const Device d = parse_device(device);
  if (d.is_cpu()) return reset_peak_allocation();
  std::lock_guard lock(pools().mutex);
  for (GpuPool* pool : pools().all)
    if (pool->gpu() == d.gpu()) pool->reset_peak();
}

int64_t damaged_gpu_guard_bands() { return g_damaged; }

}  // namespace twofold
