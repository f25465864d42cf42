// Runs that live tapes see as one record.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
#include <span>
#include <utility>
#include <vector>

#include <twofold/lib/op/variable_state.h>
#include <twofold/session/session.h>

namespace twofold {

class Backward;

namespace internal {

/// A part of a graph as a function of values: its inputs are placeholders, its outputs symbols, and each call is a run
/// that this thread's tapes record. The record's gradient is again such a part: the gradients of the outputs, which are
/// nodes of the same graph, as a function of the inputs and of the outputs' gradients. So derivatives are of any order.
/// Safe from several threads.
class RecordedRun : public std::enable_shared_from_this<RecordedRun> {
 public:
  /// `trace` is the hidden output of a Call node, which keeps there what gradients read. `variables`: those that one
  /// may differentiate by.
  RecordedRun(const Session& in, std::vector<Tensor> inputs, std::vector<Tensor> outputs, Tensor trace,
              std::vector<Ref<VariableState>> variables, std::source_location where);

  /// The values of the outputs, tensors of their own. Records keep `owner`, which keeps the session.
  std::vector<Tensor> call(std::span<const Tensor> inputs, std::shared_ptr<const void> owner);

  /// What a record keeps beside its operands.
  struct Done;
  /// The gradient of a record.
  static void differentiate(Backward& b);

 private:
  // By which inputs' and variables' gradients are asked for, and which outputs' are given.
  using Asked = std::pair<std::vector<bool>, std::vector<bool>>;
  // The gradients of the inputs and variables that are asked for and connected.
  struct Gradients {
    std::shared_ptr<RecordedRun> run;  // null if none is; gives them, then for some whether they have arrived
    std::vector<int> places;           // by result: of which input or variable
    std::vector<int> arrived;          // by result: the result that tells; -1: it always has
  };
  std::vector<Tensor> call(std::span<const Tensor> inputs, Tensor trace, std::shared_ptr<const void> owner);
  const Gradients& gradients(const Asked& asked);
  Gradients build(const Asked& asked) const;
  void build_all(size_t orders);
  const PreparedRun& prepared();

  const Session& session_;
  const std::vector<Tensor> inputs_, outputs_;
  const Tensor trace_;
  bool of_gradients_ = false;  // the trace is fed, for the run is of gradients
  const std::vector<Ref<VariableState>> variables_;
  const std::source_location where_;
  std::mutex mutex_;  // guards all below
  std::optional<PreparedRun> run_;
  size_t orders_ = 0;  // of derivatives that the trace of run_ serves
  std::map<Asked, Gradients> gradients_;
};

}  // namespace internal
}  // namespace twofold
