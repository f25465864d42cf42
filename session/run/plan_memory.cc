#include <twofold/session/run/plan_memory.h>

#include <algorithm>
#include <tuple>

#include <twofold/lib/runtime/allocator.h>
#include <twofold/lib/runtime/gpu_memory.h>
#include <twofold/lib/runtime/plugin.h>

namespace twofold {
namespace {

int64_t memory_of(Device device) {
  if (device.is_cpu()) return static_cast<int64_t>(host_memory_bytes());
  size_t free = 0, total = 0;
  gpu_runtime()->memory(device.gpu(), &free, &total);
  return static_cast<int64_t>(total);
}

void add_to(DeviceBytes& sum, const DeviceBytes& bytes) {
  for (const auto& [device, n] : bytes) {
    const auto known = std::ranges::find(sum, device, [](const auto& entry) { return entry.first; });
    if (known != sum.end()) {
      known->second += n;
    } else {
      sum.emplace_back(device, n);
    }
  }
}

int64_t on(const DeviceBytes& bytes, Device device) {
  int64_t n = 0;
  for (const auto& [where, b] : bytes) n += where == device ? b : 0;
  return n;
}

}  // namespace

void PlanMemory::add(PlanHolder& plan, const DeviceBytes& constants) {
  std::lock_guard lock(mutex_);
  plans_[&plan] = {added_++, constants, {}};
  for (const auto& [device, n] : constants) total_[device.index] += n;
}

void PlanMemory::remove(PlanHolder& plan) noexcept {
  std::lock_guard lock(mutex_);
  const auto found = plans_.find(&plan);
  if (found == plans_.end()) return;
  for (const DeviceBytes* bytes : {&found->second.constants, &found->second.bytes})
    for (const auto& [device, n] : *bytes) total_[device.index] -= n;
  plans_.erase(found);
}

void PlanMemory::hold(PlanHolder& plan, const DeviceBytes& bytes) {
  std::lock_guard lock(mutex_);
  const auto found = plans_.find(&plan);
  if (found == plans_.end()) return;
  add_to(found->second.bytes, bytes);
  for (const auto& [device, n] : bytes) total_[device.index] += n;
}

int64_t PlanMemory::limit_of(Device device) {
  if (limit_ > 0) return limit_;
  if (!device.is_cpu() && gpu_limit_ > 0) return gpu_limit_ / 2;
  {
    std::lock_guard lock(mutex_);
    if (const auto known = capacity_.find(device.index); known != capacity_.end()) return known->second / 2;
  }
  const int64_t capacity = memory_of(device);
  std::lock_guard lock(mutex_);
  capacity_[device.index] = capacity;
  return capacity / 2;
}

void PlanMemory::make_room(PlanHolder* plan, const DeviceBytes& bytes) {
  for (const auto& [device, n] : bytes)
    while (held(device) + n > limit_of(device) && give_up_other(device, nullptr, plan)) {
    }
}

bool PlanMemory::is_over(const DeviceBytes& bytes) {
  return std::ranges::any_of(bytes, [&](const auto& entry) { return held(entry.first) > limit_of(entry.first); });
}

bool PlanMemory::is_of(Device device, const GpuPool* pool) const { return !pool || pools_.known(device.gpu()) == pool; }

uint64_t PlanMemory::oldest(Device device, const GpuPool* pool) {
  if (!is_of(device, pool)) return kNothing;
  std::lock_guard lock(mutex_);
  uint64_t time = kNothing;
  for (const auto& [plan, held] : plans_)
    if (on(held.bytes, device) + on(held.constants, device) > 0) time = std::min(time, plan->last_used());
  return time;
}

bool PlanMemory::give_up_other(Device device, const GpuPool* pool, PlanHolder* but) {
  if (!is_of(device, pool)) return false;
  for (;;) {
    const GivenUp next = give_up_one(device, but);
    if (!next.plan) return false;
    const bool gone = given_up_ && given_up_(next.plan);
    if (next.freed || gone) return true;
  }
}

PlanMemory::GivenUp PlanMemory::give_up_one(Device device, PlanHolder* but) {
  std::lock_guard lock(mutex_);  // as long as frames go: their plan must be there
  std::vector<std::tuple<uint64_t, uint64_t, PlanHolder*>> candidates;
  for (const auto& [plan, held] : plans_)
    if (plan != but && on(held.bytes, device) + on(held.constants, device) > 0)
      candidates.emplace_back(plan->last_used(), held.added, plan);
  std::ranges::sort(candidates);
  for (const auto& [time, number, plan] : candidates) {
    const IdleMemory idle = plan->take_idle();
    Held& h = plans_[plan];
    const DeviceBytes& bytes = idle.bytes;
    for (const auto& [where, n] : bytes) total_[where.index] -= n;
    DeviceBytes less;
    for (const auto& [where, n] : bytes) less.emplace_back(where, -n);
    add_to(h.bytes, less);
    const bool freed = on(bytes, device) > 0;
    const bool only_constants = on(h.bytes, device) == 0 && on(h.constants, device) > 0 && !plan->is_given_up();
    if (!freed && !only_constants) continue;
    plan->set_given_up();
    return {plan, freed};
  }
  return {};
}

}  // namespace twofold
