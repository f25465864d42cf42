// Which numbers a random op draws.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <unordered_map>

#include <twofold/lib/op/attrs.h>

namespace twofold {

/// How many random ops each scope has made, by the hash of its path.
struct RandomOrdinals {
  uint64_t seed = 0;
  std::unordered_map<uint64_t, uint64_t> next;
};

/// The key of the random op about to be made: the graph's seed (eager: the global one) with the op's seed, or with the
/// scope's path and the op's ordinal among the scope's random ops. The same program text gets the same keys in both
/// modes, and an unrelated op changes nobody's.
uint64_t next_random_key(std::optional<int64_t> op_seed);

/// Sets the seed: of the default graph, or eager the process's, whose sequences then restart. 0 until set.
void set_random_seed(int64_t seed);

/// A body that runs many times: a step, a loop's body, a branch. Its ops get the same keys at every pass, while their
/// counters go on.
struct RandomBody {
  uint64_t seed;
  uint64_t path;
};
RandomBody new_random_body(std::string_view kind);

/// One pass through a body, in either mode.
class [[nodiscard]] RandomFrame {
 public:
  explicit RandomFrame(const RandomBody& body);
  ~RandomFrame();
  RandomFrame(const RandomFrame&) = delete;
  RandomFrame& operator=(const RandomFrame&) = delete;

 private:
  friend RandomOrdinals& current_ordinals();
  RandomOrdinals ordinals_;
  RandomFrame* outer_;
  uint64_t outer_path_;
};

/// What decides which numbers random ops will draw: the ordinals, from which come the keys of ops to be made, and how
/// often ops have run, by key.
struct RandomState {
  RandomOrdinals ordinals;
  std::map<uint64_t, uint64_t> executions;
};
RandomState eager_random_state();
void set_eager_random_state(RandomState state);
/// A copy of a graph's, which other threads may be using.
RandomOrdinals copy_of(const RandomOrdinals& ordinals);

/// The key in the attributes of a random op, which must begin with it.
uint64_t random_key_of(AttrsView attrs);
/// The eager count of executions of `key`, before this one.
uint64_t next_eager_random_counter(uint64_t key);

}  // namespace twofold
