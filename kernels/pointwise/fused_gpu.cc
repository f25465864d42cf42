// The fused group's CUDA kernel: its ops written out as CUDA source over the functors of functors.h and the items of
// items.h, compiled when the group is prepared. Between ops values are rounded to what they would be stored as.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <twofold/kernels/cuda/nvrtc.h>
#include <twofold/kernels/pointwise/broadcast_gpu.h>
#include <twofold/kernels/pointwise/dtype_class.h>
#include <twofold/kernels/pointwise/fused.h>
#include <twofold/kernels/pointwise/ops.h>

namespace twofold {

Prepared prepare_fused(const Signature& s);

namespace {

// As many as the pass "fuse" may put into one group.
constexpr size_t kMostPatterns = 32;
constexpr size_t kMostArguments = 128;
static_assert(sizeof(Broadcast<kMostPatterns>) + 8 + kMostArguments * sizeof(void*) <= 4096, "a kernel's parameters");

struct Group {
  const void* kernel = nullptr;
  Broadcast<kMostPatterns> broadcast;      ///< of the patterns; the kernel's has only as many as there are
  std::vector<uintptr_t> alignment_masks;  ///< by argument
};

void run_fused(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Group& p = **static_cast<const Group* const*>(params);
  bool vectors = p.broadcast.aligned != 0;
  for (size_t i = 0; i < p.alignment_masks.size(); ++i)
    vectors = vectors && (reinterpret_cast<uintptr_t>(args[i]) & p.alignment_masks[i]) == 0;
  void* parameters[] = {const_cast<Broadcast<kMostPatterns>*>(&p.broadcast), &vectors, const_cast<void**>(args)};
  launch_items(p.kernel, p.broadcast.n, parameters, ctx);
}

/// How the inputs are read. Those that are broadcast alike share one pattern, so that places are computed once.
struct Reads {
  static constexpr int kFlat = -1;    ///< in the output's order
  static constexpr int kScalar = -2;  ///< one element for all
  std::vector<int> pattern_of;        ///< by input
  std::vector<Shape> patterns;
};

/// Whether the shapes are equal but for leading extents of 1.
bool alike(const Shape& a, const Shape& b) {
  for (int k = 1; k <= a.rank() || k <= b.rank(); ++k)
    if ((k <= a.rank() ? a[a.rank() - k] : 1) != (k <= b.rank() ? b[b.rank() - k] : 1)) return false;
  return true;
}

Reads reads_of(std::span<const TensorSpec> inputs, const Shape& out) {
  Reads reads;
  for (const TensorSpec& in : inputs) {
    const int64_t n = in.shape.num_elements();
    if (n == out.num_elements() || n == 1) {
      reads.pattern_of.push_back(n == 1 && out.num_elements() != 1 ? Reads::kScalar : Reads::kFlat);
      continue;
    }
    const auto at = std::ranges::find_if(reads.patterns, [&](const Shape& p) { return alike(p, in.shape); });
    reads.pattern_of.push_back(static_cast<int>(at - reads.patterns.begin()));
    if (at == reads.patterns.end()) reads.patterns.push_back(in.shape);
  }
  return reads;
}

std::string type_of(DType t) {
  constexpr const char* kNames[kDTypeCount] = {"float", "double", "int", "long", "unsigned char", "bool"};
  return kNames[static_cast<int>(t)];
}

struct Op {
  OpKey name;
  DTypeClass dtypes;
  size_t inputs;
};
constexpr Op kOps[] = {
#define TWOFOLD_UNARY(function, Op, dtypes, ...) {op_name::Op, DTypeClass::dtypes, 1},
#define TWOFOLD_BINARY(function, Op, node, dtypes, ...) {op_name::Op, DTypeClass::dtypes, 2},
#include <twofold/kernels/pointwise/ops.def>
};

/// The value of an op, as pointwise_gpu.cu computes it; "" if there is no such kernel.
std::string expression_of(const FusedOp& fused, size_t num_values) {
  std::vector<std::string> in;
  for (int16_t value : fused.in) {
    if (value < 0) break;
    if (static_cast<size_t>(value) >= num_values) return {};
    in.push_back("v" + std::to_string(value));
  }
  if (fused.op == op_name::Cast) return in.size() == 1 ? "convert<" + type_of(fused.to) + ">(" + in[0] + ")" : "";
  if (fused.op == op_name::Select || fused.op == op_name::IfArrived)
    return in.size() == 3 ? in[0] + " ? " + in[1] + " : " + in[2] : "";
  const auto op = std::ranges::find(kOps, fused.op, &Op::name);
  if (op == std::end(kOps) || !supports(op->dtypes, fused.dtype) || in.size() != op->inputs) return {};
  std::string operands;
  for (const std::string& value : in)
    operands += (operands.empty() ? "" : ", ") + ("Scalar<" + type_of(fused.dtype) + ">(" + value + ")");
  return std::string("stored(functor::") + fused.op.text() + "()(" + operands + "))";
}

/// The CUDA source of the kernel "fused"; "" if an op has none.
std::string source_of(const FusedAttrs& attrs, std::span<const TensorSpec> inputs, const Reads& reads) {
  std::string loads, values, stores;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::string number = std::to_string(i), type = type_of(inputs[i].dtype);
    const std::string from = "static_cast<const " + type + "*>(args.of[" + number + "])";
    const int pattern = reads.pattern_of[i];
    if (pattern == Reads::kScalar) {
      loads += "  const " + type + " v" + number + " = *" + from + ";\n";
      continue;
    }
    const std::string p = std::to_string(pattern);
    const std::string at =
        pattern == Reads::kFlat ? "flat(items), true" : "at[" + p + "], b.strides[" + p + "][0] != 0";
    loads += "  const Values<" + type + "> x" + number + " = load(items, " + at + ", " + from + ");\n";
    values += "    const " + type + " v" + number + " = x" + number + ".of[e];\n";
  }
  for (size_t i = 0; i < attrs.ops.size(); ++i) {
    const std::string expression = expression_of(attrs.ops[i], inputs.size() + i);
    if (expression.empty()) return {};
    values +=
        "    const " + type_of(attrs.ops[i].to) + " v" + std::to_string(inputs.size() + i) + " = " + expression + ";\n";
  }
  for (size_t i = 0; i < attrs.results.size(); ++i) {
    const size_t result = static_cast<size_t>(attrs.results[i]);
    if (result >= attrs.ops.size()) return {};
    const std::string number = std::to_string(i), type = type_of(attrs.ops[result].to);
    loads += "  Values<" + type + "> y" + number + ";\n";
    values += "    y" + number + ".of[e] = v" + std::to_string(inputs.size() + result) + ";\n";
    stores += "  store(items, static_cast<" + type + "*>(args.of[" + std::to_string(inputs.size() + i) + "]), y" +
              number + ");\n";
  }
  const size_t patterns = reads.patterns.size();
  std::string source = R"(using int32_t = int;
using int64_t = long;
using uint32_t = unsigned;
#include <twofold/kernels/pointwise/items.h>
#include <twofold/kernels/pointwise/scalar.h>
using namespace twofold;
struct Arguments {
  void* of[)" + std::to_string(inputs.size() + attrs.results.size()) +
                       R"(];
};
extern "C" __global__ void __launch_bounds__(kItemThreads)
    fused(const __grid_constant__ Broadcast<)" +
                       std::to_string(std::max<size_t>(patterns, 1)) + R"(> b, bool vectors,
          const __grid_constant__ Arguments args) {
  const Items items(b.n, vectors);
)";
  if (patterns > 0) source += "  Places at[" + std::to_string(patterns) + "];\n  locate(b, items, at);\n";
  return source + loads + "#pragma unroll\n  for (int e = 0; e < kItems; ++e) {\n" + values + "  }\n" + stores + "}\n";
}

}  // namespace

