// What a graph knows of integers before it runs: extents, and what is computed from them.
#include <algorithm>
#include <string_view>
#include <unordered_map>

#include <twofold/graph/graph_data.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/kernels/layout/layout.h>
#include <twofold/lib/op/high.h>

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

  Known follow(const Node& n, const TensorSpec& spec, int depth) {
    const std::string_view op = n.op->name;
    const auto input = [&](size_t i) { return of(n.inputs[i], depth - 1); };
    Known values;
    if (op == "Shape") {
      const Shape& s = g_.spec(n.inputs[0]).shape;
      if (!s.has_rank()) return {};
      values.emplace();
      for (int i = 0; i < s.rank(); ++i) values->push_back(s.extent(i));
    } else if (op == "Extents") {
      values = extents(n, depth);
    } else if (op == "Slice" && n.inputs.size() == 1) {
      values = slice(n, input(0));
    } else if (op == "ConcatV2") {
      values.emplace();
      for (size_t i = 0; values && i < n.inputs.size(); ++i) {
        const Known part = input(i);
        part ? void(values->insert(values->end(), part->begin(), part->end())) : values.reset();
      }
    } else if (op == "Prod") {
      values = product(n, input(0));
    } else if (n.inputs.size() == 1 && (n.op->flags.alias || op == "Cast")) {
      values = input(0);
    } else if (n.inputs.size() == 2 && n.op->flags.pointwise) {
      values = pointwise(op, input(0), input(1));
    }
    return values ? checked(*values, spec) : values;
  }

  static Known constant(const Node& n) {
    const Tensor& value = n.attrs_view().as<ConstantAttrs>().value.tensor;
    if (value.shape().num_elements() > static_cast<int64_t>(kMost)) return {};
    const Tensor* in[] = {&value};
    return InferContext(*n.op, {}, {}, in).known_values(0);
  }

  Known extents(const Node& n, int depth) {
    const auto& attrs = n.attrs_view().as<ExtentsAttrs>();
    PartialValues values(attrs.numbers.begin(), attrs.numbers.end());
    for (int i = 0; i < attrs.places.size(); ++i) {
      const Known one = of(n.inputs[static_cast<size_t>(i)], depth - 1);
      values[static_cast<size_t>(attrs.places[i])] = one && one->size() == 1 ? (*one)[0] : std::nullopt;
    }
    return values;
  }

  static Known slice(const Node& n, const Known& from) {
    const auto& attrs = n.attrs_view().as<SliceAttrs>();
    const Shape& taken = n.outputs[0].shape;
    if (!from || !taken.is_known() || taken.rank() != 1 || attrs.begin.empty()) return {};
    const auto size = static_cast<int64_t>(from->size());
    const int64_t begin = attrs.begin[0] < 0 ? attrs.begin[0] + size : attrs.begin[0];
    if (begin < 0 || taken[0] > size - begin) return {};
    return PartialValues(from->begin() + begin, from->begin() + begin + taken[0]);
  }

  static Known product(const Node& n, const Known& of) {
    if (!of || n.outputs[0].shape.rank() != 0) return {};
    int64_t all = 1;
    for (const Entry& v : *of)
      if (!v || __builtin_mul_overflow(all, *v, &all)) return PartialValues{std::nullopt};
    return PartialValues{all};
  }

  static Entry computed(std::string_view op, int64_t a, int64_t b) {
    int64_t y = 0;
    if (op == "Add") return __builtin_add_overflow(a, b, &y) ? Entry() : y;
    if (op == "Sub") return __builtin_sub_overflow(a, b, &y) ? Entry() : y;
    if (op == "Mul") return __builtin_mul_overflow(a, b, &y) ? Entry() : y;
    if (op == "Minimum") return std::min(a, b);
    if (op == "Maximum") return std::max(a, b);
    if (op == "FloorDiv" && b > 0) return a / b - (a % b < 0);
    return {};
  }

  static Known pointwise(std::string_view op, const Known& a, const Known& b) {
    if (!a || !b || a->empty() || b->empty()) return {};
    const size_t n = std::max(a->size(), b->size());
    if ((a->size() != n && a->size() != 1) || (b->size() != n && b->size() != 1)) return {};
    PartialValues values(n);
    for (size_t i = 0; i < n; ++i) {
      const Entry &x = (*a)[a->size() == 1 ? 0 : i], &y = (*b)[b->size() == 1 ? 0 : i];
      if (x && y) values[i] = computed(op, *x, *y);
    }
    return values;
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

std::optional<PartialValues> symbol_known_values(const Tensor& t) {
  constexpr int kDepth = 24;
  return KnownValues(*t.graph()).of({t.node(), t.output()}, kDepth);
}

}  // namespace twofold
