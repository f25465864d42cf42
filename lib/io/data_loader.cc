#include <twofold/lib/io/data_loader.h>

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>

#include <twofold/lib/core/error.h>
#include <twofold/lib/io/permutation.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold::io::internal {
namespace {

using Tensors = std::vector<Tensor>;

// Makes any batch of the sequence. Used by one thread at a time.
class BatchMaker {
 public:
  BatchMaker(std::span<const Examples> examples, const DataLoaderOptions& options)
      : examples_(examples.begin(), examples.end()), options_(options) {}

  Tensors make(Position p) {
    const int64_t first = p.batch * options_.batch_size;
    const int64_t count = std::min(options_.batch_size, size() - first);
    if (options_.shuffle && epoch_ != p.epoch) {
      order_ = permutation(size(), options_.seed, p.epoch);
      epoch_ = p.epoch;
    }
    Tensors batch;
    for (const Examples& e : examples_) {
      batch.push_back(options_.shuffle
                          ? e.gather(std::span(order_).subspan(static_cast<size_t>(first), static_cast<size_t>(count)))
                          : e.slice(first, count));
    }
    const EagerMode eager;
    const WithoutTape unseen;
    for (const auto& [map, device] : maps_) {
      const OnDevice on(device);
      map(batch, p);
      for (const Tensor& t : batch) {
        if (!t.is_concrete())
          fail(Code::InvalidArgument,
               fmt::format("DataLoader: a map must return values; it returned {}", to_string(t)));
      }
    }
    return batch;
  }

  // A map runs where the guard said under which it was added, on whatever thread it comes to run.
  void add_map(BatchStream::Map map) { maps_.push_back({std::move(map), Device{t_state.device}}); }
  int64_t size() const { return examples_[0].size(); }

  int64_t batches_per_epoch() const {
    return size() / options_.batch_size + (size() % options_.batch_size != 0 && !options_.drop_remainder);
  }
  Position after(Position p) const {
    return p.batch + 1 < batches_per_epoch() ? Position{p.epoch, p.batch + 1} : Position{p.epoch + 1, 0};
  }

 private:
  std::vector<Examples> examples_;
  DataLoaderOptions options_;
  struct PlacedMap {
    BatchStream::Map map;
    Device device;
  };
  std::vector<PlacedMap> maps_;
  std::vector<int64_t> order_;  // of epoch_
  int64_t epoch_ = -1;
};

// Makes batches ahead on a thread, from a position on, until it is destroyed or one fails.
class Prefetcher {
 public:
  Prefetcher(BatchMaker& maker, Position from, size_t most)
      : maker_(maker), most_(most), thread_([this, from] { work(from); }) {}
  ~Prefetcher() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    room_.notify_one();
    thread_.join();
  }
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// The next batch, or throws what making it threw; to be destroyed then.
  Tensors take() {
    std::unique_lock lock(mutex_);
    made_.wait(lock, [&] { return !ready_.empty() || error_; });
    if (ready_.empty()) std::rethrow_exception(std::exchange(error_, nullptr));
    Tensors batch = std::move(ready_.front());
    ready_.pop_front();
    lock.unlock();
    room_.notify_one();
    return batch;
  }

 private:
  void work(Position p) {
    for (;; p = maker_.after(p)) {
      {
        std::unique_lock lock(mutex_);
        room_.wait(lock, [&] { return stop_ || ready_.size() < most_; });
        if (stop_) return;
      }
      Tensors batch;
      std::exception_ptr error;
      try {
        batch = maker_.make(p);
      } catch (...) {
        error = std::current_exception();
      }
      const bool failed = error != nullptr;
      {
        std::lock_guard lock(mutex_);
        if (failed) {
          error_ = std::move(error);
        } else {
          ready_.push_back(std::move(batch));
        }
      }
      made_.notify_one();
      if (failed) return;
    }
  }

  BatchMaker& maker_;
  const size_t most_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable made_, room_;
  std::deque<Tensors> ready_;
  std::exception_ptr error_;  // of what comes behind ready_
  bool stop_ = false;
  std::thread thread_;  // last: it uses all of the above
};

void check(std::span<const Examples> examples, const DataLoaderOptions& options, std::source_location where) {
  const auto refuse = [&](const std::string& problem) { fail_at(where, "", Code::InvalidArgument, problem); };
  if (options.batch_size < 1)
    refuse(fmt::format("DataLoader: batch_size must be at least 1; it is {}", options.batch_size));
  if (options.prefetch < 0) refuse(fmt::format("DataLoader: prefetch must be at least 0; it is {}", options.prefetch));
  const int64_t size = examples[0].size();
  for (size_t i = 1; i < examples.size(); ++i) {
    if (examples[i].size() != size)
      refuse(fmt::format("DataLoader: examples go in step, but number 0 has {} and number {} has {}", size, i,
                         examples[i].size()));
  }
  if (size == 0) refuse("DataLoader: there are no examples");
  if (options.drop_remainder && size < options.batch_size)
    refuse(fmt::format("DataLoader: {} examples make no batch of {}, and drop_remainder leaves out smaller ones", size,
                       options.batch_size));
}

}  // namespace

struct BatchStream::State {
  State(std::span<const Examples> examples, const DataLoaderOptions& options)
      : maker(examples, options), prefetch(static_cast<size_t>(options.prefetch)) {}
  BatchMaker maker;
  size_t prefetch;
  Position position;
  std::optional<Prefetcher> ahead;  // while it lives, `maker` is its thread's
};

BatchStream::BatchStream(std::span<const Examples> examples, DataLoaderOptions options, std::source_location where) {
  check(examples, options, where);
  state_ = std::make_unique<State>(examples, options);
}
BatchStream::~BatchStream() = default;

void BatchStream::next(std::span<Tensor> batch) {
  State& s = *state_;
  Tensors made;
  if (s.prefetch == 0) {
    made = s.maker.make(s.position);
  } else {
    try {
      if (!s.ahead) s.ahead.emplace(s.maker, s.position, s.prefetch);
    } catch (const std::system_error& e) {
      fail(Code::ResourceExhausted, fmt::format("DataLoader: no thread could be started: {}", e.what()));
    }
    try {
      made = s.ahead->take();
    } catch (...) {
      s.ahead.reset();
      throw;
    }
  }
  std::ranges::move(made, batch.begin());
  s.position = s.maker.after(s.position);
}

Position BatchStream::position() const { return state_->position; }

void BatchStream::seek(Position p, std::source_location where) {
  if (p.epoch < 0 || p.batch < 0 || p.batch >= batches_per_epoch())
    fail_at(where, "", Code::OutOfRange,
            fmt::format("DataLoader: there is no batch {} of epoch {}; an epoch has {}", p.batch, p.epoch,
                        batches_per_epoch()));
  if (p == state_->position) return;
  state_->ahead.reset();
  state_->position = p;
}

void BatchStream::add_map(Map map) {
  state_->ahead.reset();
  state_->maker.add_map(std::move(map));
}

int64_t BatchStream::num_examples() const { return state_->maker.size(); }
int64_t BatchStream::batches_per_epoch() const { return state_->maker.batches_per_epoch(); }

}  // namespace twofold::io::internal
