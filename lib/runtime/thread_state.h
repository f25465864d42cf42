// What is under way on one thread: mode, tapes, ledger, location. Every guard is an entry here.
#pragma once

#include <cstdint>
#include <source_location>

#include <twofold/lib/runtime/device.h>

namespace twofold {

// Of higher floors, by name alone. One object has what all guards set, since it is reached by one address, and a
// program that loads the library late has few bytes for what is of a thread.
class GraphData;
class Tape;
class GpuPools;
class Mode;
class Ledger;
class BodyExecution;
class Transaction;
class StepScope;
class BodySymbols;
class RandomDraws;
class GuardedRun;
namespace internal {
class ObservedThread;
class SwitchReads;
}  // namespace internal
struct ObserverLevel;

/// What guards and calls under way have set on this thread.
struct ThreadState {
  // In an order that leaves few holes: a program that loads the library late has few bytes for this.
  Mode* mode = nullptr;            ///< of the innermost guard; null: the process's
  int32_t source_scopes = 0;       ///< SourceScopes
  uint32_t scope = 0;              ///< the name scope in `graph`; 0: its root
  int8_t device = -1;              ///< of the innermost device guard; -1: none
  bool traces_values = false;      ///< the body under way is traced for values, which the host may read
  std::source_location source{};   ///< of the outermost SourceScope
  std::source_location current{};  ///< the op under way, for errors
  const char* current_op = "";     ///< its type; empty if none
  Tape* tape = nullptr;            ///< the innermost live tape, whose outer_ is the next
  GpuPools* pools = nullptr;       ///< of the session under way, where it runs on a GPU
  Ledger* ledger = nullptr;        ///< the ledger that records this thread, if any
  GraphData* graph = nullptr;      ///< of the innermost as_default; null: the default graph
  uint64_t scope_path = 0;        ///< hash of the scopes' names as given, in both modes: what random keys are made from
  BodyExecution* body = nullptr;  ///< the innermost step, loop or branch body
  internal::SwitchReads* switch_reads = nullptr;  ///< the innermost, if any
  Transaction* transaction = nullptr;             ///< of the innermost eager step
  const StepScope* step = nullptr;                ///< the innermost step whose body is under way, in either mode
  BodySymbols* symbols = nullptr;                 ///< of the step that is being built
  internal::ObservedThread* observing = nullptr;  ///< the innermost, if any
  ObserverLevel* observer_levels = nullptr;       ///< the innermost of what is under way because of observers
  RandomDraws* draws = nullptr;                   ///< of the run under way, where it has bodies that draw
  GuardedRun* guarded = nullptr;                  ///< the run under way of a trace with guards
};

// initial-exec: one instruction instead of a call for each access.
extern thread_local constinit ThreadState t_state __attribute__((tls_model("initial-exec")));

/// No tape sees what is done on this thread during its lifetime.
class [[nodiscard]] WithoutTape {
 public:
  WithoutTape() : tape_(t_state.tape) { t_state.tape = nullptr; }
  ~WithoutTape() { t_state.tape = tape_; }
  WithoutTape(const WithoutTape&) = delete;
  WithoutTape& operator=(const WithoutTape&) = delete;

 private:
  Tape* tape_;
};

/// Ops made on this thread during its lifetime run on `device`.
class [[nodiscard]] OnDevice {
 public:
  explicit OnDevice(Device device) : outer_(t_state.device) { t_state.device = device.index; }
  ~OnDevice() { t_state.device = outer_; }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int8_t outer_;
};

}  // namespace twofold
