// Runs a record's call in every way that must give the same bits, and compares.
#pragma once

#include <cstdint>
#include <string>

#include <twofold/lib/runtime/device.h>
#include <twofold/session/program/options.h>

#include "record.h"

namespace op_test {

/// splitmix64: the same numbers on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next();
  /// In [0, 1).
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  uint64_t state_;
};

/// Inputs for one case. With `apart`, all elements differ from each other and from 0 by a good deal more than a finite
/// difference's step, so that no kink lies between them.
Arrays sample(const Record& r, const std::vector<Shape>& shapes, DType dtype, bool apart, Random& random);

Tensor to_tensor(const Array& a);
/// The same elements at an address that no vector load is aligned to: a slice of a larger value on `device`.
Tensor to_unaligned_tensor(const Array& a, twofold::Device device = {});
Tensors to_tensors(const Arrays& arrays);

/// What is wrong with `got`, or "".
std::string difference(const Tensor& got, const Array& wanted, const Record& r);
/// Where dtypes, shapes or bytes differ, or "".
std::string bit_difference(const Tensor& a, const Tensor& b);
std::string bit_difference(const Tensors& a, const Tensors& b);

/// How a deferred run is told its shapes.
enum class Known { shapes, ranks, nothing };
Tensors run_eagerly(const Call& call, const Tensors& inputs);
/// The results of `runs` runs of one session, one after the other.
Tensors run_deferred(const Call& call, const Tensors& inputs, Known known, const twofold::SessionOptions& options,
                     int runs = 1);
/// Runs the graph of `call` node by node, each kernel on memory between guard bands; `what_broke` says which op wrote
/// where it may not. Outputs lie over inputs where OpDef::in_place allows it. Inputs of which only the shape counts are
/// null.
Tensors run_guarded(const Call& call, const Tensors& inputs, std::string& what_broke);

/// Runs `call` with 1, 2 and 5 threads, on unaligned memory, deferred in six ways, and between guard bands: "" if all
/// give the bits of `expected`. With `needs_rank` an unknown rank must be an error that says so.
std::string check_parity(const Call& call, const Arrays& inputs, const Tensors& expected, bool needs_rank = false);

/// Sets the number of threads for its lifetime.
class Threads {
 public:
  explicit Threads(int n);
  ~Threads();

 private:
  int before_;
};

}  // namespace op_test
