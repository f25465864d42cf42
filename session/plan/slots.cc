#include <twofold/session/plan/slots.h>

#include <fmt/format.h>

#include <vector>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/value.h>
#include <twofold/session/program/node_kinds.h>

namespace twofold {

Tensor Slot::eager_value() const {
  if (is_eager) return variable->eager_value();
  fail(Code::FailedPrecondition, fmt::format("Attempting to use uninitialized value {}", variable->name),
       "session.run(tf::global_variables_initializer()), or, to leave others as they are, "
       "session.run(tf::variables_initializer({v})); of an optimiser made later: session.run(opt.initializer())");
}

Slot& Slots::slot(const Ref<VariableState>& v) {
  std::lock_guard lock(mutex_);
  auto& slot = slots_[v->id];
  if (!slot) {
    const Tensor eager = v->eager_value();
    slot =
        std::make_unique<Slot>(v, eager.defined() ? eager.value()->device() : slot_device(*v, device), eager.defined());
  }
  return *slot;
}

void Slots::release_values() {
  std::vector<Slot*> slots;
  {
    std::lock_guard lock(mutex_);
    for (auto& [id, slot] : slots_) slots.push_back(slot.get());
  }
  for (Slot* slot : slots) {
    std::lock_guard value_lock(slot->lock);
    slot->value = Tensor();
  }
}

RandomCounter& Slots::counter(uint64_t key, uint32_t generation) {
  std::lock_guard lock(mutex_);
  auto& counter = counters_[{key, generation}];
  if (!counter) {
    counter.reset(new RandomCounter{key, generation, is_eager ? eager_counters(generation) : nullptr});
    if (generation <= loaded_generation_)
      if (const auto known = loaded_.extract(execution_id(key, loaded_generation_ - generation)))
        counter->count = known.mapped();
  }
  return *counter;
}

uint64_t Slots::count(uint64_t key, uint32_t generation) {
  const RandomCounter& c = counter(key, generation);
  return c.eager ? eager_count(key, generation) : c.count.load(std::memory_order_relaxed);
}

std::map<uint64_t, uint64_t> Slots::executions(uint32_t generation) {
  std::lock_guard lock(mutex_);
  std::map<uint64_t, uint64_t> found;
  for (const auto& [id, count] : loaded_) found.emplace(execution_id(id, generation - loaded_generation_), count);
  for (const auto& [op, counter] : counters_)
    if (const uint64_t count = counter->count)
      found.insert_or_assign(execution_id(op.first, generation - op.second), count);
  return found;
}

void Slots::set_executions(const std::map<uint64_t, uint64_t>& executions, uint32_t generation) {
  std::lock_guard lock(mutex_);
  loaded_ = executions;
  loaded_generation_ = generation;
  for (auto& [op, counter] : counters_) {
    const auto known = loaded_.extract(execution_id(op.first, generation - op.second));
    counter->count = known ? known.mapped() : 0;
  }
}

}  // namespace twofold
