// Loops over slices: while_loop with lists of tensors.
#include <twofold/graph/loops.h>

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/strided_slice/strided_slice.h>
#include <twofold/kernels/tensor_array/tensor_list_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/body_execution.h>
#include <twofold/lib/op/constant.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/mode_interface.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/op/transaction.h>

namespace twofold::internal {
namespace {

Shape row_of(const Shape& shape) {
  if (!shape.has_rank()) return unknown_shape;
  Shape row;
  for (int i = 1; i < shape.rank(); ++i) row.push_back(shape.extent(i));
  return row;
}

// The passes of one loop over slices.
class Slices {
 public:
  Slices(const SliceLoop& loop, std::vector<Tensor> elems, const SliceFunction& f)
      : loop_(loop), elems_(std::move(elems)), f_(f) {
    const SourceScope source_scope(loop_.where);
    check_elems();
    for (Tensor& t : elems_)
      if (!executing_eagerly() && t.is_concrete()) t = mode().source(t, "", loop_.where);
    count_ = known_ ? twofold::constant(*known_, {.dtype = int32}, loop_.where) : cast(shape(elems_[0])[0], int32);
    const bool all_known =
        std::ranges::all_of(elems_, [](const Tensor& t) { return t.shape().has_rank() && t.shape().knows(0); });
    const Tensor sized = all_known ? Tensor() : list_reserve(count_, false, loop_.where);
    for (const Tensor& t : elems_) lists_.push_back(list_from(t, sized, {}, loop_.where));
  }

  SlicePass run(std::vector<Tensor> carry) {
    initial_ = carry;
    std::vector<Tensor> state;
    {
      const SourceScope source_scope(loop_.where);
      state.push_back(twofold::constant(0, {}, loop_.where));
      state.insert(state.end(), carry.begin(), carry.end());
      if (collects()) state.push_back(list_reserve(twofold::constant(0, {}, loop_.where), true, loop_.where));
    }
    const auto go_on = [&](std::span<const Tensor> now) {
      const SourceScope source_scope(loop_.where);
      return less(now[0], count_);
    };
    const auto pass = [&](std::span<const Tensor> now) { return this->pass(now); };
    const ControlFlowResult last = internal::while_loop(std::move(state), go_on, pass, loop_.where);
    SlicePass result;
    result.carry.assign(last.outputs.begin() + 1, last.outputs.begin() + 1 + std::ssize(initial_));
    if (collects()) result.collected = collected(last.outputs.back());
    return result;
  }

 private:
  using Collects = SliceLoop::Collects;
  bool collects() const { return loop_.collects != Collects::nothing; }

  std::vector<Tensor> collected(const Tensor& list) {
    const bool of_carry = loop_.collects == Collects::carry;
    if (specs_.empty() && of_carry)
      for (const Tensor& t : initial_) specs_.push_back({t.dtype(), t.shape()});
    else if (specs_.empty() && known_ == 0)
      look();
    const SourceScope source_scope(loop_.where);
    const auto step = static_cast<int64_t>(specs_.size());
    std::vector<Tensor> stacks;
    for (size_t j = 0; j < specs_.size(); ++j)
      stacks.push_back(list_stack(list, of_carry ? initial_[j] : Tensor(),
                                  {.dtype = specs_[j].dtype,
                                   .shape = specs_[j].shape,
                                   .start = static_cast<int64_t>(j),
                                   .step = step,
                                   .count = known_.value_or(-1),
                                   .function = fmt::format("{}()", loop_.function)},
                                  loop_.where));
    return stacks;
  }

  [[noreturn]] void refuse(std::string message, std::string hint = {}) const {
    throw Error(Code::InvalidArgument, {.message = std::move(message), .where = loop_.where, .hint = std::move(hint)});
  }

  void check_elems() {
    if (elems_.empty()) refuse(fmt::format("{}() was given no tensor to go over", loop_.function));
    size_t of = 0;
    for (size_t i = 0; i < elems_.size(); ++i) {
      const Tensor& t = elems_[i];
      check_input(loop_.function, i, t, loop_.where);
      if (t.dtype() == DType::list)
        refuse(fmt::format("{}() goes over tensors, not over a TensorArray", loop_.function), "array.stack()");
      if (!t.shape().has_rank()) continue;
      if (t.rank() == 0) refuse(fmt::format("{}() goes over slices, and a scalar has none", loop_.function));
      if (!t.shape().knows(0)) continue;
      if (known_ && *known_ != t.shape()[0])
        refuse(fmt::format("{}() goes over tensors of one length, but number {} has {} slices and number {} has {}",
                           loop_.function, of, *known_, i, t.shape()[0]));
      known_ = t.shape()[0];
      of = i;
    }
  }

