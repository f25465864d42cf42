// Which numbers a random op draws.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>

#include <twofold/lib/op/attrs.h>

namespace twofold {

/// How many random ops each scope has made, by the hash of its path.
struct RandomOrdinals {
  uint64_t seed = 0;
  uint32_t generation = 0;  ///< how often a seed was set after keys had been made; what was made before draws on
  bool used = false;        ///< keys were made in this generation
  std::unordered_map<uint64_t, uint64_t> next;
};

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

/// How often the ops of one generation have run in eager mode, by key.
using RandomCounters = std::unordered_map<uint64_t, uint64_t>;

/// The key of the random op about to be made: the graph's seed (eager: the global one) with the op's seed, or with the
/// scope's path and the op's ordinal among the scope's random ops. The same program text gets the same keys in both
/// modes, and an unrelated op changes nobody's.
uint64_t next_random_key(std::optional<int64_t> op_seed);

/// A scope called `name` for as long as it lives, as far as both modes have scopes: keys of random ops and identities
/// (observer.h) are made from its path.
class [[nodiscard]] ScopePath {
 public:
  explicit ScopePath(std::string_view name);
  ~ScopePath();
  ScopePath(const ScopePath&) = delete;
  ScopePath& operator=(const ScopePath&) = delete;

 private:
  uint64_t outer_;
};

/// A body that runs many times: a step, a loop's body, a branch. Its ops get the same keys each time, while their
/// counters go on.
struct RandomBody {
  uint64_t seed;
  uint64_t path;
  uint32_t generation = 0;
  std::shared_ptr<RandomCounters> counters;  ///< of that generation, in eager mode
};
RandomBody new_random_body(std::string_view kind);

/// One execution of a body, in either mode.
class [[nodiscard]] RandomFrame {
 public:
  explicit RandomFrame(const RandomBody& body);
  ~RandomFrame();
  RandomFrame(const RandomFrame&) = delete;
  RandomFrame& operator=(const RandomFrame&) = delete;

 private:
  friend uint64_t current_body();
  friend uint64_t current_pass_serial();
  friend RandomOrdinals& current_ordinals();
  friend const std::shared_ptr<RandomCounters>& current_counters();
  RandomOrdinals ordinals_;
  std::shared_ptr<RandomCounters> counters_;
  RandomFrame* outer_;
  uint64_t outer_path_;
  const uint64_t body_;
  const uint64_t serial_;
};

/// The innermost body under way on this thread, as its path; 0: none.
uint64_t current_body();
/// A number of its own for each execution of a body; 0: outside of all.
uint64_t current_pass_serial();

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
/// Sets an eager count back to before `taken`, if these are the last that were taken.
void give_back_eager_counts(RandomCounters& counters, uint64_t key, const TakenCounts& taken);

}  // namespace twofold
