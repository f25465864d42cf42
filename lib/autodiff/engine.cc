#include <twofold/lib/autodiff/engine.h>

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/if_arrived.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/lib/autodiff/gradients.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/mode_interface.h>
#include <twofold/lib/op/vjp.h>

namespace twofold {
namespace {

// Gradient nodes inherit the line of the op they belong to.
class InheritLine {
 public:
  explicit InheritLine(std::source_location where) : outer_(t_state.source) {
    ++t_state.source_scopes;
    t_state.source = where;
  }
  ~InheritLine() {
    --t_state.source_scopes;
    t_state.source = outer_;
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
template <class Gradients>
bool is_value_of(const Tensor& t, const Gradients& gradients) {
  return std::ranges::any_of(gradients, [&](const auto& g) { return g.value.defined() && g.value.same_as(t); });
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
  Engine(const RecordList& records, std::span<const TensorKey> xs) : records_(records), wanted_(xs.begin(), xs.end()) {
    wanted_.erase(kNoKey);  // which inputs have that carry no gradient
  }

  std::vector<GradientSum> run(std::span<const Seed> seeds, std::span<const TensorKey> xs) {
    mark();
    for (const Seed& s : seeds)
      if (reached_.contains(s.y)) add_gradient(gradients_[s.y].total(), s.dy);
    for (size_t r = marked_.size(); r-- > 0;)
      if (marked_[r]) back_through(r);
    std::vector<GradientSum> result;
    for (TensorKey x : xs) {
      const auto it = gradients_.find(x);
      result.push_back(it == gradients_.end() ? GradientSum() : std::move(it->second));
    }
    return result;
  }

  // What is asked for, complete. Gradients further back come from this very tensor, that they may be differentiated by
  // it.
  static const Tensor& finished(Gradient& g) {
    if (g.value.is_concrete() && g.conditional) {
      g.value = marked_arrived(g.value);
      g.conditional = false;  // the next who asks gets the same tensor
    } else if (!g.arrived.same_as(gradient_of(g.value).arrived)) {
      g.value = guarded(g, 0);
    }
    return g.value;
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

  // Backward through one record.
  void back_through(size_t r) {
    const OpDef& op = records_.op(r);
    const size_t visible = records_.num_outputs(r) - static_cast<size_t>(op.hidden);
    if (records_.is_read(r) && !wanted_.contains(records_.output_key(r, 0))) return hand_on(r);
    SmallVector<Gradient, 2> dys(visible);
    bool any = false;
    for (size_t i = 0; i < visible; ++i) {
      const auto it = gradients_.find(records_.output_key(r, i));
      if (it == gradients_.end()) continue;
      any = true;
      dys[i] = it->second.total();
      if (wanted_.contains(it->first)) dys[i].value = finished(it->second.total());
      if (visible > 1 && !op.flags.session) dys[i].value = guarded(dys[i], 0);
      if (!wanted_.contains(it->first)) gradients_.erase(it);
    }
    if (!any) return;
    const InheritLine line(records_.where(r));
    if (op.differentiable == Differentiability::missing || !op.gradient)
      fail(Code::Unimplemented, fmt::format("No gradient defined for operation (op type: {})", op.name),
           "tf::stop_gradient(x)");
    SmallVector<Contribution, 4> dxs(records_.num_inputs(r));
    SmallVector<Tensor, 4> inputs;
    SmallVector<Tensor, 2> outputs;
    SmallVector<bool, 8> needs;
    for (size_t i = 0; i < records_.num_inputs(r); ++i) {
      inputs.push_back(records_.input(r, i));
      needs.push_back(reached_.contains(records_.input_key(r, i)) && carries_gradient(inputs[i].dtype()));
    }
    for (size_t i = 0; i < records_.num_outputs(r); ++i) outputs.push_back(records_.output(r, i));
    Backward backward(op, records_.attrs(r), inputs, outputs, dys, needs, dxs, records_.nested());
    op.gradient(backward);
    const Tensor arrived = any_arrived(dys);
    const bool conditional = std::ranges::all_of(
        dys, [](const Gradient& g) { return !g.value.defined() || g.conditional || g.arrived.defined(); });
    for (size_t i = 0; i < inputs.size(); ++i) {
      Contribution& c = dxs[i];
      if (!(c.value.defined() || c.sum) || !needs[i]) continue;
      if (!c.arrived.defined()) c.arrived = arrived;
      c.conditional = !records_.nested() && (c.conditional || conditional || c.arrived.defined());
      Tensor& dx = c.value;
      if (c.kind != Contribution::Kind::whole) {
        // A part of the gradient: of no tensor's shape but its own.
      } else if (inputs.size() > 1 && !op.flags.session && may_be_broadcast(inputs[i], dx)) {
        dx = sum_to_like(dx, inputs[i]);
      } else if (is_value_of(dx, dys) || is_one_of(dx, inputs) || is_one_of(dx, outputs) ||
                 is_value_of(dx, std::span<const Contribution>(dxs.data(), i))) {
        // A rule that hands on what it was given. Were it one tensor with its gradient, the sums of second derivatives
        // would be made in another order where a graph does not know that it need not sum over axes.
        dx = identity(dx);
      }
      gradients_[records_.input_key(r, i)].add(std::move(c), inputs[i]);
    }
  }

  // A read's gradient is its variable's, in as many parts.
  void hand_on(size_t r) {
    const auto it = gradients_.find(records_.output_key(r, 0));
    if (it == gradients_.end()) return;
    const InheritLine line(records_.where(r));
    Contribution c{.kind = Contribution::Kind::sum, .sum = std::make_shared<GradientSum>(std::move(it->second))};
    gradients_.erase(it);
    c.sum->rename_whole();
    gradients_[records_.input_key(r, 0)].add(std::move(c), {});
  }

  const RecordList& records_;
  std::unordered_set<TensorKey> wanted_, reached_;
  std::vector<bool> marked_;
  std::unordered_map<TensorKey, GradientSum> gradients_;
};

}  // namespace

std::vector<GradientSum> differentiate_unsummed(const RecordList& records, std::span<const Seed> seeds,
                                                std::span<const TensorKey> xs) {
  return Engine(records, xs).run(seeds, xs);
}

std::vector<Tensor> differentiate(const RecordList& records, std::span<const Seed> seeds, std::span<const TensorKey> xs,
                                  std::span<RowsGradient> rows) {
  // Of a key that is asked for twice there is one tensor.
  std::vector<TensorKey> keys(xs.begin(), xs.end());
  std::ranges::sort(keys);
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  std::vector<GradientSum> sums = differentiate_unsummed(records, seeds, keys);
  std::vector<Tensor> gradients;
  for (size_t i = 0; i < xs.size(); ++i) {
    GradientSum& sum = sums[static_cast<size_t>(std::ranges::lower_bound(keys, xs[i]) - keys.begin())];
    if (!rows.empty() && (rows[i] = sum.rows()).values.defined()) {
      gradients.emplace_back();
      continue;
    }
    gradients.push_back(sum.empty() ? Tensor() : Engine::finished(sum.total()));
  }
  return gradients;
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
    check_input(kOp, i, y, t_state.source);
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
    if (xs[i].variable()) {
      xs[i].variable()->check_made(t_state.source);
      continue;
    }
    if (!xs[i].tensor().defined())
      fail(Code::InvalidArgument, fmt::format("x number {} of gradients() is None: an undefined Tensor", i));
    check_input(kOp, i, xs[i].tensor(), t_state.source);
  }
}

Differentiable::Differentiable(const Variable& v) : variable_(v.state()) {}

std::vector<Tensor> Differentiables::read() const {
  std::vector<Tensor> tensors;
  for (const Differentiable& each : items_)
    tensors.push_back(each.variable() ? Variable::of(each.variable()).read(t_state.source) : each.tensor());
  return tensors;
}

std::vector<Tensor> gradients(const Differentiables& ys, const Differentiables& xs, const Differentiables& dys,
                              std::source_location where) {
  const SourceScope source_scope(where);
  const std::vector<Tensor> of = ys.read(), along = dys.read();
  check_gradient_arguments(of, xs.items(), along);
  return mode().gradients(of, xs.items(), along);
}

std::vector<Tensor> gradients_but_rows(const Tensor& y, const Differentiables& xs, std::span<RowsGradient> rows) {
  const Tensor ys[] = {y};
  check_gradient_arguments(ys, xs.items(), {});
  return mode().gradients(ys, xs.items(), {}, rows);
}

}  // namespace twofold
