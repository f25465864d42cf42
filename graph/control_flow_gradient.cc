// The gradient of If and While in a graph: a node that holds the backward bodies.
#include <algorithm>
#include <map>

#include <twofold/graph/backprop.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/kernels/layout/layout.h>
#include <twofold/lib/autodiff/gradient_sum.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/constant.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

std::vector<Ref<VariableState>> differentiable_variables(const OpDef& op, AttrsView attrs) {
  if (&op == &backprop_op) return attrs.as<BackpropAttrs>().variables;
  std::vector<Ref<VariableState>> found;
  for (const Body* b : differentiable_bodies(op, attrs))
    for (const auto& v : b->reads)
      if (is_floating(v->dtype) && std::ranges::find(found, v) == found.end()) found.push_back(v);
  return found;
}

namespace {

using Kind = Contribution::Kind;
using Variables = std::span<const Ref<VariableState>>;

void infer_backprop(InferContext& c) {
  const auto& a = c.attrs<BackpropAttrs>();
  for (size_t i = 0; i < a.shapes.size(); ++i) c.output(a.dtypes[i], a.shapes[i]);
  c.output(uint8, Shape{0});
}

DType input_dtype(const Body& b, size_t i, Variables variables) {
  if (i < b.parameters.size()) return b.graph->spec(b.parameters[i]).dtype;
  if (i -= b.parameters.size(); i < b.captures.size()) return b.graph->spec(b.captures[i]).dtype;
  return variables[i - b.captures.size()]->dtype;
}

// How the gradients of the node's outputs are given.
std::vector<Dy> given_dys(const Backward& b) {
  std::vector<Dy> dys;
  for (int i = 0; i < b.num_outputs(); ++i) {
    const bool given = b.dy(i).defined() && carries_gradient(b.output(i).dtype());
    dys.push_back(!given ? Dy::none : b.arrived(i).defined() ? Dy::conditional : Dy::always);
  }
  return dys;
}

// The inputs of `body` that are wanted inputs of its node: what it captures, and variables.
std::vector<uint32_t> wanted_captures(const Backward& b, const Body& body, Variables variables) {
  std::vector<uint32_t> wanted;
  const size_t parameters = body.parameters.size(), tensors = parameters + body.captures.size();
  for (size_t i = 0; i < body.captures.size(); ++i)
    if (b.needs(static_cast<int>(body.capture_inputs[i]))) wanted.push_back(static_cast<uint32_t>(parameters + i));
  for (size_t k = 0; k < variables.size(); ++k)
    if (b.needs(b.num_inputs() - static_cast<int>(variables.size() - k)))
      wanted.push_back(static_cast<uint32_t>(tensors + k));
  return wanted;
}

BodyGradient differentiate_branch(const Backward& b, const Body& branch, Variables variables) {
  return differentiate_body(branch, given_dys(b), wanted_captures(b, branch, variables), variables);
}

BodyGradient differentiate_call(const Backward& b, const Body& called, Variables variables) {
  std::vector<uint32_t> wanted;
  for (size_t i = 0; i < called.parameters.size(); ++i)
    if (b.needs(static_cast<int>(i))) wanted.push_back(static_cast<uint32_t>(i));
  const std::vector<uint32_t> captured = wanted_captures(b, called, variables);
  wanted.insert(wanted.end(), captured.begin(), captured.end());
  return differentiate_body(called, given_dys(b), wanted, variables);
}

// The gradient of one pass, which serves all: the gradient of a loop variable may come from outside in the last and
// from the pass that follows in others.
BodyGradient differentiate_pass(const Backward& b, const Body& pass, Variables variables) {
  const std::vector<uint32_t> captured = wanted_captures(b, pass, variables);
  const size_t n = pass.parameters.size();
  std::vector<bool> reached(n);
  for (size_t i = 0; i < n; ++i) reached[i] = b.needs(static_cast<int>(i));
  std::vector<uint32_t> wanted;
  for (bool settled = false; !settled;) {
    wanted.clear();
    for (size_t i = 0; i < n; ++i)
      if (reached[i]) wanted.push_back(static_cast<uint32_t>(i));
    wanted.insert(wanted.end(), captured.begin(), captured.end());
    const std::vector<bool> next = outputs_depending(pass, wanted, variables);
    settled = true;
    for (size_t i = 0; i < n; ++i) {
      settled = settled && (reached[i] || !next[i]);
      reached[i] = reached[i] || next[i];
    }
  }
  const std::vector<Dy> given = given_dys(b);
  std::vector<Dy> dys = given;
  for (;;) {
    BodyGradient gradient = differentiate_body(pass, dys, wanted, variables);
    std::vector<Dy> next = given;
    for (size_t i = 0; i < n; ++i) {
      Dy from_pass = Dy::none;
      if (const InputGradient* of = gradient.of(i)) {
        const auto surely = [](const GradientPart& p) { return p.arrived < 0; };
        from_pass = std::ranges::any_of(of->parts, surely) ? Dy::always : Dy::conditional;
      }
      if (from_pass != next[i]) next[i] = Dy::conditional;
    }
    if (next == dys) return gradient;
    dys = next;
  }
}

// By whatever gradients may arrive.
BodyGradient differentiate_all(const Body& body, Variables variables) {
  std::vector<Dy> dys;
  for (size_t i = 0; i < body.outputs.size(); ++i)
    dys.push_back(carries_gradient(body.output_spec(i).dtype) ? Dy::conditional : Dy::none);
  std::vector<uint32_t> wanted;
  for (size_t i = 0; i < body.parameters.size() + body.captures.size() + variables.size(); ++i)
    if (carries_gradient(input_dtype(body, i, variables))) wanted.push_back(static_cast<uint32_t>(i));
  return differentiate_body(body, dys, wanted, variables);
}

// Which kinds of parts a gradient has, over all bodies taken together.
struct Kinds {
  bool whole = false, slices = false, rows = false;
  DType indices = int32;

