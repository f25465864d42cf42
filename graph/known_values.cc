// What a graph knows of integers before it runs: extents, and what is computed from them.
#include <unordered_map>

#include <twofold/graph/graph_data.h>
#include <twofold/graph/graph_ops.h>

namespace twofold {
namespace {

using Known = std::optional<PartialValues>;
using Entry = std::optional<int64_t>;

class KnownValues {
 public:
  explicit KnownValues(const GraphData& g) : g_(g) {}

  /// Of at most kMost integers, as far as they follow from nodes `depth` deep.
  Known of(Edge e, int depth) {
    const TensorSpec& spec = g_.spec(e);
    if (spec.dtype != int32 && spec.dtype != int64) return {};
    const Node& n = g_.node(e.node);
    if (n.op == &constant_op) return constant(n);
    if (depth == 0 || e.output != 0) return {};
    // A node that is read twice is looked at once: otherwise the work doubles at each n + n.
    const uint64_t key = uint64_t{e.node} << 8 | static_cast<uint64_t>(depth);
    if (const auto found = seen_.find(key); found != seen_.end()) return found->second;
    return seen_[key] = follow(n, spec, depth);
  }

 private:
  static constexpr size_t kMost = 64;

  /// An op's rule asks for inputs by this.
  class Context final : public KnownContext {
   public:
    Context(KnownValues& known, const Node& n, int depth)
        : KnownContext(n.outputs[0], n.attrs_view()), known_(known), node_(n), depth_(depth) {}
    int num_inputs() const override { return static_cast<int>(node_.inputs.size()); }
    const TensorSpec& input(int i) const override { return known_.g_.spec(edge(i)); }
    Known values(int i) const override { return known_.of(edge(i), depth_ - 1); }

   private:
    Edge edge(int i) const { return node_.inputs[static_cast<size_t>(i)]; }
    KnownValues& known_;
    const Node& node_;
    int depth_;
  };

  Known follow(const Node& n, const TensorSpec& spec, int depth) {
    Known values;
    if (n.op->known)
      values = n.op->known(Context(*this, n, depth));
    else if (n.op->flags.alias && n.inputs.size() == 1)
      values = of(n.inputs[0], depth - 1);
    return values ? checked(*values, spec) : values;
  }

  static Known constant(const Node& n) {
    const Tensor& value = n.attrs_view().as<ConstantAttrs>().value.tensor;
    if (value.shape().num_elements() > static_cast<int64_t>(kMost)) return {};
    const Tensor* in[] = {&value};
    return InferContext(*n.op, {}, {}, in).known_values(0);
  }

  /// As many as there are elements, each within the dtype.
  static Known checked(PartialValues values, const TensorSpec& spec) {
    if (values.size() > kMost || spec.shape.rank() > 1) return {};
    if (spec.shape.is_known() && spec.shape.num_elements() != static_cast<int64_t>(values.size())) return {};
    for (Entry& v : values)
      if (v && spec.dtype == int32 && !std::in_range<int32_t>(*v)) v.reset();
    return values;
  }

  const GraphData& g_;
  std::unordered_map<uint64_t, Known> seen_;  // by node and depth
};

}  // namespace

std::optional<PartialValues> GraphSymbols::symbol_known_values(uint32_t node, uint16_t output) const {
  constexpr int kDepth = 24;
  return KnownValues(*graph()).of({node, output}, kDepth);
}

}  // namespace twofold
