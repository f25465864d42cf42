#include <twofold/kernels/tensor_array/tensor_list.h>

#include <algorithm>

namespace twofold {

TensorList::TensorList(int64_t size, bool dynamic, Elements elements)
    : TensorList(size, dynamic, std::move(elements), make_ref<Lock>()) {}

// A long chain of versions ends in a loop: each holds the next.
TensorList::~TensorList() {
  Ref<TensorList> next = std::move(newer_);
  while (next && next->unique()) {
    Ref<TensorList> after = std::move(next->newer_);
    next = std::move(after);
  }
}

Tensor TensorList::at(int64_t index) const {
  const std::lock_guard lock(lock_->mutex);
  const TensorList* version = this;
  for (; version->newer_; version = version->newer_.get())
    for (const auto& [i, element] : version->before_)
      if (i == index) return element;
  const auto found = version->elements_.find(index);
  return found == version->elements_.end() ? Tensor() : found->second;
}

TensorList::Elements TensorList::copied() const {
  std::vector<const TensorList*> older;
  const TensorList* version = this;
  for (; version->newer_; version = version->newer_.get()) older.push_back(version);
  Elements all = version->elements_;
  for (auto back = older.rbegin(); back != older.rend(); ++back) {
    for (const auto& [i, element] : (*back)->before_) {
      if (element.defined())
        all[i] = element;
      else
        all.erase(i);
    }
  }
  return all;
}

std::vector<Tensor> TensorList::elements(int64_t start, int64_t step, int64_t count) const {
  const std::lock_guard lock(lock_->mutex);
  Elements copy;
  if (newer_) copy = copied();
  const Elements& all = newer_ ? copy : elements_;
  std::vector<Tensor> found(static_cast<size_t>(count));
  for (int64_t k = 0; k < count; ++k)
    if (const auto at = all.find(start + k * step); at != all.end()) found[static_cast<size_t>(k)] = at->second;
  return found;
}

TensorList::Elements TensorList::elements() const {
  const std::lock_guard lock(lock_->mutex);
  return copied();
}

size_t TensorList::count() const {
  const std::lock_guard lock(lock_->mutex);
  return newer_ ? copied().size() : elements_.size();
}

Ref<TensorList> TensorList::with(std::vector<Change> changes, int64_t size) const {
  const std::lock_guard lock(lock_->mutex);
  Ref<TensorList> next;
  if (newer_) {
    next = make_ref<TensorList>(size, dynamic_, copied());
  } else {
    next = Ref<TensorList>::adopt(new TensorList(size, dynamic_, std::move(elements_), lock_));
    elements_.clear();
  }
  const bool is_version = !newer_;
  for (auto& [i, element] : changes) {
    const auto found = next->elements_.find(i);
    Tensor old = found == next->elements_.end() ? Tensor() : std::move(found->second);
    if (element.defined())
      next->elements_.insert_or_assign(i, std::move(element));
    else if (found != next->elements_.end())
      next->elements_.erase(found);
    if (is_version) before_.emplace_back(i, std::move(old));
  }
  if (is_version) newer_ = next;
  return next;
}

}  // namespace twofold
