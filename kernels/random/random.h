// Random numbers.
#pragma once

#include <optional>
#include <source_location>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/extents.h>
#include <twofold/lib/op/number.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// Options of `random_normal`.
struct RandomNormalOptions {
  double mean = 0;        ///< of the distribution
  double stddev = 1;      ///< the standard deviation, not negative
  DType dtype = float32;  ///< float32 or float64
  /// The op's own; without one, its scope and its ordinal there decide.
  std::optional<int64_t> seed = {};
};

/// Options of `random_uniform`.
struct RandomUniformOptions {
  Number low = 0;                    ///< the least number that may come
  Number high = 1;                   ///< what all numbers stay below
  DType dtype = float32;             ///< of the result
  std::optional<int64_t> seed = {};  ///< the op's own; without one, its scope and its ordinal there decide
};

/// Options of `random_uniform_int`.
struct RandomIntOptions {
  DType dtype = int32;               ///< int32 or int64
  std::optional<int64_t> seed = {};  ///< the op's own; without one, its scope and its ordinal there decide
};

/// Numbers from the normal distribution. Every extent of `shape` is a number or is computed by ops
/// (lib/op/extents.h), and then read on the host at every run; dtype float32 or float64; stddev finite and not
/// negative, else InvalidArgument.
///
/// A source: a node that draws anew at every run, or a value at once. Element i of execution c is a function of (key,
/// c, i) alone, the key being fixed where the op is made (lib/op/random_key.h), so that both modes, all numbers of
/// threads and all instruction sets draw the same bits. Source: TensorFlow's random_normal; Philox4x32-10 and
/// Box-Muller.
Tensor random_normal(const Extents& shape, RandomNormalOptions options = {},
                     std::source_location where = std::source_location::current());

/// Numbers from the normal distribution cut off at two standard deviations: those beyond are drawn anew. Otherwise as
/// random_normal. Source: TensorFlow's truncated_normal.
Tensor truncated_normal(const Extents& shape, RandomNormalOptions options = {},
                        std::source_location where = std::source_location::current());

/// Numbers uniform in [low, high), with 24 random bits for float32 and 53 for float64; low where both are equal. low <=
/// high, both and high - low being finite, else InvalidArgument. Of int32 or int64 as random_uniform_int, low and high
/// being whole and given. Otherwise as random_normal. Source: TensorFlow's random_uniform.
Tensor random_uniform(const Extents& shape, RandomUniformOptions options = {},
                      std::source_location where = std::source_location::current());

/// Integers uniform in [low, high), int32 or int64; the probabilities of two of them differ by 2^-64 at most, too
/// little to show. InvalidArgument: low >= high, a bound beyond the dtype, another dtype. Otherwise as random_normal.
/// Source: TensorFlow's random_uniform of integers, PyTorch's randint.
Tensor random_uniform_int(const Extents& shape, int64_t low, int64_t high, RandomIntOptions options = {},
                          std::source_location where = std::source_location::current());

/// Options of `random_permutation` and `random_shuffle`.
struct RandomShuffleOptions {
  std::optional<int64_t> seed = {};  ///< the op's own; without one, its scope and its ordinal there decide
};

/// The numbers 0 ... n - 1, int32, in a random order, drawn as by random_normal: each number gets 64 random bits, by
/// which they are sorted (equal ones by the numbers themselves). Every order is as probable, but for about n^2 / 2^65.
/// InvalidArgument: n negative or beyond int32. Source: PyTorch's randperm.
Tensor random_permutation(Extent n, RandomShuffleOptions options = {},
                          std::source_location where = std::source_location::current());

/// x with its slices along the first axis in a random order: gather(x, random_permutation(n)), n being the extent of
/// that axis, which may be known only in the run. Any dtype; differentiable through gather. InvalidArgument: a scalar.
/// Source: TensorFlow's random_shuffle.
Tensor random_shuffle(Operand x, RandomShuffleOptions options = {});

/// Options of `random_normal_like`.
struct RandomNormalLikeOptions {
  double mean = 0;                   ///< of the distribution
  double stddev = 1;                 ///< the standard deviation, not negative
  std::optional<DType> dtype = {};   ///< x's, unless given
  std::optional<int64_t> seed = {};  ///< the op's own; without one, its scope and its ordinal there decide
};
/// Options of `random_uniform_like`.
struct RandomUniformLikeOptions {
  Number low = 0;                    ///< the least number that may come
  Number high = 1;                   ///< what all numbers stay below
  std::optional<DType> dtype = {};   ///< x's, unless given
  std::optional<int64_t> seed = {};  ///< the op's own; without one, its scope and its ordinal there decide
};

/// @{
/// Numbers as of random_normal and random_uniform, of the shape that x has when it runs; x's elements are not used. Of
/// a value, too, it is a source, which draws anew at every run. Not differentiable. Source: PyTorch's randn_like and
/// rand_like.
Tensor random_normal_like(Operand x, RandomNormalLikeOptions options = {});
Tensor random_uniform_like(Operand x, RandomUniformLikeOptions options = {});
/// @}

/// Attributes of RandomNormal, TruncatedNormal and RandomUniform.
struct RandomAttrs {
  uint64_t key = 0;  ///< first, where random_key_of looks for it
  DType dtype = float32;
  Shape shape;   ///< unused where the shape is an operand
  double a = 0;  ///< mean, or low
  double b = 1;  ///< standard deviation, or high
  TWOFOLD_FIELDS(key, dtype, shape, a, b)
};

/// Attributes of RandomUniformInt.
struct RandomIntAttrs {
  uint64_t key = 0;  ///< as in RandomAttrs
  DType dtype = int32;
  Shape shape;
  int64_t low = 0;
  int64_t high = 1;
  TWOFOLD_FIELDS(key, dtype, shape, low, high)
};
/// Attributes of RandomPermutation.
struct RandomPermutationAttrs {
  uint64_t key = 0;  ///< as in RandomAttrs
  Shape shape;       ///< (n,)
  TWOFOLD_FIELDS(key, shape)
};

/// Adds the ops of this folder to the registry.
void register_random();

namespace op_name {
TWOFOLD_OP_NAME(RandomNormal);
TWOFOLD_OP_NAME(RandomUniform);
TWOFOLD_OP_NAME(TruncatedNormal);
TWOFOLD_OP_NAME(RandomUniformInt);
TWOFOLD_OP_NAME(RandomPermutation);
}  // namespace op_name

}  // namespace twofold
