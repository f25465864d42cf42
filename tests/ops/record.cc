#include "record.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace op_test {

const std::vector<Record>& records() {
  static const std::vector<Record> all = [] {
    std::vector<Record> r;
    add_pointwise_records(r);
    add_layout_records(r);
    add_reduce_records(r);
    add_linear_records(r);
    add_normalisation_records(r);
    add_gather_records(r);
    add_conv_records(r);
    add_optimizer_records(r);
    add_pool_records(r);
    add_slicing_records(r);
    add_scan_records(r);
    add_einsum_records(r);
    return r;
  }();
  return all;
}

double stored(double v, DType t) {
  switch (t) {
    case DType::float32: return static_cast<float>(v);
    case DType::float64: return v;
    case DType::int32: return static_cast<int32_t>(static_cast<int64_t>(v));
    case DType::int64: return static_cast<double>(static_cast<int64_t>(v));
    case DType::uint8: return static_cast<uint8_t>(static_cast<int64_t>(v));
    case DType::boolean: break;
  }
  return v != 0;
}

double at(const Array& a, const Index& index) {
  const size_t lead = index.size() - static_cast<size_t>(a.shape.rank());
  int64_t offset = 0;
  for (int i = 0; i < a.shape.rank(); ++i)
    offset = offset * a.shape[i] + (a.shape[i] == 1 ? 0 : index[lead + static_cast<size_t>(i)]);
  return a.values[static_cast<size_t>(offset)];
}

void for_each_index(const Shape& shape, const std::function<void(const Index&)>& f) {
  Index index(static_cast<size_t>(shape.rank()), 0);
  for (int64_t n = shape.num_elements(); n > 0; --n) {
    f(index);
    for (int i = shape.rank() - 1; i >= 0; --i) {
      if (++index[static_cast<size_t>(i)] < shape[i]) break;
      index[static_cast<size_t>(i)] = 0;
    }
  }
}

Array generate(DType dtype, const Shape& shape, const std::function<double(const Index&)>& f) {
  Array a{dtype, shape, {}};
  a.values.reserve(static_cast<size_t>(shape.num_elements()));
  for_each_index(shape, [&](const Index& i) { a.values.push_back(stored(f(i), dtype)); });
  return a;
}

Shape broadcast(const Shape& a, const Shape& b) {
  Shape y;
  const int rank = std::max(a.rank(), b.rank());
  for (int i = 0; i < rank; ++i) {
    const int64_t m = i < rank - a.rank() ? 1 : a[i - rank + a.rank()];
    const int64_t n = i < rank - b.rank() ? 1 : b[i - rank + b.rank()];
    y.push_back(m == 1 ? n : m);
  }
  return y;
}

bool above(double a, double b) { return std::isnan(a) ? !std::isnan(b) : a > b; }

}  // namespace op_test
