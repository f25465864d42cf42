// What an op is: everything about it that no kernel needs to know.
#pragma once

#include <cstdint>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <vector>

#include <twofold/lib/core/error.h>
#include <twofold/lib/core/small_vector.h>
#include <twofold/lib/op/attrs.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

class Tensor;
class Backward;
struct OpDef;

/// Integers, of which some are known.
using PartialValues = std::vector<std::optional<int64_t>>;

/// A shape rule's view of one op about to be made. Shapes may be partly known while a graph is built; they are fully
/// known when a kernel is about to be prepared. A rule calls `output` once per output, visible ones first, then hidden
/// ones.
class InferContext {
 public:
  InferContext(const OpDef& op, std::span<const TensorSpec> inputs, AttrsView attrs,
               std::span<const Tensor* const> tensors)
      : op_(op), inputs_(inputs), attrs_(attrs), tensors_(tensors) {}

  /// The op.
  const OpDef& op() const { return op_; }
  /// @{
  /// The inputs' number, dtypes and shapes.
  int num_inputs() const { return static_cast<int>(inputs_.size()); }
  DType dtype(int i) const { return inputs_[static_cast<size_t>(i)].dtype; }
  const Shape& shape(int i) const { return inputs_[static_cast<size_t>(i)].shape; }
  std::span<const TensorSpec> inputs() const { return inputs_; }
  /// @}
  /// The op's attributes. `A` must be its own attribute type.
  template <class A>
  const A& attrs() const {
    return attrs_.as<A>();
  }
  /// The elements of an integer input, as far as they are known already (a concrete tensor, a folded constant, an
  /// extent that a graph knows): how shape operands are read. Nothing where not even their number is known.
  std::optional<PartialValues> known_values(int i) const;

  /// Throws ResourceExhausted for a known shape whose elements no memory could hold.
  void output(DType dtype, const Shape& shape);
  /// What the rule has given so far.
  std::span<const TensorSpec> outputs() const { return outputs_; }
  /// Fails if an input is a list and the op takes tensors alone. To be called before the rule.
  void check_lists() const;

  /// Throws InvalidArgument: "<message> for 'MatMul' (op: 'MatMul') with input shapes: [3,2], [3,4]."
  [[noreturn]] void fail(std::string message, std::string hint = {}) const;
  /// Axis in 0..rank-1 from one that may count from the end; fails with the op's words otherwise.
  int axis(int64_t axis, int rank) const;

 private:
  const OpDef& op_;
  std::span<const TensorSpec> inputs_;
  AttrsView attrs_;
  std::span<const Tensor* const> tensors_;
  SmallVector<TensorSpec, 2> outputs_;
};

using InferFn = void (*)(InferContext&);
/// From dy to dx; see lib/op/backward.h.
using GradientFn = void (*)(Backward&);

/// The element of input 0 at which output 0 lies whole, so that a value need not be copied; -1 if it lies scattered.
/// The shapes are input 0's and output 0's.
using ViewFn = int64_t (*)(AttrsView attrs, const Shape& x, const Shape& y);

/// The op that does the same by attributes, once the elements of all host inputs are known: what runs.
struct Specialised {
  const OpDef* op;      ///< the op that runs
  Ref<AttrsBox> attrs;  ///< its attributes
  size_t inputs;        ///< the first so many inputs are its inputs
};
using SpecialiseFn = Specialised (*)(AttrsView attrs, std::span<const Tensor* const> inputs);

/// The message of an op whose kernel has refused its input by fail(KernelError::refused, index).
using RefusalFn = std::string (*)(AttrsView attrs, int64_t index);

/// A rule's view of one op in a graph whose result is integers, of which some may be known before it runs.
class KnownContext {
 public:
  /// @{
  /// The inputs.
  virtual int num_inputs() const = 0;
  virtual const TensorSpec& input(int i) const = 0;
  /// @}
  /// The elements of an integer input, as far as they are known; nothing where not even their number is.
  virtual std::optional<PartialValues> values(int i) const = 0;
  /// Of output 0.
  const TensorSpec& result() const { return result_; }
  /// The op's attributes. `A` must be its own attribute type.
  template <class A>
  const A& attrs() const {
    return attrs_.as<A>();
  }

 protected:
  KnownContext(const TensorSpec& result, AttrsView attrs) : result_(result), attrs_(attrs) {}
  ~KnownContext() = default;

 private:
  const TensorSpec& result_;
  AttrsView attrs_;
};
/// The elements of output 0, which are one axis of integers or one, as far as they follow from the inputs'.
using KnownFn = std::optional<PartialValues> (*)(const KnownContext&);

/// Of an op that no kernel does and that is more than another view of its input: does it now. A shape that its rule does
/// not know is what comes out.
using RunFn = void (*)(AttrsView attrs, std::span<const Tensor* const> inputs, SmallVector<Tensor, 2>& outputs);

/// Whether an op has a gradient.
enum class Differentiability : uint8_t {
  rule,     ///< `gradient` says how
  none,     ///< declared: the derivative is zero or undefined everywhere (comparisons, argmax, shape)
  missing,  ///< not written; asking for it is an error. The completeness test refuses it.
};

