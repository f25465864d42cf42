// Immediate execution: the thin shell around `launch`.
#include <fmt/format.h>

#include <atomic>

#include <twofold/eager/tape.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/core/plugin.h>
#include <twofold/lib/op/high.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/report/ledger.h>

namespace twofold {
namespace {

// What a pointwise op makes of operands of one dtype, asked of its shape rule once.
class ResultDTypes {
 public:
  /// False if the op refuses the dtype.
  bool find(const OpDef& op, DType operand, size_t arity, DType& result) {
    const auto i = static_cast<size_t>(op.id) * kDTypeCount + static_cast<size_t>(operand);
    if (i >= kMost) return false;
    uint8_t entry = table_[i].load(std::memory_order_relaxed);
    if (entry == kUnknown) table_[i].store(entry = ask(op, operand, arity), std::memory_order_relaxed);
    result = static_cast<DType>(entry - kFirst);
    return entry >= kFirst;
  }

 private:
  static constexpr size_t kMost = 512 * kDTypeCount;
  static constexpr uint8_t kUnknown = 0, kRefused = 1, kFirst = 2;

  static uint8_t ask(const OpDef& op, DType operand, size_t arity) {
    const TensorSpec scalars[] = {{operand, Shape{}}, {operand, Shape{}}};
    InferContext context(op, {scalars, arity}, {}, {});
    try {
      op.infer(context);
    } catch (const Error&) {
      return kRefused;
    }
    return static_cast<uint8_t>(static_cast<uint8_t>(context.outputs()[0].dtype) + kFirst);
  }
  std::atomic<uint8_t> table_[kMost] = {};
};
constinit ResultDTypes g_results;

// One or two operands of one dtype and shape, or one of them a scalar, small enough for one thread: straight to the op's tile
// function, which is what its kernel would call. False if the op wants more.
bool apply_small(const OpDef& op, Inputs inputs, Outputs& outputs) {
  constexpr int64_t kMostElements = 4096;
  const Value& a = *inputs[0]->value();
  const Value& b = *inputs[inputs.size() - 1]->value();
  if (a.dtype() != b.dtype() || a.num_elements() > kMostElements || b.num_elements() > kMostElements || !a.device().is_cpu() ||
      !b.device().is_cpu() || a.is_shell() || b.is_shell())
    return false;
  uint32_t scalars = 0;
  const Shape* shape = &a.shape();
  if (a.shape() != b.shape()) {
    if (b.shape().rank() == 0) {
      scalars = 2;
    } else if (a.shape().rank() == 0) {
      scalars = 1;
      shape = &b.shape();
    } else {
      return false;
    }
  }
  DType dtype;
  if (!g_results.find(op, a.dtype(), inputs.size(), dtype)) return false;
  const TileFn tile = find_tile(op.id, a.dtype(), dtype);
  if (!tile) return false;
  auto out = Value::make(dtype, *shape);
  void* const operands[] = {a.data(), b.data()};
  tile(operands, out->data(), out->num_elements(), scalars);
  outputs.push_back(Tensor::adopt(out.detach()));
  return true;
}

}  // namespace

void eager_apply(const OpDef& op, Inputs inputs, AttrsView attrs, std::source_location where, Outputs& outputs) {
  if (!t_state.tape && !t_state.ledger && op.flags.pointwise && inputs.size() <= 2 && !attrs && apply_small(op, inputs, outputs)) return;
  if (t_state.tape) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i]->value()->is_shell() && !op.flags.alias && !(op.shape_inputs >> i & 1))
        fail(Code::Internal, fmt::format("'{}' reads input {} that the tape did not keep: the gradient rule's op does not list it "
                                         "under `reads`", op.name, i));
    }
  }
  const uint64_t counter = op.flags.random ? next_eager_random_counter(random_key_of(attrs)) : 0;
  if (Ledger* ledger = t_state.ledger) {
    const auto start = std::chrono::steady_clock::now();
    launch(op, inputs, attrs, counter, outputs);
    ledger->add_op(op.name, std::chrono::steady_clock::now() - start);
  } else {
    launch(op, inputs, attrs, counter, outputs);
  }
  for (Tape* tape = t_state.tape; tape; tape = tape->outer()) tape->record(op, inputs, attrs, where, outputs);
}

}  // namespace twofold
