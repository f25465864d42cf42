// Recording eager ops, to differentiate them.
#pragma once

#include <atomic>
#include <memory>
#include <unordered_set>
#include <vector>

#include <twofold/lib/autodiff/engine.h>
#include <twofold/lib/autodiff/tape_recording.h>
#include <twofold/lib/op/variable_state.h>
#include <twofold/lib/op/vjp.h>

namespace twofold {

/// What was done on this thread since the tape began, as far as it depends on what the tape watches. Of tensors that no
/// gradient rule reads it keeps shells.
class Tape final : public RecordList {
 public:
  /// Becomes the innermost tape of this thread until stopped.
  explicit Tape(bool watch_variables);
  /// How a body is recorded: apart from the tapes around it, which see none of its ops.
  struct Apart {
    bool everything = false;      ///< watches every input and variable, not only what the tapes around watch
    const Tape* after = nullptr;  ///< goes on where this one, stopped, has ended
  };
  explicit Tape(const Apart& apart);
  ~Tape() override;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  void watch(const Tensor& t) {
    if (!depends(t)) active_.insert(t.id());  // of a tape apart: it is captured, if a tape around watches it
  }
  void watch(const VariableState& v) { watched_variables_.insert(v.id); }
  /// Whether `t` is watched, or follows from what is.
  bool watches(const Tensor& t) const { return active_.contains(t.id()); }
  /// A variable was read, as `value`. Trainable ones are watched by themselves.
  void record_read(const Ref<VariableState>& v, const Tensor& value);
  /// `variables` are those that a body read.
  void record(const OpDef& op, Inputs inputs, AttrsView attrs, std::source_location where, const Outputs& outputs,
              std::span<const Ref<VariableState>> variables = {});
  /// False if it is hidden from this thread meanwhile, and so still on its list.
  bool stop();
  bool recording() const { return recording_; }
  /// Whether this is the thread that it records.
  bool is_of_this_thread() const { return thread_ == this_thread(); }
  /// Ends a tape that was made by `new`. On another thread than its own it is left to that, which may be recording.
  static void destroy(Tape* tape);
  /// The next tape that records what this one does.
  Tape* next() const { return apart_ ? nullptr : outer_; }

  /// Of a tape apart: `inside` stands for `outside`, and is watched if that is.
  void watch_inside(const Tensor& inside, const Tensor& outside);
  /// Of a tape apart: `t` is a result of the body, though perhaps of no op in it.
  void returned(const Tensor& t) { depends(t); }
  /// Of a tape apart: what the tapes around watch that was used, in order of first use; shells, and variables.
  const std::vector<Tensor>& captures() const { return captures_; }
  const std::vector<Ref<VariableState>>& variables() const { return variables_; }

  std::vector<Tensor> gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                                std::span<const Tensor> dys, std::span<RowsGradient> rows = {}) const;

  size_t size() const override { return records_.size(); }
  const OpDef& op(size_t r) const override { return *records_[r].op; }
  AttrsView attrs(size_t r) const override { return records_[r].attrs ? records_[r].attrs->view() : AttrsView(); }
  std::source_location where(size_t r) const override { return records_[r].where; }
  size_t num_inputs(size_t r) const override { return records_[r].inputs.size() + records_[r].variables.size(); }
  size_t num_outputs(size_t r) const override { return records_[r].outputs.size(); }
  TensorKey input_key(size_t r, size_t i) const override;
  TensorKey output_key(size_t r, size_t i) const override { return records_[r].outputs[i].id(); }
  Tensor input(size_t r, size_t i) const override;
  Tensor output(size_t r, size_t i) const override { return records_[r].outputs[i]; }
  bool is_read(size_t r) const override;
  bool nested() const override { return apart_; }

 private:
  enum class Ownership : uint8_t {
    kept,
    abandoned,  ///< destroyed on another thread: its own deletes it
    orphaned,   ///< its thread has ended
  };
  struct AtThreadEnd {
    ~AtThreadEnd();
  };
  /// A number of this thread's alone. A std::thread::id is given again once its thread has ended.
  static uint64_t this_thread();
  /// Takes what was abandoned off this thread's list.
  static void sweep();

  struct Record {
    const OpDef* op;
    Ref<AttrsBox> attrs;
    std::source_location where;
    SmallVector<Tensor, 2> inputs, outputs;
    std::vector<Ref<VariableState>> variables;  // inputs too
    std::vector<bool> watched;                  // by variable; others carry no gradient
  };

  bool watches(const VariableState& v) const;
  bool depends(const Tensor& t);
  bool depends(const Ref<VariableState>& v);
  void capture(const Tensor& t);

  bool watch_variables_ = false;
  bool apart_ = false, everything_ = false;
  std::unordered_set<uint64_t> watched_variables_;
  bool recording_ = true;
  const uint64_t thread_ = this_thread();
  std::atomic<Ownership> ownership_{Ownership::kept};
  Tape* outer_;
  std::vector<Record> records_;
  std::unordered_set<uint64_t> active_;  // ids that depend on what is watched
  std::vector<Tensor> captures_;
  std::vector<Ref<VariableState>> variables_;
};

/// What `Mode` asks for (lib/op/mode_interface.h).
std::vector<Tensor> tape_gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                                   std::span<const Tensor> dys, std::span<RowsGradient> rows);
std::vector<Tensor> tape_vjp(const internal::TensorFunction& f, std::span<const Tensor> inputs,
                             std::span<const Tensor> dys);
std::unique_ptr<Recording> record_on_tape(bool watch_variables);

/// `value` as what reading `v` gives here: a tensor of its own, recorded by the live tapes that watch `v`.
Tensor recorded_read(const Ref<VariableState>& v, const Tensor& value);

}  // namespace twofold
