#include <twofold/lib/autodiff/engine.h>

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/lib/autodiff/backward.h>
#include <twofold/lib/autodiff/gradients.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/high.h>
#include <twofold/lib/op/mode.h>

namespace twofold {
namespace {

// Gradient nodes inherit the line of the op they belong to.
class InheritLine {
 public:
  explicit InheritLine(std::source_location where) : outer_(t_state.frame) {
    ++t_state.frame_guards;
    t_state.frame = where;
  }
  ~InheritLine() {
    --t_state.frame_guards;
    t_state.frame = outer_;
  }

 private:
  std::source_location outer_;
};

// Whether `x` may have been broadcast to the shape of its op's output.
bool may_be_broadcast(const Tensor& x, const Tensor& dx) {
  return !(x.shape().is_known() && dx.shape().is_known()) || x.shape() != dx.shape();
}

bool is_one_of(const Tensor& t, std::span<const Tensor> tensors) {
  return std::ranges::any_of(tensors, [&](const Tensor& u) { return u.defined() && u.same_as(t); });
}
bool is_one_of(const Tensor& t, std::span<const Gradient> gradients) {
  return std::ranges::any_of(gradients, [&](const Gradient& g) { return g.value.defined() && g.value.same_as(t); });
}

// What did not arrive as `absent`, so that it can be looked at.
Tensor guarded(const Gradient& g, double absent) {
  return g.arrived.defined() ? if_arrived(g.arrived, g.value, absent) : g.value;
}
Tensor either_arrived(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined() || a.same_as(b)) return a.defined() && b.defined() ? a : Tensor();
  return logical_or(a, b);
}
// Whether any of them did; undefined: surely.
Tensor any_arrived(std::span<const Gradient> gradients) {
  const Gradient* first = nullptr;
  Tensor any;
  for (const Gradient& g : gradients) {
    if (!g.value.defined()) continue;
    any = first ? either_arrived(any, g.arrived) : g.arrived;
    first = &g;
  }
  return any;
}

class Engine {
 public:
  Engine(const RecordList& records, std::span<const TensorKey> xs) : records_(records), wanted_(xs.begin(), xs.end()) {}

  std::vector<Tensor> run(std::span<const Seed> seeds, std::span<const TensorKey> xs) {
    mark();
    for (const Seed& s : seeds)
      if (reached_.contains(s.y)) gradients_[s.y].add(s.dy);
    for (size_t r = marked_.size(); r-- > 0;)
      if (marked_[r]) step(r);
    std::vector<Tensor> result;
    for (TensorKey x : xs) {
      const auto it = gradients_.find(x);
      result.push_back(it == gradients_.end() ? Tensor() : finished(it->second));
    }
    return result;
  }

 private:
  // Forward: which tensors depend on an x.
  void mark() {
    reached_ = wanted_;
    const size_t n = records_.size();
    marked_.assign(n, false);
    for (size_t r = 0; r < n; ++r) {
      if (records_.op(r).differentiable == Differentiability::none) continue;
      for (size_t i = 0; i < records_.num_inputs(r) && !marked_[r]; ++i)
        marked_[r] = reached_.contains(records_.input_key(r, i));
      if (marked_[r])
        for (size_t i = 0; i < records_.num_outputs(r); ++i) reached_.insert(records_.output_key(r, i));
    }
  }

  // What is asked for, complete. Gradients further back come from this very tensor, that they may be differentiated by
  // it.
  static const Tensor& finished(Gradient& g) {
    if (!g.arrived.same_as(gradient_of(g.value).arrived)) g.value = guarded(g, 0);
    return g.value;
  }