  void add(const Body& b, const InputGradient* gradient) {
    if (!gradient) return;
    for (const GradientPart& p : gradient->parts) {
      whole = whole || p.kind == Kind::whole;
      slices = slices || p.kind == Kind::slice;
      if (p.kind != Kind::rows) continue;
      rows = true;
      if (b.output_spec(static_cast<size_t>(p.indices)).dtype == int64) indices = int64;
    }
  }
};

Shape rows_shape(const Shape& like) {
  if (!like.has_rank()) return unknown_shape;
  Shape rows{-1};
  for (int i = 1; i < like.rank(); ++i) rows.push_back(like.extent(i));
  return rows;
}

// A node that is being made: its attributes and inputs, and where its results go.
class Building {
 public:
  explicit Building(Backward& b)
      : b_(b), again_(&b.op() == &backprop_op ? &b.attrs<BackpropAttrs>() : nullptr), loop_(&b.op() == &while_op) {
    a_.variables = differentiable_variables(b.op(), b.attrs_view());
    a_.nested = b.nested();
  }

  void make() {
    // Its own input 0 is the forward node's trace, its last ones say what arrived, as do some of its outputs.
    const size_t first = again_ ? 1 : 0;
    const size_t variables = static_cast<size_t>(b_.num_inputs()) - a_.variables.size();
    const size_t end = variables - (again_ ? again_->conditional.size() : 0);
    a_.num_inputs = static_cast<int64_t>(end - first);
    inputs_.push_back(&b_.output(b_.num_outputs()));
    std::vector<int> places;
    for (size_t i = first; i < end; ++i) {
      const int at = static_cast<int>(i);
      inputs_.push_back(&b_.input(at));
      if (!b_.needs(at)) continue;
      a_.wanted.push_back(static_cast<int64_t>(i - first));
      places.push_back(at);
    }
    for (size_t k = 0; k < a_.variables.size(); ++k) {
      const int at = static_cast<int>(variables + k);
      if (!b_.needs(at)) continue;
      a_.wanted_variables.push_back(static_cast<int64_t>(k));
      places.push_back(at);
    }
    if (places.empty()) return;
    add_dys();
    differentiate();
    for (size_t w = 0; w < places.size(); ++w) add_result(w, b_.input(places[w]));
    const Outputs made = apply_all(backprop_op, inputs_, a_, t_state.source);
    for (size_t w = 0; w < places.size(); ++w) hand_out(places[w], a_.results[w].parts, made);
  }

 private:
  void add_dys() {
    std::map<int64_t, int64_t> traced;  // of a gradient: outputs of its trace, by its outputs
    if (again_)
      for (const BackpropResult& result : again_->results)
        for (const GradientPart& part : result.parts) traced.emplace(part.value, num_traced_++);
    std::vector<const Tensor*> arrived;
    for (int i = 0; i < b_.num_outputs(); ++i) {
      if (!b_.dy(i).defined()) continue;
      if (b_.arrived(i).defined()) {
        a_.conditional.push_back(static_cast<int64_t>(a_.dys.size()));
        arrived.push_back(&b_.arrived(i));
      }
      a_.dys.push_back(again_ ? traced.at(i) : i);
      inputs_.push_back(&b_.dy(i));
    }
    a_.num_outputs = again_ ? num_traced_ : b_.num_outputs();
    inputs_.insert(inputs_.end(), arrived.begin(), arrived.end());
  }

