#include <twofold/lib/runtime/reclaim.h>

#include <algorithm>
#include <mutex>
#include <vector>

namespace twofold {
namespace {

struct Holders {
  std::mutex mutex;
  std::vector<MemoryHolder*> all;  // guarded by mutex
};
Holders& holders() {
  static auto* h = new Holders;
  return *h;
}

}  // namespace

void MemoryHolder::join() {
  std::lock_guard lock(holders().mutex);
  holders().all.push_back(this);
}

MemoryHolder::~MemoryHolder() { leave(); }

void MemoryHolder::leave() {
  std::lock_guard lock(holders().mutex);
  std::erase(holders().all, this);
}

bool reclaim_memory(Device device, const GpuPool* pool) {
  std::lock_guard lock(holders().mutex);  // so that none of them ends meanwhile
  std::vector<std::pair<uint64_t, MemoryHolder*>> found;
  for (MemoryHolder* h : holders().all)
    if (const uint64_t time = h->oldest(device, pool); time != MemoryHolder::kNothing) found.emplace_back(time, h);
  std::ranges::sort(found);
  return std::ranges::any_of(found, [&](const auto& entry) { return entry.second->give_up(device, pool); });
}

}  // namespace twofold
