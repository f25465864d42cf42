// Which numbers a random op draws.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/body_execution.h>

namespace twofold {

/// Consecutive counts of one random op, [begin, end): those that a run or step has taken last. Where it fails they are
/// given back if the op still stands at `end`; what others have taken since would be drawn twice otherwise.
struct TakenCounts {
  uint64_t begin = 0, end = 0;
  /// More were taken. If others took some in between, what was taken before is not given back.
  void add(const TakenCounts& more) {
    if (begin == end || more.begin != end) begin = more.begin;
    end = more.end;
  }
  void add(uint64_t count) { add({count, count + 1}); }
};

/// The key of the random op about to be made: the graph's seed (eager: the global one) with the op's seed, or with the
/// scope's path and the op's ordinal among the scope's random ops. The same program text gets the same keys in both
/// modes, and an unrelated op changes nobody's.
uint64_t next_random_key(std::optional<int64_t> op_seed);

/// The key of a body about to be made, of the scope's path and its ordinal among the scope's bodies. `kind`: "cond".
BodyKey new_body_key(std::string_view kind);

/// What decides which numbers random ops will draw: the ordinals, from which come the keys of ops to be made, and how
/// often ops have run, by key.
struct RandomState {
  RandomOrdinals ordinals;
  std::map<uint64_t, uint64_t> executions;
};
RandomState eager_random_state();
/// Of eager mode, outside of bodies. Guarded by next_random_key's lock.
RandomOrdinals& eager_random_ordinals();
void set_eager_random_state(RandomState state);
/// A copy of a graph's, which other threads may be using.
RandomOrdinals copy_of(const RandomOrdinals& ordinals);

/// The key in the attributes of a random op, which must begin with it.
uint64_t random_key_of(AttrsView attrs);
/// What an op of a generation that is `age` generations old goes by in RandomState::executions. Ages add up: this of
/// such a name is what it goes by `age` generations later.
uint64_t execution_id(uint64_t key, uint32_t age);
/// The generation of the random op about to be made.
uint32_t current_random_generation();
/// The eager count of executions of `key`, before this one.
uint64_t next_eager_random_counter(uint64_t key);
/// @{
/// The counts of eager ops of `generation`, and one taken of them, as next_eager_random_counter does.
std::shared_ptr<RandomCounters> eager_counters(uint32_t generation);
uint64_t take_eager_count(const std::shared_ptr<RandomCounters>& counters, uint32_t generation, uint64_t key);
/// @}
/// A generation of its own for the random ops of a program that was loaded, whose counts these are.
uint32_t new_eager_generation(const std::shared_ptr<RandomCounters>& counters);
/// How often an op has been done in eager mode.
uint64_t eager_count(uint64_t key, uint32_t generation);
/// Sets an eager count back to before `taken`, if these are the last that were taken.
void give_back_eager_counts(RandomCounters& counters, uint64_t key, const TakenCounts& taken);

}  // namespace twofold