  void differentiate() {
    if (!again_) {
      bodies_ = differentiable_bodies(b_.op(), b_.attrs_view());
      const auto gradient_of = loop_                  ? differentiate_pass
                               : &b_.op() == &call_op ? differentiate_call
                                                      : differentiate_branch;
      for (const Body* body : bodies_) a_.gradients.push_back(gradient_of(b_, *body, a_.variables));
    } else {
      const Tensor& own = b_.output(0);
      bodies_ = bodies_traced(*own.graph(), own.node());
      // What a branch returned goes to no other body; so it is the last gradient's body that is differentiated.
      const GraphData& g = *own.graph();
      traced_ = &g.node(own.node());
      do {
        num_dys_ = traced_->attrs_view().as<BackpropAttrs>().dys.size();
        traced_ = &g.node(traced_->inputs[0].node), ++order_;
      } while (traced_->op == &backprop_op);
      num_forward_ = differentiable_bodies(*traced_->op, traced_->attrs_view()).size();
      loop_ = traced_->op == &while_op;
      const size_t begin = loop_ ? 0 : bodies_.size() - again_->gradients.size();
      for (size_t i = 0; i < bodies_.size(); ++i)
        a_.gradients.push_back(i >= begin && bodies_[i] ? differentiate_all(*bodies_[i], a_.variables)
                                                        : BodyGradient());
    }
  }

  // Of wanted input or variable number `w`, which is `x`.
  void add_result(size_t w, const Tensor& x) {
    a_.results.emplace_back();
    const TensorSpec whole{x.dtype(), x.shape()};
    if (!a_.nested) return add_part({}, whole, nullptr);
    if (auto inputs = body_inputs(w); !inputs.empty()) {
      for (size_t k = 0; k < bodies_.size(); ++k) add_parts(k, inputs[k], whole);
      a_.results.back().bodies = std::move(inputs);
      return;
    }
    const Kinds kinds = kinds_of(w, x);
    const TensorSpec rows{x.dtype(), rows_shape(x.shape())}, indices{kinds.indices, {-1}};
    if (kinds.whole) add_part({}, whole, nullptr);
    if (kinds.slices) add_part({.kind = Kind::slice}, whole, nullptr);
    if (kinds.rows) add_part({.kind = Kind::rows}, rows, &indices);
  }

  // Those of the gradient of input number `input` of body `k`.
  void add_parts(size_t k, int64_t input, const TensorSpec& whole) {
    const BodyGradient& gradient = a_.gradients[k];
    const InputGradient* of = input < 0 ? nullptr : gradient.of(static_cast<size_t>(input));
    if (!of) return;
    for (const GradientPart& p : of->parts) {
      const auto spec = [&](auto output) { return &gradient.body.output_spec(static_cast<size_t>(output)); };
      add_part({.kind = p.kind, .begin = p.begin, .strides = p.strides}, p.kind == Kind::whole ? whole : *spec(p.value),
               p.indices < 0 ? nullptr : spec(p.indices));
    }
  }

  // Adds the outputs of a part.
  void add_part(GradientPart part, const TensorSpec& value, const TensorSpec* indices) {
    const auto add = [&](const TensorSpec& spec) {
      a_.dtypes.push_back(spec.dtype);
      a_.shapes.push_back(spec.shape);
      return static_cast<int32_t>(a_.dtypes.size() - 1);
    };
    part.value = static_cast<uint32_t>(add(value));
    part.arrived = add({bool_, {}});
    if (indices) part.indices = add(*indices);
    a_.results.back().parts.push_back(part);
  }

  // By body: its input that is wanted input or variable number `w` of the node, and none is of two; -1: none. Empty
  // where parts come from several executions, or from what was done with them.
  std::vector<int64_t> body_inputs(size_t w) const {
    if (loop_) return {};
    std::vector<int64_t> inputs;
    for (size_t k = 0; k < bodies_.size(); ++k) {
      inputs.push_back(-1);
      if (!a_.gradients[k].body.graph) continue;
      const Body& b = *bodies_[k];
      const size_t parameters = b.parameters.size(), tensors = parameters + b.captures.size();
      if (w >= a_.wanted.size()) {
        inputs[k] = static_cast<int64_t>(tensors) + a_.wanted_variables[w - a_.wanted.size()];
        continue;
      }
      const auto input = static_cast<size_t>(a_.wanted[w]);
      const size_t given = again_ ? bodies_[k % num_forward_]->parameters.size() : parameters;
      if (input < given) {
        inputs[k] = static_cast<int64_t>(input);
      } else if (again_ && input >= traced_->inputs.size()) {
        const size_t dy = input - traced_->inputs.size();
        if (dy >= num_dys_) return {};
        inputs[k] = static_cast<int64_t>(given + dy);
      } else if (const auto at = std::ranges::find(b.capture_inputs, input); at != b.capture_inputs.end()) {
        inputs[k] = static_cast<int64_t>(parameters) + (at - b.capture_inputs.begin());
      }
    }
    return inputs;
  }

