// The CUDA kernels of the pointwise ops: the functors of functors.h over the items of items.h.
#include <cuda_runtime.h>
#include <math.h>

#include <utility>
#include <vector>

#include <twofold/kernels/pointwise/broadcast_gpu.h>
#include <twofold/kernels/pointwise/dtype_class.h>
#include <twofold/kernels/pointwise/ops.h>
#include <twofold/kernels/pointwise/pointwise_attrs.h>
#include <twofold/kernels/pointwise/scalar.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

std::span<const KernelEntry> gpu_kernels_pointwise();
std::span<const TileEntry> gpu_tiles();
Prepared prepare_fused(const Signature& s);

namespace {

constexpr int kMaxInputs = 3;

/// What is done to one element of each operand.
template <class F>
struct Map {
  template <class... T>
  __device__ auto operator()(T... x) const {
    return stored(F()(Scalar<T>(x)...));
  }
};
struct Select {
  template <class T>
  __device__ T operator()(bool condition, T a, T b) const {
    return condition ? a : b;
  }
};
template <class To>
struct Convert {
  template <class From>
  __device__ To operator()(From x) const {
    return convert<To>(x);
  }
};

template <class Op, class Y, class... X>
__device__ Values<Y> map(const Values<X>&... x) {
  Values<Y> y;
#pragma unroll
  for (int e = 0; e < kItems; ++e) y.of[e] = Op()(x.of[e]...);
  return y;
}

template <class Op, class Y, class... X>
__global__ void __launch_bounds__(kItemThreads)
    pointwise_kernel(const __grid_constant__ Broadcast<sizeof...(X)> b, bool vectors, Y* y, const X*... x) {
  constexpr int kInputs = sizeof...(X);
  const Items items(b.n, vectors);
  Places at[kInputs];
  if constexpr (kInputs == 1)
    at[0] = flat(items);
  else
    locate(b, items, at);
  [&]<int... i>(std::integer_sequence<int, i...>) {
    store(items, y, map<Op, Y>(load(items, at[i], b.strides[i][0] != 0, x)...));
  }
  (std::make_integer_sequence<int, kInputs>());
}

struct Params {
  const void* kernel;
  int inputs;
  uint32_t alignment_masks[kMaxInputs + 1];  ///< of the inputs, then the output
  Broadcast<kMaxInputs> broadcast;           ///< its first part is a Broadcast of as many inputs as there are
};

void run(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Params& p = *static_cast<const Params*>(params);
  if (p.broadcast.n == 0) return;
  bool vectors = p.broadcast.aligned != 0;
  for (int i = 0; i <= p.inputs; ++i)
    vectors = vectors && (reinterpret_cast<uintptr_t>(args[i]) & p.alignment_masks[i]) == 0;
  void* parameters[kMaxInputs + 3] = {const_cast<Broadcast<kMaxInputs>*>(&p.broadcast), &vectors,
                                      const_cast<void**>(&args[p.inputs])};
  for (int i = 0; i < p.inputs; ++i) parameters[i + 3] = const_cast<void**>(&args[i]);
  launch_items(p.kernel, p.broadcast.n, parameters, ctx);
}

Prepared prepare_kernel(const void* kernel, const Signature& s) {
  if (!kernel) return {};
  std::vector<Shape> shapes;
  for (const TensorSpec& in : s.inputs) shapes.push_back(in.shape);
  Params p{kernel, static_cast<int>(shapes.size()), {}, make_broadcast<kMaxInputs>(shapes, s.outputs[0].shape)};
  for (int i = 0; i < p.inputs; ++i)
    if (p.broadcast.strides[i][0] != 0)
      p.alignment_masks[i] = alignment_mask(size_of(s.inputs[static_cast<size_t>(i)].dtype));
  p.alignment_masks[p.inputs] = alignment_mask(size_of(s.outputs[0].dtype));
  return Prepared(run, p);
}

template <class F, DTypeClass kClass, int kArity, class T>
const void* kernel_of() {
  if constexpr (!supports(kClass, dtype_of<T>)) {
    return nullptr;
  } else if constexpr (kArity == 1) {
    using Y = decltype(stored(F()(Scalar<T>(0))));
    return reinterpret_cast<const void*>(&pointwise_kernel<Map<F>, Y, T>);
  } else {
    using Y = decltype(stored(F()(Scalar<T>(0), Scalar<T>(0))));
    return reinterpret_cast<const void*>(&pointwise_kernel<Map<F>, Y, T, T>);
  }
}

template <class F, DTypeClass kClass, int kArity>
Prepared prepare_op(const Signature& s) {
  const void* kernel =
      dispatch(s.inputs[0].dtype, [](auto zero) { return kernel_of<F, kClass, kArity, decltype(zero)>(); });
  return prepare_kernel(kernel, s);
}

Prepared prepare_select(const Signature& s) {
  const auto kernel = [&]<class Bits>(Bits) {
    return reinterpret_cast<const void*>(&pointwise_kernel<Select, Bits, bool, Bits, Bits>);
  };
  switch (size_of(s.inputs[1].dtype)) {
    case 1: return prepare_kernel(kernel(uint8_t{}), s);
    case 4: return prepare_kernel(kernel(uint32_t{}), s);
    default: return prepare_kernel(kernel(uint64_t{}), s);
  }
}

template <class From>
const void* cast_from(DType to) {
  return dispatch(to, [](auto zero) {
    using To = decltype(zero);
    return reinterpret_cast<const void*>(&pointwise_kernel<Convert<To>, To, From>);
  });
}
Prepared prepare_cast(const Signature& s) {
  const DType to = s.attrs_as<CastAttrs>().to;
  const void* kernel = dispatch(s.inputs[0].dtype, [to](auto zero) { return cast_from<decltype(zero)>(to); });
  return prepare_kernel(kernel, s);
}

}  // namespace

std::span<const KernelEntry> gpu_kernels_pointwise() {
  static constexpr KernelEntry kEntries[] = {
#define TWOFOLD_UNARY(function, Op, dtypes, ...) {op_name::Op, prepare_op<functor::Op, DTypeClass::dtypes, 1>},
#define TWOFOLD_BINARY(function, Op, node, dtypes, ...) {op_name::Op, prepare_op<functor::Op, DTypeClass::dtypes, 2>},
#include <twofold/kernels/pointwise/ops.def>
      {op_name::Select, prepare_select},
      {op_name::IfArrived, prepare_select},
      {op_name::Cast, prepare_cast},
      {op_name::Fused, prepare_fused},
  };
  return kEntries;
}

/// None: a GPU runs fused groups as kernels compiled from functors.h, not tile by tile.
std::span<const TileEntry> gpu_tiles() { return {}; }

}  // namespace twofold
