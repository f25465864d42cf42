// Where in a program an op is made: in which scope and in which execution of which body. Random keys and the identities
// that observers see are made from it.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>

namespace twofold {

/// How many random ops each scope has made, by the hash of its path.
struct RandomOrdinals {
  uint64_t seed = 0;
  uint32_t generation = 0;  ///< how often a seed was set after keys had been made; what was made before draws on
  bool used = false;        ///< keys were made in this generation
  std::unordered_map<uint64_t, uint64_t> next;
};

/// How often the ops of one generation have run in eager mode, by key.
using RandomCounters = std::unordered_map<uint64_t, uint64_t>;

/// The path, a hash, of the scope `name` in the scope of path `outer`. An empty name is the root.
uint64_t scope_path_in(uint64_t outer, std::string_view name);

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
struct BodyKey {
  uint64_t seed;
  uint64_t path;
  uint32_t generation = 0;
  std::shared_ptr<RandomCounters> counters;  ///< of that generation, in eager mode
};

/// One execution of a body, in either mode.
class [[nodiscard]] BodyExecution {
 public:
  explicit BodyExecution(const BodyKey& body);
  ~BodyExecution();
  BodyExecution(const BodyExecution&) = delete;
  BodyExecution& operator=(const BodyExecution&) = delete;

  /// The body's path.
  uint64_t body() const { return body_; }
  /// A number that no other execution has.
  uint64_t number() const { return number_; }
  /// That of the outermost execution around this one, or its own.
  uint64_t outermost() const { return outermost_; }
  const BodyExecution* outer() const { return outer_; }
  /// Of the ops that are made inside. Guarded by next_random_key's lock.
  RandomOrdinals& ordinals() { return ordinals_; }
  /// In eager mode; else null.
  const std::shared_ptr<RandomCounters>& counters() const { return counters_; }

 private:
  RandomOrdinals ordinals_;
  std::shared_ptr<RandomCounters> counters_;
  BodyExecution* outer_;
  uint64_t outer_path_;
  const uint64_t body_;
  const uint64_t number_;
  const uint64_t outermost_;
};

/// The innermost body under way on this thread, as its path; 0: none.
uint64_t current_body();
/// A number of its own for each execution of a body; 0: outside of all.
uint64_t current_execution();
/// That of the outermost; 0: outside of all.
uint64_t outermost_execution();

}  // namespace twofold
