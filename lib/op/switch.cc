#include <twofold/lib/op/switch.h>

#include <algorithm>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/thread_state.h>

namespace twofold {

bool Switch::read() const {
  const bool on = peek();
  if (t_state.switch_reads) t_state.switch_reads->note(*this, on);
  return on;
}

void Switch::set(bool on) {
  if (t_state.switch_reads)
    fail(Code::FailedPrecondition, "A module cannot be set to train or to evaluate in the body of a step",
         "net.eval(); step(x); net.train();");
  on_->store(on, std::memory_order_relaxed);
}

SwitchReads::SwitchReads() : outer_(t_state.switch_reads) { t_state.switch_reads = this; }
SwitchReads::~SwitchReads() {
  t_state.switch_reads = outer_;
  if (!outer_) return;
  for (const auto& [s, on] : list_) outer_->note(s, on);
}

void SwitchReads::note(const Switch& s, bool on) {
  const bool known = std::ranges::any_of(list_, [&](const auto& entry) { return entry.first.on_ == s.on_; });
  if (!known) list_.emplace_back(s, on);
}

bool SwitchReads::hold(const List& list) {
  return std::ranges::all_of(list, [](const auto& entry) { return entry.first.peek() == entry.second; });
}

}  // namespace twofold
