// What tests of DataLoader load.
#pragma once

#include <vector>

#include <twofold/twofold.h>

namespace loading {

namespace tf = twofold;
namespace io = twofold::io;
using io::DataLoader;
using io::Position;
using tf::Tensor;
using Numbers = std::vector<int32_t>;

/// The examples 0 ... n - 1.
inline Tensor numbers(int n) {
  Numbers v(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) v[static_cast<size_t>(i)] = i;
  return tf::tensor(v);
}
/// Examples of 32 floats, all equal to the example's number.
inline Tensor wide(int n) {
  std::vector<float> v(static_cast<size_t>(n) * 32);
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i / 32);
  return tf::tensor(v, {n, 32});
}
inline Position at(int64_t epoch, int64_t batch) { return {epoch, batch}; }

}  // namespace loading