/// What passes, planners and tapes ask of an op.
struct OpFlags {
  bool pointwise : 1 = false;    ///< one tile function computes it; broadcasts; may be fused
  bool alias : 1 = false;        ///< output 0 is input 0's bytes under another shape; no kernel
  bool effect : 1 = false;       ///< kept for what it does (assign, print): never merged, folded or dropped
  bool random : 1 = false;       ///< draws numbers: never merged or folded
  bool can_fail : 1 = false;     ///< its kernel may report an error
  bool host_only : 1 = false;    ///< its kernel runs on the host; the one excuse for having no GPU kernel
  bool session : 1 = false;      ///< executed by graph/eager machinery itself (placeholder, variables, If, While)
  bool commutative : 1 = false;  ///< f(a, b) is f(b, a), to the bit
  bool lists : 1 = false;        ///< takes lists of tensors (DType::list) besides tensors
  bool on_host : 1 = false;      ///< done by the host, on tensors wherever they lie (Print, control flow, lists)
  // Of those that the machinery executes.
  bool control_flow : 1 = false;     ///< calls bodies, or differentiates what they did (If, While, Backprop)
  bool declared : 1 = false;         ///< a source: its output's shape is what whoever made it declared
  bool reads_variable : 1 = false;   ///< its output is a variable's value at this point of the program
  bool writes_variable : 1 = false;  ///< a variable's new value is made from input 0, by `combine` if there is one
};

namespace internal {
/// Bit i, of inputs or outputs; those beyond the word have none.
constexpr bool has_bit(uint32_t bits, size_t i) { return i < 32 && (bits >> i & 1); }
}  // namespace internal

/// Which values a gradient rule reads, by bit; the rest is freed early.
struct Reads {
  uint32_t inputs = 0;   ///< bit i: input i
  uint32_t outputs = 0;  ///< bit i: output i, hidden ones too

  /// @{
  /// Whether it reads input or output i.
  constexpr bool input(size_t i) const { return internal::has_bit(inputs, i); }
  constexpr bool output(size_t i) const { return internal::has_bit(outputs, i); }
  /// @}
};

/// An op: what it is called, how shapes, gradients and known values follow, and what may be done with it.
struct OpDef {
  OpKey key;                      ///< unique; an OpName where there are kernels
  const char* name = key.text();  ///< "MatMul", as errors have it
  const char* node_name = name;   ///< base of node names: TensorFlow 1's ("add", "MatMul")
  const char* doc;                ///< formula and source, one line
  int8_t min_inputs = 1;          ///< the fewest inputs that it takes
  int8_t max_inputs = 1;          ///< -1: any number
  int8_t outputs = 1;             ///< visible outputs; -1: the shape rule says
  int8_t hidden = 0;              ///< outputs for the gradient only
  InferFn infer = nullptr;        ///< the shape rule
  Differentiability differentiable = Differentiability::missing;  ///< whether it has a gradient
  GradientFn gradient = nullptr;                                  ///< the gradient rule
  Reads reads{};                                                  ///< what the gradient rule reads
  uint8_t version = 1;  ///< grows when its attributes or its meaning change: saved programs say which they mean
  OpFlags flags{};      ///< what passes, planners and tapes ask of it
  const AttrsType* attrs = &internal::kAttrsType<NoAttrs>;  ///< the type of its attributes
  RefusalFn refusal = nullptr;                              ///< the words of its kernel's own check
  ViewFn view = nullptr;                                    ///< of ops that may find their output ready within input 0
  uint32_t host_inputs = 0;  ///< bit i: input i is a shape operand, whose elements are read on the host by `infer`
  SpecialiseFn specialise = nullptr;  ///< of ops that have host inputs where another op has attributes; no kernel
  uint32_t shape_inputs = 0;  ///< bit i: of input i only shape and dtype are used (`like`), its pointer may be null
  /// in_place[i]: the input of the same shape and dtype that output i may be written over; -1: none. A pointwise op's
  /// output may lie over any operand of its size.
  int8_t in_place[4] = {-1, -1, -1, -1};
  RunFn run = nullptr;      ///< of ops that are done by neither a kernel nor another view of the input: Transfer, lists
  KnownFn known = nullptr;  ///< of ops that shapes are computed by: what a graph knows of their integers
  /// Of an assignment: the op that makes the new value of the old one and input 0; null where input 0 is the new value.
  const OpDef* combine = nullptr;
  int id = -1;  ///< place in the registry, given there

  /// Of input i only shape and dtype are used.
  constexpr bool reads_shape(size_t i) const { return internal::has_bit(shape_inputs, i); }
  /// Input i is a shape operand.
  constexpr bool reads_on_host(size_t i) const { return internal::has_bit(host_inputs, i); }
  /// A kernel reads the elements of input i on its device.
  constexpr bool reads_on_device(size_t i) const { return !internal::has_bit(host_inputs | shape_inputs, i); }
};

/// The registry: every op, by id and by name. Each floor that has ops fills it when the library is loaded, before any
/// code that includes its headers can run.
std::span<OpDef* const> all_ops();
/// By a name that comes from outside: a user's, a file's, a test's. Code that means one op refers to its OpDef.
const OpDef* find_op(std::string_view name);
/// Called in functions that run when the library is loaded, __attribute__((constructor(101))).
void register_op(OpDef& op);

}  // namespace twofold
