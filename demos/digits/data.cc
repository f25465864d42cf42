#include "data.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <stdexcept>

namespace tf = twofold;

namespace {

std::string path_of(const std::string& folder, const char* which, const char* what) {
  return (std::filesystem::path(folder) / fmt::format("{}-{}-ubyte", which, what)).string();
}
constexpr const char* kTrain = "train";
constexpr const char* kTest = "t10k";
constexpr const char* kImages = "images-idx3";
constexpr const char* kLabels = "labels-idx1";

// FNV-1a. Source: Fowler, Noll and Vo.
uint64_t hash_of(std::span<const uint8_t> bytes, uint64_t hash) {
  for (const uint8_t b : bytes) hash = (hash ^ b) * 0x100000001b3;
  return hash;
}

std::string fingerprint_of(const Data& data) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const Digits* d : {&data.train, &data.test})
    for (const tf::Tensor* t : {&d->images, &d->labels}) hash = hash_of(t->data<uint8_t>(), hash);
  return fmt::format("{:016x}", hash);
}

Digits load_digits(const std::string& folder, const char* which, int64_t count) {
  const std::string images = path_of(folder, which, kImages), labels = path_of(folder, which, kLabels);
  Digits d = {tf::io::load_idx(images), tf::io::load_idx(labels)};
  const auto check = [](bool good, const std::string& problem) {
    if (!good) throw std::runtime_error(problem);
  };
  check(d.images.dtype() == tf::uint8 && d.images.rank() == 3 && d.images.dim(1) == kSide && d.images.dim(2) == kSide,
        fmt::format("'{}' holds {} of shape {}; images are uint8 of shape (n, {}, {})", images,
                    tf::name_of(d.images.dtype()), d.images.shape().str(), kSide, kSide));
  check(d.labels.dtype() == tf::uint8 && d.labels.rank() == 1,
        fmt::format("'{}' holds {} of shape {}; labels are uint8 of shape (n)", labels, tf::name_of(d.labels.dtype()),
                    d.labels.shape().str()));
  const int64_t size = d.images.dim(0);
  check(size == d.labels.dim(0),
        fmt::format("'{}' has {} images, but '{}' has {} labels", images, size, labels, d.labels.dim(0)));
  check(size > 0, fmt::format("'{}' has no images", images));
  const auto all = d.labels.data<uint8_t>();
  const auto bad = std::ranges::find_if(all, [](uint8_t label) { return label >= kClasses; });
  check(bad == all.end(),
        fmt::format("'{}' has the label {}; digits are below {}", labels, bad == all.end() ? 0 : int{*bad}, kClasses));
  check(count <= size, fmt::format("{} examples were asked for; '{}' has {}", count, images, size));
  if (count == 0 || count == size) return d;
  return {tf::io::Examples(d.images).slice(0, count), tf::io::Examples(d.labels).slice(0, count)};
}

}  // namespace

Data make_data(int64_t train, int64_t test, uint64_t seed) {
  Data data = {draw_digits(train, seed, 0), draw_digits(test, seed, 1), fmt::format("drawn from seed {}", seed), {}};
  data.fingerprint = fingerprint_of(data);
  return data;
}

Data load_data(const std::string& folder, int64_t train, int64_t test) {
  Data data = {
      load_digits(folder, kTrain, train), load_digits(folder, kTest, test), fmt::format("from '{}'", folder), {}};
  data.fingerprint = fingerprint_of(data);
  return data;
}

void save_data(const std::string& folder, const Data& data) {
  std::filesystem::create_directories(folder);
  for (const auto& [which, digits] : {std::pair{kTrain, &data.train}, std::pair{kTest, &data.test}}) {
    tf::io::save_idx(path_of(folder, which, kImages), digits->images);
    tf::io::save_idx(path_of(folder, which, kLabels), digits->labels);
  }
}
