// lib/core: dtypes, shapes, memory, small containers, threads.
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <twofold/lib/core/dtype.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/core/ref.h>
#include <twofold/lib/core/shape.h>
#include <twofold/lib/core/small_vector.h>
#include <twofold/lib/runtime/allocator.h>
#include <twofold/lib/runtime/kernel.h>
#include <twofold/lib/runtime/parallel_for.h>
#include <twofold/lib/runtime/thread_pool.h>

#include "catch.h"
#include "errors.h"

namespace tf = twofold;
using tf::Shape;

TEST_CASE("Shapes print as programs and as TensorFlow's errors write them") {
  CHECK(Shape{}.str() == "()");
  CHECK(Shape{3}.str() == "(3,)");
  CHECK(Shape{2, -1}.str() == "(2, ?)");
  CHECK(tf::unknown_shape.str() == "<unknown>");
  CHECK(Shape{2, -1}.brackets() == "[2,?]");
  CHECK(Shape{}.brackets() == "[]");
  CHECK(tf::unknown_shape.brackets() == "<unknown>");
}

TEST_CASE("A shape takes extents of any integral type") {
  const std::vector<float> v(5);
  const Shape s{v.size(), int8_t{2}, 3u, 4L};
  CHECK(s == Shape{5, 2, 3, 4});
  CHECK(Shape(std::vector<int32_t>{2, 3}) == Shape{2, 3});
  CHECK(s.rank() == 4);
  CHECK(s.num_elements() == 120);
}

TEST_CASE("What is known of a shape") {
  CHECK(Shape{2, 0}.is_known());
  CHECK(Shape{2, 0}.num_elements() == 0);
  CHECK(Shape{}.num_elements() == 1);
  CHECK_FALSE(Shape{2, -1}.is_known());
  CHECK_ERROR((Shape{2, -1}.num_elements()), FailedPrecondition, "is not known in full until a run has it");
  CHECK_FALSE(tf::unknown_shape.has_rank());
  CHECK(Shape::of_rank(2) == Shape{-1, -1});
  CHECK(Shape{2, -1}.compatible_with({2, 7}));
  CHECK(Shape{-1, 3}.compatible_with({2, -1}));
  CHECK_FALSE(Shape{2, -1}.compatible_with({3, 7}));
  CHECK_FALSE(Shape{2}.compatible_with({2, 1}));
  CHECK(tf::unknown_shape.compatible_with({2, 1}));
  CHECK_FALSE(tf::unknown_shape == Shape{});
}

TEST_CASE("A shape that cannot be is an error") {
  CHECK_ERROR((Shape{2, -2}), InvalidArgument, "extent -2");
  CHECK_ERROR((Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), InvalidArgument, "rank 9");
}

TEST_CASE("The number of elements of an absurd shape does not wrap") {
  const int64_t large = int64_t{1} << 32;
  CHECK_ERROR((Shape{large, large}.num_elements()), ResourceExhausted, "has too many elements");
  CHECK(Shape{large, large}.saturated_elements() == INT64_MAX);
  CHECK(Shape{large, large, 0}.num_elements() == 0);
  CHECK(Shape{0, large, large}.num_elements() == 0);
}

TEST_CASE("dtypes promote as PyTorch's") {
  // Rows and columns: float32 float64 int32 int64 uint8 bool, from torch.promote_types.
  using enum tf::DType;
  constexpr tf::DType kTable[6][6] = {
      {float32, float64, float32, float32, float32, float32}, {float64, float64, float64, float64, float64, float64},
      {float32, float64, int32, int64, int32, int32},         {float32, float64, int64, int64, int64, int64},
      {float32, float64, int32, int64, uint8, uint8},         {float32, float64, int32, int64, uint8, boolean},
  };
  for (int a = 0; a < 6; ++a)
    for (int b = 0; b < 6; ++b) {
      INFO(name_of(tf::DType(a)) << " with " << name_of(tf::DType(b)));
      CHECK(tf::promote(tf::DType(a), tf::DType(b)) == kTable[a][b]);
    }
}

TEST_CASE("dtypes know their sizes, names and C++ types") {
  for (int i = 0; i < tf::kDTypeCount; ++i) {
    const auto t = static_cast<tf::DType>(i);
    tf::dispatch(t, [&](auto zero) {
      CHECK(tf::dtype_of<decltype(zero)> == t);
      CHECK(tf::size_of(t) == sizeof zero);
    });
  }
  CHECK(name_of(tf::bool_) == "bool");
  CHECK(name_of(tf::uint8) == "uint8");
}

TEST_CASE("Memory is aligned, counted, kept and bounded") {
  tf::set_allocator_cache_limit(0);
  tf::set_allocator_cache_limit(int64_t{1} << 30);
  const auto before = tf::allocator_stats();
  CHECK(before.cached == 0);
  void* p = tf::allocate(100000);
  CHECK(reinterpret_cast<uintptr_t>(p) % 64 == 0);
  const auto during = tf::allocator_stats();
  CHECK(during.in_use >= before.in_use + 100000);
  CHECK(during.in_use <= before.in_use + 100000 * 9 / 8);
  CHECK(during.fresh_count == before.fresh_count + 1);
  CHECK(during.peak >= during.in_use);
  tf::deallocate(p, 100000);
  CHECK(tf::allocator_stats().in_use == before.in_use);
  CHECK(tf::allocator_stats().cached >= 100000);
  void* again = tf::allocate(99999);
  CHECK(again == p);
  CHECK(tf::allocator_stats().fresh_count == during.fresh_count);
  tf::set_allocator_cache_limit(0);
  tf::deallocate(again, 99999);
  CHECK(tf::allocator_stats().cached == 0);
  tf::reset_peak_allocation();
  CHECK(tf::allocator_stats().peak == tf::allocator_stats().in_use);
  tf::set_allocator_cache_limit(int64_t{2} << 30);
}

