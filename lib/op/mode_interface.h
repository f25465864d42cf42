// The mode as an interface: what sources, ops, variables and gradients ask of it.
#pragma once

#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <vector>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/tensor_function.h>
#include <twofold/lib/op/variable.h>

namespace twofold {

class Differentiable;
class Operand;
class Recording;
struct RandomOrdinals;
struct RowsGradient;

/// Deferred execution (graph/) and eager execution (eager/): one object each, which is there when the library is
/// loaded. What is given is checked already: operands are defined, and eager they are values.
class Mode {
 public:
  Mode(const Mode&) = delete;
  Mode& operator=(const Mode&) = delete;
  bool is_eager() const { return eager_; }

  /// Adds a node for `op`, in the graph that its symbols belong to or else in the current one; or does it now.
  /// `over[i]`, if there is such and it is defined, is where output i goes, which eager mode alone is asked for.
  virtual void apply(const OpDef& op, Inputs inputs, AttrsView attrs, std::source_location where, Outputs& outputs,
                     std::span<const Tensor> over = {}) = 0;
  /// A concrete value as a source gives it: a constant of the current graph, or the value on the guard's device.
  virtual Tensor source(const Tensor& value, const std::string& name, std::source_location where) = 0;
  /// By which the next random keys are made, outside of bodies. Guarded by next_random_key's lock.
  virtual RandomOrdinals& random_ordinals() = 0;

  virtual Variable variable(const Tensor& initial, const VariableOptions& options, std::source_location where) = 0;
  /// Whether a graph is being built that reads and writes eager variables where they are, as functions made in eager
  /// mode do.
  virtual bool takes_eager_variables() const { return false; }
  // Of a variable of this mode, or of one that it takes.
  /// `value`: the eager value; undefined of a graph's variable.
  virtual Tensor read(const Variable& v, Tensor value, std::source_location where) = 0;
  /// `op` is one of the assignments of kernels/variable. The value is yet to be checked, by `assigned_value`.
  virtual Tensor assign(const Variable& v, const Operand& value, const OpDef& op) = 0;
  virtual Operation initializer(const Variable& v) = 0;
  virtual Tensor initial_value(const Variable& v, std::source_location where) = 0;

  /// As `gradients` (lib/autodiff/gradients.h) says: over the current graph's nodes, or the innermost tape's records.
  /// `rows`: see `gradients_but_rows`.
  virtual std::vector<Tensor> gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                                        std::span<const Tensor> dys, std::span<RowsGradient> rows = {}) = 0;
  virtual std::vector<Tensor> vjp(const internal::TensorFunction& f, std::span<const Tensor> inputs,
                                  std::span<const Tensor> dys) = 0;
  /// Calls a body of control flow that a value has decided for. Live tapes see one record of it, of results that are
  /// tensors of their own, as those of a graph's node are. `goes_on`: within another body, sums of its gradient go on
  /// there.
  virtual std::vector<Tensor> call_body(std::span<const Tensor> inputs, const internal::TensorFunction& body,
                                        bool goes_on, std::source_location where) = 0;
  /// Begins what a GradientTape records.
  virtual std::unique_ptr<Recording> record(bool watch_variables) = 0;

  /// Whether something has been made that another mode of the whole process would leave behind.
  virtual bool has_begun() const = 0;

 protected:
  explicit constexpr Mode(bool eager) : eager_(eager) {}
  ~Mode() = default;

 private:
  const bool eager_;
};

/// The new value that an assignment stores: the operand, checked against what the variable holds.
const Tensor& assigned_value(const Variable& v, const Operand& value, const OpDef& op);

/// The mode that sources and toolkits see now on this thread.
Mode& mode();
Mode& deferred_mode();
Mode& eager_mode();
/// Called by each mode when the library is loaded.
void register_mode(Mode& mode);

}  // namespace twofold
