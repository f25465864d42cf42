// Random numbers.
#pragma once

#include <optional>
#include <source_location>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/tensor.h>

namespace twofold {

struct RandomNormalOptions {
  double mean = 0;
  double stddev = 1;
  DType dtype = float32;
  std::optional<int64_t> seed =
      {};  ///< the op's own; otherwise its scope and place in it tell its numbers from others'
};

struct RandomUniformOptions {
  double low = 0;
  double high = 1;
  DType dtype = float32;
  std::optional<int64_t> seed = {};
};

/// Numbers from the normal distribution. `shape` must be fully known; dtype float32 or float64; stddev finite and not
/// negative, else InvalidArgument.
///
/// A source: a node that draws anew at every run, or a value at once. Element i of execution c is a function of (key,
/// c, i) alone, the key being fixed where the op is made (lib/op/random_key.h), so that both modes, all numbers of
/// threads and all instruction sets draw the same bits. Source: TensorFlow's random_normal; Philox4x32-10 and
/// Box-Muller.
Tensor random_normal(Shape shape, RandomNormalOptions options = {},
                     std::source_location where = std::source_location::current());

/// Numbers uniform in [low, high), with 24 random bits for float32 and 53 for float64; low where both are equal. low <=
/// high and both finite, else InvalidArgument. Otherwise as random_normal. Source: TensorFlow's random_uniform.
Tensor random_uniform(Shape shape, RandomUniformOptions options = {},
                      std::source_location where = std::source_location::current());

struct RandomAttrs {
  uint64_t key = 0;  ///< first, where random_key_of looks for it
  DType dtype = float32;
  Shape shape;
  double a = 0;  ///< mean, or low
  double b = 1;  ///< standard deviation, or high
  TWOFOLD_FIELDS(key, dtype, shape, a, b)
};

void register_random();

}  // namespace twofold
