// One record per op: how to call it, on what, and what must come out. Every test of an op follows from it.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <twofold/lib/core/dtype.h>
#include <twofold/lib/core/shape.h>
#include <twofold/lib/op/tensor.h>

namespace op_test {

using twofold::DType;
using twofold::Shape;
using twofold::Tensor;

/// What references compute with: elements as doubles, row-major.
struct Array {
  DType dtype = twofold::float64;
  Shape shape;
  std::vector<double> values;
  std::vector<double> magnitude = {};  ///< of the terms that an element sums, where that sets its rounding error
};
using Arrays = std::vector<Array>;
using Tensors = std::vector<Tensor>;
using Call = std::function<Tensors(std::span<const Tensor>)>;

struct Range {
  double low = -3, high = 3;
};

struct Record {
  std::string op;     ///< OpDef::name of the op it is for
  std::string label;  ///< tells records of one op apart
  Call call;
  std::function<Arrays(std::span<const Array>)> reference;  ///< written without the library's ops
  std::vector<std::vector<Shape>> shapes;                   ///< of the inputs, a list for each case
  std::vector<DType> dtypes;                                ///< each is tried for all inputs
  std::vector<std::optional<DType>> fixed = {};             ///< inputs that have one dtype always
  std::vector<Range> samples = {};                          ///< of each input; the last holds for the rest
  double tolerance32 = 1e-6;                                ///< relative to max(1, magnitude)
  double tolerance64 = 1e-14;
  std::vector<int> gradient_of = {};  ///< inputs it is differentiable by
  bool gradient_needs_rank = false;   ///< of its inputs; unknown, it is an error
  bool exact = false;                 ///< moves elements, computes none: equal to the last bit
};

/// All records: those written beside their family, and one for each record of the pointwise ops.
const std::vector<Record>& records();

void add_pointwise_records(std::vector<Record>&);
void add_layout_records(std::vector<Record>&);
void add_reduce_records(std::vector<Record>&);
void add_linear_records(std::vector<Record>&);
void add_normalisation_records(std::vector<Record>&);
void add_gather_records(std::vector<Record>&);
void add_conv_records(std::vector<Record>&);
void add_optimizer_records(std::vector<Record>&);
void add_pool_records(std::vector<Record>&);
void add_slicing_records(std::vector<Record>&);
void add_einsum_records(std::vector<Record>&);
void add_scan_records(std::vector<Record>&);

// For references.

using Index = std::vector<int64_t>;

/// What `v` becomes when stored as `t`: floats round, integers wrap.
double stored(double v, DType t);
/// The element at `index`, which may have more axes than `a` and be along axes of extent 1: broadcasting.
double at(const Array& a, const Index& index);
/// The array whose element at each index is f(index).
Array generate(DType dtype, const Shape& shape, const std::function<double(const Index&)>& f);
/// Calls f for every index of `shape`, in row-major order.
void for_each_index(const Shape& shape, const std::function<void(const Index&)>& f);
Shape broadcast(const Shape& a, const Shape& b);
/// a > b, NaN being above all else.
bool above(double a, double b);

}  // namespace op_test
