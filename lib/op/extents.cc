#include <twofold/lib/op/extents.h>

#include <fmt/format.h>

#include <algorithm>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/opdef.h>
#include <twofold/lib/op/value.h>

namespace twofold {
namespace {

void check_integer(const Tensor& t, const char* what, std::source_location where) {
  if (!t.defined())
    fail_at(where, "Shape", Code::InvalidArgument, fmt::format("{} is None: an undefined Tensor", what),
            "if (t.defined()) ...");
  if (t.dtype() != int32 && t.dtype() != int64)
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("{} must be int32 or int64, not {}", what, name_of(t.dtype())), "tf::cast(t, tf::int32)");
}

int64_t number_at(const Tensor& value, int64_t i) {
  const Value& v = value.value()->on_host();
  return v.dtype() == int64 ? static_cast<const int64_t*>(v.data())[i] : static_cast<const int32_t*>(v.data())[i];
}

}  // namespace

Extent::Extent(const Tensor& t, Where where) : where_(where) {
  check_integer(t, "An extent", where);
  if (t.shape().has_rank() && t.rank() != 0)
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("An extent is one number, not a tensor of shape {}", t.shape().str()), "tf::shape(x)[0]");
  dtype_ = t.dtype();
  if (t.is_symbolic())
    symbol_ = t;
  else
    number_ = number_at(t, 0);
}

Extents::Extents(std::initializer_list<Extent> list, Where where) : where_(where) {
  for (const Extent& e : list) push_back(e);
}

void Extents::push_back(const Extent& e) {
  if (e.symbol().defined()) symbols_.emplace_back(numbers_.size(), e.symbol());
  numbers_.push_back(e.known().value_or(-1), e.where());
}

Extents::Extents(const Shape& shape, Where where)
    : numbers_(shape.raw(), where), has_rank_(shape.has_rank()), where_(where) {}

Extents::Extents(const Tensor& all, Where where) : where_(where) {
  check_integer(all, "A shape", where);
  if (all.shape().has_rank() && all.rank() > 1)
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("A shape must be a vector, got a tensor of shape {}", all.shape().brackets()));
  if (all.rank() == 0) {
    push_back(Extent(all, where));
    return;
  }
  if (all.is_symbolic()) {
    operand_ = all;
    return;
  }
  for (int64_t i = 0; i < all.shape()[0]; ++i) numbers_.push_back(number_at(all, i), where);
}

std::optional<Shape> Extents::shape() const {
  if (!has_rank_) return unknown_shape;
  if (!known()) return std::nullopt;
  return Shape(std::span(numbers_.begin(), numbers_.end()), where_);
}

}  // namespace twofold
