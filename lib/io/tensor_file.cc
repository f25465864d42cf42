#include <twofold/lib/io/tensor_file.h>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include <twofold/lib/core/error.h>
#include <twofold/lib/io/file.h>

namespace twofold::io {
namespace {

// Levenshtein's: the least number of letters to insert, remove or change that makes `b` of `a`.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

}  // namespace

TensorFile::TensorFile(std::string source, NamedTensors tensors)
    : source_(std::move(source)), tensors_(std::move(tensors)) {
  for (size_t i = 0; i < tensors_.size(); ++i) places_.emplace(tensors_[i].first, i);
}

const Tensor* TensorFile::find(std::string_view name) const {
  const auto it = places_.find(name);
  return it == places_.end() ? nullptr : &tensors_[it->second].second;
}

const Tensor& TensorFile::operator[](TensorName wanted) const {
  const std::string_view name = wanted.value;
  if (const Tensor* t = find(name)) return *t;
  constexpr size_t kNear = 3, kListed = 10, kLongest = 256,
                   kCompared = 4096;            // comparing takes the product of the lengths
  std::vector<std::pair<size_t, size_t>> near;  // distance, place
  std::string all;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const std::string& other = tensors_[i].first;
    const size_t longest = std::max(name.size(), other.size());
    if (longest <= kLongest && i < kCompared) {
      if (const size_t d = distance(name, other); d <= longest / 3) near.emplace_back(d, i);
    }
  }
  std::ranges::sort(near);
  std::string message = fmt::format("{} has no tensor {}", in_quotes(source_), in_quotes(name));
  for (size_t i = 0; i < std::min(near.size(), kNear); ++i)
    message += (i ? ", " : "; near it: ") + in_quotes(tensors_[near[i].second].first);
  for (size_t i = 0; i < std::min(tensors_.size(), kListed); ++i)
    all += (i ? ", " : ": ") + in_quotes(tensors_[i].first);
  message += fmt::format("; it has {} tensor{}{}{}", tensors_.size(), tensors_.size() == 1 ? "" : "s", all,
                         tensors_.size() > kListed ? ", ..." : "");
  fail_at(wanted.where, "", Code::NotFound, std::move(message));
}

}  // namespace twofold::io