  Kinds kinds_of(size_t w, const Tensor& x) const {
    Kinds all;
    for (size_t k = 0; k < bodies_.size(); ++k) {
      if (!a_.gradients[k].body.graph) continue;
      const BodyGradient& gradient = a_.gradients[k];
      const size_t parameters = bodies_[k]->parameters.size(), tensors = parameters + bodies_[k]->captures.size();
      const auto add = [&](size_t input) { all.add(gradient.body, gradient.of(input)); };
      if (w >= a_.wanted.size()) {
        add(tensors + static_cast<size_t>(a_.wanted_variables[w - a_.wanted.size()]));
        continue;
      }
      const auto input = static_cast<size_t>(a_.wanted[w]);
      // A gradient that was given to a gradient's gradient: that has taken of it the slices and rows that it needed.
      if (order_ > 1 && input >= traced_->inputs.size() && x.dtype() != DType::list)
        return {.whole = true, .slices = true, .rows = !x.shape().has_rank() || x.rank() > 0, .indices = int64};
      for (size_t c = 0; c < bodies_[k]->captures.size(); ++c)
        if (bodies_[k]->capture_inputs[c] == input) add(parameters + c);
      if (again_) {  // a loop variable, or the gradient of a result
        for (size_t i = 0; i < parameters; ++i) add(i);
        all.whole = true;
      } else if (input < parameters) {
        add(input);
          if (loop_ && b_.dy(static_cast<int>(input)).defined()) all.whole = true;  // after no pass at all
      }
    }
    return all;
  }

  void hand_out(int place, const std::vector<GradientPart>& parts, const Outputs& made) {
    const std::span<const Tensor> outputs(made.begin(), made.size());
    if (!a_.nested) return b_.dx(place, outputs[parts[0].value], outputs[static_cast<size_t>(parts[0].arrived)]);
    if (parts.empty()) return;
    const bool all_whole = std::ranges::all_of(parts, [](const GradientPart& p) { return p.kind == Kind::whole; });
    const Tensor like = all_whole ? b_.input(place) : symbol_like(b_.input(place), place);
    auto sum = std::make_shared<GradientSum>();
    for (const GradientPart& part : parts) sum->add(contribution_of(part, outputs), like);
    b_.dx_sum(place, std::move(sum));
  }

  // A tensor of the graph with the shape of an input of the node, which is none if it is a variable.
  Tensor symbol_like(const Tensor& x, int place) const {
    if (x.is_symbolic()) return x;
    if (x.shape().is_known()) return broadcast_to(tensor(0, {}, {.dtype = x.dtype()}), x.shape());
    const auto first = static_cast<size_t>(b_.num_inputs()) - a_.variables.size();
    const VariableAttrs attrs{a_.variables[static_cast<size_t>(place) - first]};
    GraphData& g = *b_.output().graph();
    const TensorSpec spec{x.dtype(), x.shape()};
    return Tensor::symbol(&g, g.add(read_variable_op, {}, attrs, {&spec, 1}, "", t_state.source), 0);
  }

  Backward& b_;
  const BackpropAttrs* const again_;
  bool loop_;  // or the gradient of one
  BackpropAttrs a_;
  std::vector<const Tensor*> inputs_;
  std::vector<const Body*> bodies_;  // that are differentiated
  const Node* traced_ = nullptr;     // of a gradient's gradient: the If or While node
  int order_ = 0;                    // and that of the gradient
  int64_t num_traced_ = 0;           // outputs of its trace
  size_t num_forward_ = 0;           // the If or While node's bodies
  size_t num_dys_ = 0;               // gradients that its gradient was given
};

}  // namespace

// Behind the inputs of the node, the engine lists the variables that its bodies read.
void control_flow_gradient(Backward& b) { Building(b).make(); }

constinit OpDef backprop_op{.key = OpKey::without_kernels("Backprop"),
                            .doc = "The gradient of an execution of If or While, from the trace that it left.",
                            .min_inputs = 1,
                            .max_inputs = -1,
                            .outputs = -1,
                            .hidden = 1,
                            .infer = infer_backprop,
                            .differentiable = Differentiability::rule,
                            .gradient = control_flow_gradient,
                            .flags = {.can_fail = true, .session = true, .on_host = true, .control_flow = true},
                            .attrs = &internal::kAttrsType<BackpropAttrs>};

__attribute__((constructor(101))) static void register_backprop() { register_op(backprop_op); }

}  // namespace twofold
