#include <twofold/lib/runtime/thread_pool.h>

#include <fmt/format.h>
#include <sched.h>

#define EIGEN_USE_THREADS
#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <unsupported/Eigen/CXX11/ThreadPool>
#include <vector>

#include <twofold/lib/core/error.h>
#include <twofold/lib/runtime/parallel_for.h>

namespace twofold {
namespace {

// A pool of n - 1 workers; the calling thread is the n-th. Chunks are handed out by a counter: which thread takes which
// chunk varies, what a chunk computes does not.
class Pool {
 public:
  explicit Pool(int threads) : workers_(threads - 1), pool_(threads - 1) {}
  const ParallelFor* handle() const { return &handle_; }
  int threads() const { return workers_ + 1; }

 private:
  struct Job {
    std::atomic<int64_t> next{0};
    std::atomic<int64_t> left;
    int64_t n;
    void (*body)(void*, int64_t);
    void* arg;

    Job(int64_t count, void (*b)(void*, int64_t), void* a) : left(count), n(count), body(b), arg(a) {}
    void work() {
      for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) {
        body(arg, i);
        if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) left.notify_all();
      }
    }
  };

  static void run(void* self, int64_t n, void (*body)(void*, int64_t), void* arg) {
    auto& pool = *static_cast<Pool*>(self);
    auto job = std::make_shared<Job>(n, body, arg);  // a worker may look in after the last chunk is done
    const int64_t helpers = std::min<int64_t>(pool.workers_, n - 1);
    for (int64_t i = 0; i < helpers; ++i) pool.pool_.Schedule([job] { job->work(); });
    job->work();
    for (int spins = 0; job->left.load(std::memory_order_acquire) != 0; ++spins) {
      if (spins < 2000) {
        __builtin_ia32_pause();
      } else if (const int64_t left = job->left.load(std::memory_order_acquire)) {
        job->left.wait(left, std::memory_order_acquire);
      }
    }
  }

  int workers_;
  Eigen::ThreadPool pool_;
  ParallelFor handle_{this, &run};
};

constexpr int kMostThreads = 1024;

int default_threads() {
  if (const char* text = std::getenv("TWOFOLD_THREADS"); text && *text) {
    int n = 0;
    const char* end = text + std::strlen(text);
    const auto [rest, error] = std::from_chars(text, end, n);
    if (error != std::errc() || rest != end || n < 1 || n > kMostThreads)
      fail(Code::InvalidArgument,
           fmt::format("TWOFOLD_THREADS is '{}'; it must be a number from 1 to {}", text, kMostThreads));
    return n;
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

std::mutex g_mutex;  // guards creation and replacement
std::atomic<int> g_threads{0};
std::atomic<Pool*> g_pool{nullptr};

}  // namespace

int num_threads() {
  int n = g_threads.load(std::memory_order_acquire);
  if (n == 0) {
    std::lock_guard lock(g_mutex);
    if (n = g_threads.load(); n == 0) g_threads.store(n = default_threads(), std::memory_order_release);
  }
  return n;
}

void set_num_threads(int n, std::source_location where) {
  if (n < 1 || n > kMostThreads)
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("set_num_threads({}): there can be 1 to {} threads", n, kMostThreads));
  std::lock_guard lock(g_mutex);
  g_threads.store(n, std::memory_order_release);
}

const ParallelFor* parallel_for() {
  const int n = num_threads();
  if (n == 1) return nullptr;
  Pool* pool = g_pool.load(std::memory_order_acquire);
  if (!pool || pool->threads() != n) {
    // A replaced pool is kept for the runs still on it; programs change the number of threads a handful of times.
    static auto* pools = new std::vector<std::unique_ptr<Pool>>;
    std::lock_guard lock(g_mutex);
    pool = nullptr;
    for (auto& p : *pools)
      if (p->threads() == n) pool = p.get();
    if (!pool) pool = pools->emplace_back(std::make_unique<Pool>(n)).get();
    g_pool.store(pool, std::memory_order_release);
  }
  return pool->handle();
}

}  // namespace twofold
