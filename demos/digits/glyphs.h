// Pictures of digits, drawn by the program itself.
#pragma once

#include <twofold/twofold.h>

#include <cstdint>

inline constexpr int64_t kSide = 28;
inline constexpr int64_t kClasses = 10;

struct Digits {
  twofold::Tensor images;  ///< uint8, (n, kSide, kSide): light on dark
  twofold::Tensor labels;  ///< uint8, (n): 0 ... 9
};

/// `count` digits as if written by hand: strokes whose points wander, bent, turned, slanted, stretched and moved, with
/// pens of several widths, blurred and with noise. Image i of a stream depends on seed, stream and i alone. Only
/// integers and IEEE 754's correctly rounded operations make it, so that every machine gets the same bytes.
Digits draw_digits(int64_t count, uint64_t seed, uint64_t stream);
