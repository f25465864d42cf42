// Shared parts of shape rules over images.
#pragma once

#include <initializer_list>
#include <optional>

#include <twofold/kernels/window2d/axes.h>
#include <twofold/lib/op/opdef.h>

namespace twofold::window2d {

/// Fails for a value below `least`, which is 0 or 1, or above what kernels count with.
void check_at_least(InferContext& c, const char* name, int64_t least, std::initializer_list<int64_t> values);
/// `s` with its rank, which must be 4; extents are unknown if that was.
Shape rank4(InferContext& c, const Shape& s, const char* hint);
/// Fails where windows over an axis of extent `in`, or what they are laid out over, would be more than can be counted.
void check_countable(InferContext& c, const WindowAxis& axis, int64_t in);
/// How many windows there are along an axis of extent `in`, if that is known. Fails where none fits.
std::optional<int64_t> out_extent(InferContext& c, const WindowAxis& axis, std::optional<int64_t> in);

}  // namespace twofold::window2d