Prepared prepare_fused(const Signature& s) {
  const FusedAttrs& attrs = s.attrs_as<FusedAttrs>();
  if (s.outputs.empty() || s.outputs.size() != attrs.results.size() ||
      s.inputs.size() + s.outputs.size() > kMostArguments)
    return {};
  const Shape& out = s.outputs[0].shape;
  const Reads reads = reads_of(s.inputs, out);
  if (reads.patterns.size() > kMostPatterns) return {};
  const std::string source = source_of(attrs, s.inputs, reads);
  if (source.empty()) return {};
  if (out.num_elements() == 0) return Prepared([](const void*, void* const*, KernelContext&) noexcept {}, 0);

  auto group = std::make_shared<Group>();
  group->kernel = cuda::compile_kernel(source, "fused");
  if (!group->kernel) return {};
  group->broadcast = make_broadcast<kMostPatterns>(reads.patterns, out);
  for (size_t i = 0; i < s.inputs.size(); ++i) {
    const int pattern = reads.pattern_of[i];
    const bool neighbours = pattern == Reads::kFlat || (pattern >= 0 && group->broadcast.strides[pattern][0] != 0);
    group->alignment_masks.push_back(neighbours ? alignment_mask(size_of(s.inputs[i].dtype)) : 0);
  }
  for (const TensorSpec& result : s.outputs) group->alignment_masks.push_back(alignment_mask(size_of(result.dtype)));
  const Group* p = group.get();
  Prepared prepared(run_fused, p);
  prepared.resource = std::move(group);
  return prepared;
}

}  // namespace twofold
