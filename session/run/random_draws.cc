#include <twofold/session/run/random_draws.h>

#include <algorithm>
#include <utility>

namespace twofold {

void RandomDraws::note(RandomCounter& counter, uint64_t count) {
  if (taken_.size() == most_) {  // as in a loop
    join();
    most_ = std::max(most_, 2 * taken_.size());
  }
  taken_.push_back({&counter, {count, count + 1}});
}

void RandomDraws::join() noexcept {
  std::ranges::sort(taken_, {}, [](const Taken& t) { return std::pair(t.counter, t.counts.begin); });
  size_t n = 0;
  for (const Taken& t : taken_) {
    if (n && taken_[n - 1].counter == t.counter)
      taken_[n - 1].counts.add(t.counts);
    else
      taken_[n++] = t;
  }
  taken_.resize(n);
}

void RandomDraws::give_back() noexcept {
  join();
  for (const Taken& t : taken_) {
    if (t.counter->eager) {
      give_back_eager_counts(*t.counter->eager, t.counter->key, t.counts);
      continue;
    }
    uint64_t expected = t.counts.end;
    t.counter->count.compare_exchange_strong(expected, t.counts.begin, std::memory_order_relaxed);
  }
}

}  // namespace twofold
