// Random numbers.
#pragma once

#include <concepts>
#include <optional>
#include <source_location>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/operand.h>

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

namespace internal {
Tensor random_normal(const Tensor& shape, const RandomNormalOptions& options, std::source_location where);
Tensor random_uniform(const Tensor& shape, const RandomUniformOptions& options, std::source_location where);
}  // namespace internal

/// Numbers from the normal distribution. `shape` must be fully known, or be an int32 or int64 vector computed by ops,
/// which is read on the host at every run; dtype float32 or float64; stddev finite and not negative, else
/// InvalidArgument.
///
/// A source: a node that draws anew at every run, or a value at once. Element i of execution c is a function of (key,
/// c, i) alone, the key being fixed where the op is made (lib/op/random_key.h), so that both modes, all numbers of
/// threads and all instruction sets draw the same bits. Source: TensorFlow's random_normal; Philox4x32-10 and
/// Box-Muller.
Tensor random_normal(Shape shape, RandomNormalOptions options = {},
                     std::source_location where = std::source_location::current());
template <std::same_as<Tensor> T>
Tensor random_normal(const T& shape, RandomNormalOptions options = {},
                     std::source_location where = std::source_location::current()) {
  return internal::random_normal(shape, options, where);
}

/// Numbers uniform in [low, high), with 24 random bits for float32 and 53 for float64; low where both are equal. low <=
/// high and both finite, else InvalidArgument. Otherwise as random_normal. Source: TensorFlow's random_uniform.
Tensor random_uniform(Shape shape, RandomUniformOptions options = {},
                      std::source_location where = std::source_location::current());
template <std::same_as<Tensor> T>
Tensor random_uniform(const T& shape, RandomUniformOptions options = {},
                      std::source_location where = std::source_location::current()) {
  return internal::random_uniform(shape, options, where);
}

struct RandomNormalLikeOptions {
  double mean = 0;
  double stddev = 1;
  std::optional<DType> dtype = {};  ///< x's, unless given
  std::optional<int64_t> seed = {};
};
struct RandomUniformLikeOptions {
  double low = 0;
  double high = 1;
  std::optional<DType> dtype = {};
  std::optional<int64_t> seed = {};
};

/// The same, of the shape that x has when it runs; x's elements are not used. Beside a value too it is a source, which
/// draws anew at every run. Not differentiable. Source: PyTorch's randn_like and rand_like.
Tensor random_normal_like(Operand x, RandomNormalLikeOptions options = {});
Tensor random_uniform_like(Operand x, RandomUniformLikeOptions options = {});

struct RandomAttrs {
  uint64_t key = 0;  ///< first, where random_key_of looks for it
  DType dtype = float32;
  Shape shape;   ///< unused where the shape is an operand
  double a = 0;  ///< mean, or low
  double b = 1;  ///< standard deviation, or high
  TWOFOLD_FIELDS(key, dtype, shape, a, b)
};

void register_random();

}  // namespace twofold
