#include <twofold/lib/op/switch.h>

#include <algorithm>

#include <twofold/lib/core/error.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

uint64_t Setting::read() const {
  const uint64_t value = peek();
  if (t_state.switch_reads) t_state.switch_reads->note(*this, value);
  return value;
}

void Setting::set(uint64_t value, const char* refusal, const char* hint) {
  if (t_state.switch_reads) fail(Code::FailedPrecondition, refusal, hint);
  value_->store(value, std::memory_order_relaxed);
}

SwitchReads::SwitchReads() : outer_(t_state.switch_reads) { t_state.switch_reads = this; }
SwitchReads::~SwitchReads() {
  t_state.switch_reads = outer_;
  if (!outer_) return;
  for (const auto& [s, value] : list_) outer_->note(s, value);
}

void SwitchReads::note(const Setting& s, uint64_t value) {
  const bool known = std::ranges::any_of(list_, [&](const auto& entry) { return entry.first.value_ == s.value_; });
  if (!known) list_.emplace_back(s, value);
}

bool SwitchReads::hold(const List& list) {
  return std::ranges::all_of(list, [](const auto& entry) { return entry.first.peek() == entry.second; });
}

bool SwitchReads::outdated(const List& list) {
  return std::ranges::any_of(
      list, [](const auto& entry) { return entry.first.counts_ && entry.first.peek() != entry.second; });
}

}  // namespace twofold