  std::vector<Tensor> pass(std::span<const Tensor> now) {
    const auto carry = now.subspan(1, initial_.size());
    std::vector<Tensor> slices;
    Tensor index = now[0];
    {
      const SourceScope source_scope(loop_.where);
      if (loop_.reverse) index = count_ - 1 - now[0];
      for (size_t i = 0; i < lists_.size(); ++i)
        slices.push_back(list_get(lists_[i], index, {elems_[i].dtype(), row_of(elems_[i].shape())}, loop_.where));
    }
    SlicePass made = f_(carry, slices);
    check(carry, made);
    const SourceScope source_scope(loop_.where);
    std::vector<Tensor> next{now[0] + 1};
    next.insert(next.end(), made.carry.begin(), made.carry.end());
    if (!collects()) return next;
    Tensor list = now.back();
    const auto step = static_cast<int32_t>(made.collected.size());
    for (int32_t j = 0; j < step; ++j) {
      const Tensor& value = made.collected[static_cast<size_t>(j)];
      list = list_set(list, step == 1 ? index : index * step + j, value, {value.dtype(), unknown_shape}, loop_.where);
    }
    next.push_back(std::move(list));
    return next;
  }

  // Of all passes: results as many, and of the same dtypes.
  void check(std::span<const Tensor> carry, const SlicePass& made) {
    for (size_t i = 0; i < made.collected.size(); ++i) check_input(loop_.function, i, made.collected[i], loop_.where);
    for (size_t i = 0; i < made.carry.size() && i < carry.size(); ++i) {
      check_input(loop_.function, i, made.carry[i], loop_.where);
      check_dtype(i, carry[i].dtype(), made.carry[i].dtype(), "began with");
    }
    if (made.carry.size() != carry.size())
      refuse(fmt::format("The function of {}() returned {} tensors, but its initial value has {}", loop_.function,
                         made.carry.size(), carry.size()));
    if (!specs_.empty() && specs_.size() != made.collected.size())
      refuse(fmt::format("The function of {}() returned {} tensors after it had returned {}", loop_.function,
                         made.collected.size(), specs_.size()));
    for (size_t i = 0; i < specs_.size(); ++i) check_dtype(i, specs_[i].dtype, made.collected[i].dtype(), "was before");
    specs_.clear();
    for (const Tensor& t : made.collected) specs_.push_back({t.dtype(), t.shape()});
  }
  void check_dtype(size_t i, DType wanted, DType given, const char* what) const {
    if (wanted != given)
      refuse(fmt::format("The function of {}() returned {} as result {}, which {} {}", loop_.function, name_of(given),
                         i, what, name_of(wanted)),
             fmt::format("tf::cast(value, {})", spelling_of(wanted)));
  }

  // What the function gives, without slices to show it.
  void look() {
    const Transaction undone;
    const WithoutTape hidden;
    const ObservedThread::Hidden unseen;
    const BodyExecution execution({.seed = 0, .path = 0, .counters = std::make_shared<RandomCounters>()});
    std::vector<Tensor> slices;
    for (const Tensor& t : elems_) slices.push_back(twofold::tensor(0, row_of(t.shape()), {.dtype = t.dtype()}));
    check({}, f_({}, slices));
  }

  const SliceLoop& loop_;
  std::vector<Tensor> elems_;
  const SliceFunction& f_;
  std::optional<int64_t> known_;  // how many slices
  Tensor count_;                  // the same
  std::vector<Tensor> lists_;     // of the slices of each of elems
  std::vector<Tensor> initial_;
  std::vector<TensorSpec> specs_;  // of what is collected at a pass
};

}  // namespace

SlicePass over_slices(const SliceLoop& loop, std::vector<Tensor> elems, std::vector<Tensor> carry,
                      const SliceFunction& f) {
  return Slices(loop, std::move(elems), f).run(std::move(carry));
}

std::pair<std::vector<Tensor>, std::vector<Tensor>> begun(const SliceLoop& loop, std::vector<Tensor> elems) {
  const SourceScope source_scope(loop.where);
  std::pair<std::vector<Tensor>, std::vector<Tensor>> made;
  for (size_t i = 0; i < elems.size(); ++i) {
    const Tensor& t = elems[i];
    check_input(loop.function, i, t, loop.where);
    if (t.shape().has_rank() && t.rank() > 0 && t.shape().extent(0) == 0)
      throw Error(Code::InvalidArgument,
                  {.message = fmt::format("{}() without an initial value begins with a slice, and there is none",
                                          loop.function),
                   .where = loop.where,
                   .hint = fmt::format("tf::{}(f, x, initial)", loop.function)});
    made.first.push_back(t[loop.reverse ? -1 : 0]);
    made.second.push_back(loop.reverse ? strided_slice(t, {0}, {-1}) : strided_slice(t, {1}, {omitted}));
  }
  return made;
}

std::vector<Tensor> joined(const SliceLoop& loop, std::vector<Tensor> first, std::vector<Tensor> collected) {
  const SourceScope source_scope(loop.where);
  std::vector<Tensor> all;
  for (size_t i = 0; i < first.size(); ++i) {
    const Tensor begin = expand_dims(first[i], 0);
    all.push_back(loop.reverse ? concat({collected[i], begin}, 0) : concat({begin, collected[i]}, 0));
  }
  return all;
}

}  // namespace twofold::internal