  // Backward through one record.
  void step(size_t r) {
    const OpDef& op = records_.op(r);
    const size_t visible = records_.num_outputs(r) - static_cast<size_t>(op.hidden);
    SmallVector<Gradient, 2> dys(visible);
    bool any = false;
    for (size_t i = 0; i < visible; ++i) {
      const auto it = gradients_.find(records_.output_key(r, i));
      if (it == gradients_.end()) continue;
      any = true;
      if (wanted_.contains(it->first)) finished(it->second);
      dys[i] = it->second;
      if (visible > 1 && !op.flags.session) dys[i].value = guarded(dys[i], 0);
      if (!wanted_.contains(it->first)) gradients_.erase(it);
    }
    if (!any) return;
    const InheritLine line(records_.where(r));
    if (op.differentiable == Differentiability::missing || !op.gradient)
      fail(Code::Unimplemented, fmt::format("No gradient defined for operation (op type: {})", op.name),
           "tf::stop_gradient(x)");
    SmallVector<Gradient, 4> dxs(records_.num_inputs(r));
    SmallVector<Tensor, 4> inputs;
    SmallVector<Tensor, 2> outputs;
    SmallVector<bool, 8> needs;
    for (size_t i = 0; i < records_.num_inputs(r); ++i) {
      inputs.push_back(records_.input(r, i));
      needs.push_back(reached_.contains(records_.input_key(r, i)) && is_floating(inputs[i].dtype()));
    }
    for (size_t i = 0; i < records_.num_outputs(r); ++i) outputs.push_back(records_.output(r, i));
    Backward backward(op, records_.attrs(r), inputs, outputs, dys, needs, dxs);
    op.gradient(backward);
    const Tensor arrived = any_arrived(dys);
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!dxs[i].value.defined() || !needs[i]) continue;
      Tensor dx = dxs[i].value;
      if (inputs.size() > 1 && !op.flags.session && may_be_broadcast(inputs[i], dx)) {
        dx = sum_to_like(dx, inputs[i]);
      } else if (is_one_of(dx, dys) || is_one_of(dx, inputs) || is_one_of(dx, outputs) ||
                 is_one_of(dx, std::span<const Gradient>(dxs.data(), i))) {
        // A rule that hands on what it was given. Were it one tensor with its gradient, the sums of second derivatives
        // would be made in another order where a graph does not know that it need not sum over axes.
        dx = identity(dx);
      }
      gradients_[records_.input_key(r, i)].add({std::move(dx), dxs[i].arrived.defined() ? dxs[i].arrived : arrived});
    }
  }

  const RecordList& records_;
  std::unordered_set<TensorKey> wanted_, reached_;
  std::vector<bool> marked_;
  std::unordered_map<TensorKey, Gradient> gradients_;
};

}  // namespace

void Gradient::add(Gradient other) {
  if (!value.defined()) {
    *this = std::move(other);
  } else if (arrived.same_as(other.arrived)) {
    value = twofold::add(value, other.value);
  } else {
    // Added to -0 anything stays as it is, to the bit.
    value = twofold::add(guarded(*this, -0.0), guarded(other, -0.0));
    arrived = either_arrived(arrived, other.arrived);
  }
}

Gradient gradient_of(const Tensor& t) { return {t, t.is_symbolic() ? symbol_arrived(t) : Tensor()}; }

std::vector<Tensor> differentiate(const RecordList& records, std::span<const Seed> seeds,
                                  std::span<const TensorKey> xs) {
  return Engine(records, xs).run(seeds, xs);
}

void check_gradient_arguments(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                              std::span<const Tensor> dys) {
  constexpr const char* kOp = "gradients";
  if (!dys.empty() && dys.size() != ys.size())
    fail(Code::InvalidArgument, fmt::format("gradients() was given {} ys and {} dys", ys.size(), dys.size()));
  for (size_t i = 0; i < ys.size(); ++i) {
    const Tensor& y = ys[i];
    if (!y.defined())
      fail(Code::InvalidArgument, fmt::format("y number {} of gradients() is None: an undefined Tensor", i));
    check_input(kOp, i, y, t_state.frame);
    if (!is_floating(y.dtype()))
      fail(Code::InvalidArgument,
           fmt::format("Only floating tensors have gradients; y number {} has dtype {}", i, name_of(y.dtype())),
           "tf::cast(y, tf::float32)");
    if (dys.empty() || !dys[i].defined()) continue;
    if (dys[i].dtype() != y.dtype() || !dys[i].shape().compatible_with(y.shape()))
      fail(Code::InvalidArgument,
           fmt::format("dy number {} of gradients() must be like its y, of dtype {} and shape {}, but is of dtype {} "
                       "and shape {}",
                       i, name_of(y.dtype()), y.shape().str(), name_of(dys[i].dtype()), dys[i].shape().str()));
  }
  for (size_t i = 0; i < xs.size(); ++i) {
    if (xs[i].variable()) continue;
    if (!xs[i].tensor().defined())
      fail(Code::InvalidArgument, fmt::format("x number {} of gradients() is None: an undefined Tensor", i));
    check_input(kOp, i, xs[i].tensor(), t_state.frame);
  }
}

std::vector<Tensor> gradients(const std::vector<Tensor>& ys, const std::vector<Differentiable>& xs,
                              const std::vector<Tensor>& dys, std::source_location where) {
  SourceFrame frame(where);
  check_gradient_arguments(ys, xs, dys);
  return executing_eagerly() ? eager_gradients(ys, xs, dys) : graph_gradients(ys, xs, dys);
}

std::vector<Tensor> gradients(const Tensor& y, const std::vector<Differentiable>& xs, std::source_location where) {
  return gradients(std::vector<Tensor>{y}, xs, {}, where);
}

std::vector<Tensor> vjp(const VjpFunction& f, std::span<const Tensor> inputs, std::span<const Tensor> dys) {
  return executing_eagerly() ? eager_vjp(f, inputs, dys) : graph_vjp(f, inputs, dys);
}

}  // namespace twofold
