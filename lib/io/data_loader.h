// Batches of examples, one after another.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <utility>
#include <vector>

#include <twofold/lib/io/examples.h>

namespace twofold::io {

/// Options of `DataLoader`.
struct DataLoaderOptions {
  int64_t batch_size = 1;       ///< examples in a batch
  bool shuffle = false;         ///< a new order in each epoch, which depends on the seed and the epoch's number alone
  bool drop_remainder = false;  ///< leaves out an epoch's last batch if it is smaller
  int prefetch = 0;             ///< batches made ahead, on a thread of the loader's own; 0: made when asked for
  uint64_t seed = 0;            ///< of the orders
};

/// A place in the sequence of batches: of batch number `batch` of epoch number `epoch`, both from 0.
struct Position {
  /// @{
  /// Both from 0.
  int64_t epoch = 0, batch = 0;
  /// @}
  friend bool operator==(const Position&, const Position&) = default;
};

/// The tensors of N kinds of examples: `const auto& [x, y] = batch`, `batch[0]`.
template <size_t N>
using Batch = std::array<Tensor, N>;

namespace internal {

/// What is the same for all numbers of tensors.
class BatchStream {
 public:
  /// Changes a batch where it lies.
  using Map = std::function<void(std::span<Tensor> batch, Position position)>;

  BatchStream(std::span<const Examples> examples, DataLoaderOptions options, std::source_location where);
  ~BatchStream();
  BatchStream(const BatchStream&) = delete;
  BatchStream& operator=(const BatchStream&) = delete;

  void next(std::span<Tensor> batch);
  Position position() const;
  void seek(Position position, std::source_location where);
  void add_map(Map map);
  int64_t num_examples() const;
  int64_t batches_per_epoch() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace internal

/// Hands out N kinds of examples in step, in batches, epoch after epoch:
///
///     io::DataLoader loader({images, labels}, {.batch_size = 128, .shuffle = true, .prefetch = 2});
///     auto step = tf::step([&](Tensor x, Tensor y) { ... });
///     while (loader.position().epoch < 10)
///       for (const auto& [x, y] : loader.epoch()) step(x, y);
///
/// A batch's tensors are concrete, of shape (batch_size, *shape of an example); the last of an epoch may be smaller.
/// Unshuffled, they are views of the examples wherever these are aligned for the dtype; shuffled, they are gathered
/// once, into memory that the batches before have left. Feeding them or computing with them copies nothing more.
///
/// The sequence depends on the examples and on the options but `prefetch`, and on nothing else. To go on where a
/// program stopped, keep `position()` and `seek` it. One thread at a time may use a loader.
template <size_t N>
class DataLoader {
 public:
  using Where = std::source_location;

  /// Tensors are taken as Examples. Throws InvalidArgument if the numbers of examples differ, if there are none, for
  /// options that make no sense, and if an epoch would have no batch.
  DataLoader(const Examples (&examples)[N], DataLoaderOptions options = {}, Where where = Where::current())
      : stream_(examples, options, where) {}

  /// Changes every batch by `f(batch)` or `f(batch, position)`, which returns a Batch<N>: a cast, a normalisation. It
  /// runs eagerly and unseen by tapes, under the `tf::device` guard that holds here, on the loader's thread where there
  /// is one; what it throws, `next` throws. What it refers to must outlive the loader, which may be ahead of the
  /// program. For the sequence to be the same every time, it must depend on its arguments alone: random ops are not of
  /// that kind. Maps run in the order of adding; batches made ahead are made again. A map that returns a symbol or an
  /// undefined tensor makes `next` throw InvalidArgument.
  template <class F>
  DataLoader& map(F f) {
    if constexpr (std::is_invocable_r_v<Batch<N>, F&, Batch<N>> ||
                  std::is_invocable_r_v<Batch<N>, F&, Batch<N>, Position>) {
      stream_.add_map([f = std::move(f)](std::span<Tensor> tensors, Position position) mutable {
        Batch<N> batch;
        for (size_t i = 0; i < N; ++i) batch[i] = std::move(tensors[i]);
        if constexpr (std::is_invocable_r_v<Batch<N>, F&, Batch<N>>) {
          batch = f(std::move(batch));
        } else {
          batch = f(std::move(batch), position);
        }
        for (size_t i = 0; i < N; ++i) tensors[i] = std::move(batch[i]);
      });
    } else {
      static_assert(kNever<F>,
                    "a loader's map takes a batch and returns one: loader.map([](io::Batch<2> b) { b[0] = b[0] / "
                    "255.f; return b; })");
    }
    return *this;
  }

  /// The next batch; behind an epoch's last comes the next one's first. After an error, the position is unchanged: the
  /// next call tries again.
  Batch<N> next() {
    Batch<N> batch;
    stream_.next(batch);
    return batch;
  }

  /// Of what `next` will return.
  Position position() const { return stream_.position(); }
  /// Throws OutOfRange for a place that no batch has.
  void seek(Position position, Where where = Where::current()) { stream_.seek(position, where); }

  /// In one kind.
  int64_t num_examples() const { return stream_.num_examples(); }
  /// How many batches an epoch has, the smaller last one among them unless it is dropped.
  int64_t batches_per_epoch() const { return stream_.batches_per_epoch(); }

  /// Goes over the batches of an epoch.
  class Iterator {
   public:
    using value_type = Batch<N>;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    explicit Iterator(DataLoader* loader) : loader_(loader), epoch_(loader->position().epoch), batch_(loader->next()) {}
    /// @{
    /// The batch under way.
    const Batch<N>& operator*() const { return *batch_; }
    const Batch<N>* operator->() const { return &*batch_; }
    /// @}
    /// @{
    /// Takes the next batch, whose memory may be the former's.
    Iterator& operator++() {
      batch_.reset();  // its memory may serve the next
      if (loader_->position().epoch == epoch_) batch_ = loader_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    /// @}
    friend bool operator==(const Iterator& i, std::default_sentinel_t) { return !i.batch_; }

   private:
    DataLoader* loader_ = nullptr;
    int64_t epoch_ = 0;
    std::optional<Batch<N>> batch_;
  };
  /// The batches of one epoch, to be gone over once.
  class Epoch {
   public:
    explicit Epoch(DataLoader* loader) : loader_(loader) {}
    /// @{
    /// The batches, made as they are asked for.
    Iterator begin() const { return Iterator(loader_); }
    std::default_sentinel_t end() const { return {}; }
    /// @}

   private:
    DataLoader* loader_;
  };
  /// What is left of the epoch under way: all of it, unless the loop before was left early or `seek` was called. Refers
  /// to the loader.
  Epoch epoch() { return Epoch(this); }

 private:
  internal::BatchStream stream_;
};

template <size_t N>
DataLoader(const Examples (&)[N], DataLoaderOptions = {}, std::source_location = {}) -> DataLoader<N>;

}  // namespace twofold::io