TEST_CASE("Every size up to some thousands is aligned and large enough") {
  for (size_t bytes = 1; bytes < 5000; bytes += 7) {
    auto* p = static_cast<unsigned char*>(tf::allocate(bytes));
    REQUIRE(reinterpret_cast<uintptr_t>(p) % 64 == 0);
    p[0] = 1, p[bytes - 1] = 2;
    tf::deallocate(p, bytes);
  }
}

TEST_CASE("Memory that is not there is ResourceExhausted, and the cache keeps its bound") {
  tf::set_allocator_cache_limit(0);
  CHECK_ERROR(tf::allocate(size_t{1} << 62), ResourceExhausted, "bytes were asked for");
  tf::deallocate(tf::allocate(100000), 100000);
  CHECK(tf::allocator_stats().cached == 0);
  tf::set_allocator_cache_limit(int64_t{2} << 30);
}

TEST_CASE("The host has no more memory than its machine or its container") {
  const size_t bytes = tf::host_memory_bytes();
  CHECK(bytes > 0);
  CHECK(bytes <= static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  if (size_t most = 0; std::ifstream("/sys/fs/cgroup/memory.max") >> most) CHECK(bytes <= most);
  CHECK_ERROR(tf::allocate(bytes + 1), ResourceExhausted, "bytes were asked for");
}

TEST_CASE("SmallVector keeps its elements across growth, copies and moves") {
  using Strings = tf::SmallVector<std::string, 2>;
  Strings v;
  for (int i = 0; i < 9; ++i) v.push_back("element number " + std::to_string(i));
  v.push_back(v[0]);  // an element of its own, while growing
  REQUIRE(v.size() == 10);
  CHECK(v[8] == "element number 8");
  CHECK(v.back() == "element number 0");
  const Strings copy = v;
  Strings moved = std::move(v);
  CHECK(moved.size() == 10);
  CHECK(v.empty());
  v = copy;
  CHECK(v[3] == copy[3]);
  Strings few;
  few.push_back("one");
  Strings taken = std::move(few);
  CHECK(taken[0] == "one");
  CHECK(few.empty());
  taken.resize(3);
  CHECK(taken[2].empty());
  taken.pop_back();
  taken.clear();
  CHECK(taken.empty());
}

namespace {
struct Counted final : tf::RefCounted {
  explicit Counted(int& alive_) : alive(alive_) { ++alive; }
  int& alive;

 private:
  ~Counted() override { --alive; }
};
}  // namespace

TEST_CASE("Ref keeps its object exactly as long as somebody holds it") {
  int alive = 0;
  auto a = tf::make_ref<Counted>(alive);
  CHECK(a->unique());
  {
    const tf::Ref<Counted> b = a;
    const tf::Ref<tf::RefCounted> base = b;
    CHECK_FALSE(a->unique());
    CHECK(base.get() == a.get());
  }
  CHECK(a->unique());
  tf::Ref<Counted> c = std::move(a);
  CHECK_FALSE(a);
  CHECK(alive == 1);
  c = nullptr;
  CHECK(alive == 0);
}

TEST_CASE("A parallel loop does each chunk once, on any number of threads") {
  const int before = tf::num_threads();
  for (int threads : {1, 2, 5}) {
    tf::set_num_threads(threads);
    CHECK(tf::num_threads() == threads);
    const tf::ParallelFor* parallel = tf::parallel_for();
    CHECK((parallel == nullptr) == (threads == 1));
    tf::KernelContext context{.parallel = parallel};
    for (int64_t n : {0, 1, 2, 1000}) {
      std::vector<std::atomic<int>> times(static_cast<size_t>(n));
      context.parallel_for(n, [&](int64_t i) { ++times[static_cast<size_t>(i)]; });
      for (const auto& t : times) REQUIRE(t == 1);
    }
  }
  tf::set_num_threads(before);
  CHECK_ERROR(tf::set_num_threads(0), InvalidArgument, "there can be 1 to 1024 threads");
}

TEST_CASE("Parallel loops of several threads at once, and loops within loops, end") {
  const int before = tf::num_threads();
  tf::set_num_threads(2);
  std::atomic<int64_t> sum{0};
  const tf::KernelContext context{.parallel = tf::parallel_for()};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t)
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 50; ++repeat)
        context.parallel_for(8, [&](int64_t i) { context.parallel_for(4, [&](int64_t j) { sum += i * j; }); });
    });
  for (auto& c : callers) c.join();
  CHECK(sum == 4 * 50 * 28 * 6);
  tf::set_num_threads(before);
}
