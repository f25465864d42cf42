// What a TensorArray is made of: a list of tensors of which every version remains.
#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include <twofold/lib/core/ref.h>
#include <twofold/lib/op/tensor.h>

namespace twofold {

/// Immutable, as values are: a change gives another list. The newest version of a list holds its elements, and each
/// older one that somebody still has, what was there before the next was made of it. So a change of the newest version
/// and a look at it cost the same however long the list is; one of the others costs the changes since, or a copy.
/// (H. G. Baker, Shallow binding makes functional arrays fast, 1991.) Indices without an element take no room. Safe
/// from several threads.
class TensorList final : public RefCounted {
 public:
  using Elements = std::unordered_map<int64_t, Tensor>;
  /// An index and the element that comes there; undefined: none.
  using Change = std::pair<int64_t, Tensor>;

  TensorList(int64_t size, bool dynamic, Elements elements = {});
  ~TensorList() override;

  int64_t size() const { return size_; }
  /// Whether it grows when something is written behind its end.
  bool is_dynamic() const { return dynamic_; }
  /// Undefined where there is none.
  Tensor at(int64_t index) const;
  /// `count` of them, at start, start + step, ...
  std::vector<Tensor> elements(int64_t start, int64_t step, int64_t count) const;
  /// All that are there.
  Elements elements() const;
  /// How many are there.
  size_t count() const;
  /// A list of this one's elements but for `changes`, which are of different indices.
  Ref<TensorList> with(std::vector<Change> changes, int64_t size) const;

 private:
  struct Lock final : RefCounted {
    std::mutex mutex;
  };
  TensorList(int64_t size, bool dynamic, Elements elements, Ref<Lock> lock)
      : size_(size), dynamic_(dynamic), lock_(std::move(lock)), elements_(std::move(elements)) {}
  Elements copied() const;  // the lock is held

  const int64_t size_;
  const bool dynamic_;
  const Ref<Lock> lock_;                // of all versions; guards what is below
  mutable Elements elements_;           // of the newest version
  mutable Ref<TensorList> newer_;       // null: this is the newest version
  mutable std::vector<Change> before_;  // what `newer_` has changed, as it was here
};

}  // namespace twofold
