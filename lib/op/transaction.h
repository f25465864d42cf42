// What an eager step changes, so that one that fails leaves no trace of it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <source_location>
#include <span>
#include <unordered_map>
#include <vector>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/opdef.h>
#include <twofold/lib/op/random_key.h>
#include <twofold/lib/op/tensor.h>
#include <twofold/lib/op/variable.h>
#include <twofold/lib/op/variable_state.h>

namespace twofold {

class LateUnit;

/// From its construction to `commit`, or else to its end, which undoes: old values of variables that this thread has
/// assigned, counts of the random ops that have drawn, and the updates of optimisers, which wait. Updates write over
/// old values when the outermost transaction commits, for nothing can fail then; one whose variables are read before
/// that is done at once, and the old values are kept like others. What other threads have put into a variable or taken
/// of a count since is not undone.
///
/// On a GPU kernels fail after the call that made them. Updates and commits there skip what they would store once one
/// has. What lies on the host, counts of draws and variables, is committed when the GPU is known to have done its part.
///
/// Transactions nest: what the inner one has committed is the outer one's to undo. Of one thread.
class Transaction {
 public:
  Transaction();
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  /// Throws what kernels on a GPU have reported, where something on the host depends on it; nothing is committed then.
  void commit();

  /// An update op of an optimiser (kernels/optimizer/optimizer.h) on a parameter, its gradient, of one operand or more,
  /// the optimiser's state for it and the rate. False if it cannot wait, for its operands lie on several devices or it
  /// is to be observed.
  bool wait(const OpDef& op, AttrsView attrs, const Variable& parameter, std::span<const Tensor> gradient,
            std::span<const Variable> state, const Tensor& lr);

  // What the floors below tell of on this thread.
  /// `v` gets a new value.
  void assign(VariableState& v, Tensor next);
  /// Does what waits to write `v`, here or further out.
  void settle(const VariableState& v) {
    for (Transaction* t = this; t; t = t->outer_)
      if (!t->waiting_.empty()) t->settle_own(v);
  }
  void drew(const std::shared_ptr<RandomCounters>& counters, uint64_t key, uint64_t before) {
    Drawn& drawn = drawn_[{counters.get(), key}];
    drawn.counters = counters;
    drawn.taken.add(before);
  }
  /// The unit of all that the outermost transaction enqueues on GPUs. `gpu`: where a kernel that may fail will be; -1:
  /// no such kernel.
  LateUnit* late_unit(int gpu);

 private:
  struct Kept {
    Ref<VariableState> variable;
    Tensor value;
    bool initial = false;  // it was the variable's first
    uint64_t before = 0;   // its version
    uint64_t put = 0;      // that of what the transaction has put there
  };
  struct Drawn {
    std::shared_ptr<RandomCounters> counters;
    TakenCounts taken;
  };
  struct Update {
    const OpDef* op;
    Ref<AttrsBox> attrs;
    std::vector<Ref<VariableState>> variables;  // the parameter, then its state
    std::vector<Tensor> gradient;
    Tensor lr;
    std::source_location where;

    bool writes(const VariableState& v) const;
    AttrsView attrs_view() const { return attrs ? attrs->view() : AttrsView(); }
    Device device() const;
    /// The op's, `values` being those of the variables.
    std::vector<const Tensor*> operands(std::span<const Tensor* const> values) const;
  };

  void settle_own(const VariableState& v);
  void run_keeping(const Update& update);
  static std::vector<Tensor> places_for(const Update& update);
  void run_in_place(const Update& update, std::span<const Tensor> places);
  using Locks = std::vector<std::unique_lock<std::mutex>>;
  static Locks lock(std::span<const Update> updates, bool values);
  void run_waiting();
  void hand_to_outer();
  void check_operands() const;
  void commit_on_gpus();
  void undo() noexcept;

  Transaction* const outer_;
  bool committed_ = false;
  std::unordered_map<uint64_t, Kept> kept_;  // by VariableState::id
  std::map<std::pair<const RandomCounters*, uint64_t>, Drawn> drawn_;
  std::vector<Update> waiting_;
  std::set<int> late_gpus_;  // those with kernels that may fail
  Ref<LateUnit> unit_;       // of the outermost
};

}  // namespace twofold
