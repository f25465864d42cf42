#include <twofold/lib/autodiff/gradient_sum.h>

#include <algorithm>
#include <utility>

#include <twofold/kernels/gather/gather.h>
#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/if_arrived.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/sum_slices/sum_slices.h>
#include <twofold/lib/op/constant.h>
#include <twofold/lib/op/value.h>

namespace twofold {
namespace {

/// Rows of indices of any shape as a matrix of rows of `like`: (number of indices, like's other extents...).
Tensor flat_rows(const Tensor& rows, const Tensor& indices, const Tensor& flat_indices, const Tensor& like) {
  const Shape &params = like.shape(), &places = indices.shape();
  if (!params.is_known() || !places.is_known())
    return reshape(rows, concat({shape(flat_indices), slice(shape(like), 1, -1)}, 0));
  Shape flat{places.num_elements()};
  for (int i = 1; i < params.rank(); ++i) flat.push_back(params[i]);
  return reshape(rows, flat);
}

Axes axes_of(const Tensor& integers) {
  Axes axes;
  for (int64_t i : integers.dtype() == int32 ? cast(integers, int64).data<int64_t>() : integers.data<int64_t>())
    axes.push_back(i);
  return axes;
}

/// `rows`, as many as `indices`, or none of them where `arrived` is false.
Tensor first_rows_if(const Tensor& arrived, const Tensor& rows, const Tensor& indices) {
  const Tensor extents = shape(rows);
  return slice(rows, extents * 0, concat({shape(indices) * cast(arrived, int32), slice(extents, 1, -1)}, 0));
}

}  // namespace

void GradientSum::add(Contribution c, const Tensor& like) {
  if (c.kind == Contribution::Kind::sum) return add(std::move(*c.sum));
  if (c.kind == Contribution::Kind::whole)
    return add_gradient(whole_, {std::move(c.value), std::move(c.arrived), c.conditional});
  if (!like_.defined()) like_ = like;
  auto& parts = c.kind == Contribution::Kind::slice ? slices_ : c.conditional ? conditional_rows_ : rows_;
  parts.push_back({std::move(c.value), c.place ? *c.place : SlicePlace{}, std::move(c.indices), std::move(c.arrived),
                   c.conditional});
}

void GradientSum::add(GradientSum other) {
  if (other.whole_.value.defined()) add_gradient(whole_, std::move(other.whole_));
  if (!like_.defined()) like_ = other.like_;
  const auto append = [](std::vector<Part>& to, std::vector<Part>& from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  };
  append(slices_, other.slices_);
  append(rows_, other.rows_);
  append(conditional_rows_, other.conditional_rows_);
}

std::vector<Tensor*> GradientSum::values() {
  std::vector<Tensor*> all;
  if (whole_.value.defined()) all.push_back(&whole_.value);
  for (std::vector<Part>* parts : {&slices_, &rows_, &conditional_rows_})
    for (Part& p : *parts) all.push_back(&p.value);
  return all;
}

void GradientSum::rename_whole() {
  if (whole_.value.defined()) whole_.value = identity(whole_.value);
}

Gradient& GradientSum::total() {
  add_slices();
  add_rows();
  return whole_;
}

std::vector<Contribution> GradientSum::parts() const {
  std::vector<Contribution> all;
  if (whole_.value.defined()) all.push_back({.value = whole_.value, .arrived = whole_.arrived});
  for (const Part& p : slices_) {
    all.push_back({.kind = Contribution::Kind::slice, .value = p.value, .arrived = p.arrived, .indices = p.indices});
    if (!p.indices.defined()) all.back().place = std::make_shared<const SlicePlace>(p.place);
  }
  for (const auto* rows : {&rows_, &conditional_rows_})
    for (const Part& p : *rows)
      all.push_back({.kind = Contribution::Kind::rows, .value = p.value, .arrived = p.arrived, .indices = p.indices});
  return all;
}

void GradientSum::condense() {
  const auto covers_all = [](const Part& p) { return !p.indices.defined() && p.place.begin.empty(); };
  if (slices_.size() > 1 || (slices_.size() == 1 && !covers_all(slices_[0]))) slices_ = {joined_slices()};
  if (rows_.empty()) return;
  const RowsGradient all = joined_rows(true);
  rows_ = {{.value = all.values, .indices = all.indices}};
}

// A slice that has not arrived is added as -0, which leaves the sum as it is, to the bit, since sum_slices starts from
// +0. So a run in which it is left out altogether, as eager execution leaves it out, gives the same.
GradientSum::Part GradientSum::joined_slices() const {
  Tensor arrived = slices_[0].arrived;
  const bool together =
      std::ranges::all_of(slices_, [&](const Part& p) { return p.arrived.same_as(slices_[0].arrived); });
  std::vector<Tensor> values;
  std::vector<SlicePlace> places;
  Tensor sum;
  // One after another, as if they all were in one sum: what there is already is the first slice of the next.
  const auto add_neighbours = [&] {
    if (values.empty()) return;
    if (sum.defined()) values.insert(values.begin(), sum), places.insert(places.begin(), SlicePlace{});
    sum = sum_slices(values, places, like_);
    values.clear(), places.clear();
  };
  for (const Part& p : slices_) {
    const Tensor value = together ? p.value : guarded({p.value, p.arrived}, -0.0);
    arrived = either_arrived(arrived, p.arrived);
    if (p.indices.is_concrete()) {
      values.push_back(value);
      places.push_back({axes_of(p.indices), {}});
    } else if (p.indices.defined()) {
      add_neighbours();
      const Tensor padded = internal::pad_at(like_, value, p.indices);
      sum = sum.defined() ? twofold::add(sum, padded) : padded;
    } else {
      values.push_back(value);
      places.push_back(p.place);
    }
  }
  add_neighbours();
  return {.value = sum, .arrived = arrived, .conditional = std::ranges::all_of(slices_, &Part::conditional)};
}

void GradientSum::add_slices() {
  if (slices_.empty()) return;
  Part all = joined_slices();
  add_gradient(whole_, {std::move(all.value), std::move(all.arrived), all.conditional});
  slices_.clear();
}

RowsGradient GradientSum::rows() const {
  const bool alone = !rows_.empty() && !whole_.value.defined() && slices_.empty() && conditional_rows_.empty() &&
                     std::ranges::none_of(rows_, [](const Part& p) { return p.arrived.defined(); });
  return alone ? joined_rows() : RowsGradient();
}

// Rows that have not arrived are left out: how rows of an index add up may depend on how many there are.
RowsGradient GradientSum::joined_rows(bool flat) const {
  if (!flat && rows_.size() == 1 && !rows_[0].arrived.defined()) return {rows_[0].value, rows_[0].indices};
  const bool wide = std::ranges::any_of(rows_, [](const Part& p) { return p.indices.dtype() == int64; });
  std::vector<Tensor> values, indices;
  for (const Part& p : rows_) {
    const Tensor places = reshape(wide && p.indices.dtype() != int64 ? cast(p.indices, int64) : p.indices, Shape{-1});
    const Tensor rows = flat_rows(p.value, p.indices, places, like_);
    values.push_back(p.arrived.defined() ? first_rows_if(p.arrived, rows, places) : rows);
    indices.push_back(p.arrived.defined() ? first_rows_if(p.arrived, places, places) : places);
  }
  if (values.size() == 1) return {values[0], indices[0]};
  return {concat(values, 0), concat(indices, 0)};
}

// Which rows of an index add up in which order may depend on how many there are: rows that control flow may leave out
// are added by themselves.
void GradientSum::add_rows() {
  if (!rows_.empty()) {
    Tensor arrived = rows_[0].arrived;
    for (const Part& p : rows_) arrived = either_arrived(arrived, p.arrived);
    const RowsGradient all = joined_rows();
    add_gradient(whole_, {internal::scatter_rows(all.values, all.indices, like_), arrived});
  }
  for (const Part& p : conditional_rows_)
    add_gradient(whole_, {internal::scatter_rows(p.value, p.indices, like_), p.arrived, true});
  rows_.clear();
  conditional_rows_.clear();
}

}  // namespace twofold
