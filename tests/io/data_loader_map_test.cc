// Maps over batches: what they change, where they run, and what happens when they fail.
#include <atomic>
#include <stdexcept>
#include <vector>

#include <twofold/lib/runtime/thread_state.h>
#include <twofold/twofold.h>

#include "../catch.h"
#include "../errors.h"
#include "../fresh_graph.h"
#include "loader.h"

using namespace loading;

TEST_CASE("Maps change every batch, eagerly, unseen by tapes") {
  for (const int prefetch : {0, 2}) {
    FreshGraph fresh;
    std::vector<Position> positions;  // read while the loader has no thread
    DataLoader loader({numbers(6), numbers(6)}, {.batch_size = 4, .prefetch = prefetch});
    loader.map([](io::Batch<2> b) {
            return io::Batch<2>{tf::cast(b[0], tf::float32) * tf::constant(0.5f), b[1]};
          })
        .map([&](io::Batch<2> b, Position p) {
          positions.push_back(p);
          return io::Batch<2>{b[0] + static_cast<float>(p.batch) * 100.f, b[1]};
        });
    CHECK(elements<float>(loader.next()[0]) == std::vector<float>{0, 0.5f, 1, 1.5f});
    CHECK(elements<float>(loader.next()[0]) == std::vector<float>{102, 102.5f});
    CHECK(fresh.graph.num_operations() == 0);
    loader.seek({0, 1});
    loader.map([](const io::Batch<2>& b) { return io::Batch<2>{b[1], b[0]}; });
    CHECK(positions[0] == at(0, 0));
    CHECK(positions[1] == at(0, 1));
    CHECK(elements<float>(loader.next()[1]) == std::vector<float>{102, 102.5f});
  }
  const tf::EagerMode eager;
  const Tensor w = tf::tensor(2.f);
  tf::GradientTape tape;
  tape.watch(w);
  DataLoader loader({numbers(1)});
  loader.map([&](const io::Batch<1>& b) { return io::Batch<1>{tf::cast(b[0], tf::float32) * w}; });
  const Tensor y = loader.next()[0] * 3.f;
  CHECK(!tape.gradient(y, w).defined());
}

TEST_CASE("A map runs where the guard says under which it was added, with and without prefetch") {
  const auto x = tf::tensor({{1.f}, {2.f}, {3.f}, {4.f}});
  for (const int prefetch : {0, 2}) {
    io::DataLoader loader({x}, {.batch_size = 1, .prefetch = prefetch});
    std::vector<int> guarded, free;  // the device of the guard, which is what ops go by; -1: none
    {
      const auto on = tf::device("/cpu:0");
      loader.map([&](io::Batch<1> batch) {
        guarded.push_back(tf::t_state.device);
        return batch;
      });
    }
    loader.map([&](io::Batch<1> batch) {
      free.push_back(tf::t_state.device);
      return batch;
    });
    for (int i = 0; i < 4; ++i) {
      if (i % 2 == 0) {
        loader.next();
      } else {
        const auto on = tf::device("/cpu:0");
        loader.next();
      }
    }
    loader.seek({0, 0});  // its thread ends
    CHECK(guarded.size() >= 4);
    for (const int device : guarded) CHECK(device == 0);
    for (const int device : free) CHECK(device == -1);
  }
}

TEST_CASE("A map that returns no value") {
  FreshGraph fresh;
  const Tensor symbol = tf::placeholder(tf::int32);
  for (const int prefetch : {0, 1}) {
    DataLoader loader({numbers(1)}, {.prefetch = prefetch}), undefined({numbers(1)}, {.prefetch = prefetch});
    loader.map([&](const io::Batch<1>&) { return io::Batch<1>{symbol}; });
    undefined.map([&](const io::Batch<1>&) { return io::Batch<1>(); });
    CHECK_ERROR(loader.next(), InvalidArgument, "a map must return values; it returned Tensor(\"Placeholder:0\"");
    CHECK_ERROR(undefined.next(), InvalidArgument, "a map must return values; it returned None");
  }
}

TEST_CASE("What fails on the loader's thread is thrown by next, at its turn, and can be tried again") {
  for (const int prefetch : {0, 1, 4}) {
    INFO(prefetch);
    std::atomic<bool> failing = true, foreign = false;
    DataLoader loader({numbers(10)}, {.batch_size = 2, .prefetch = prefetch});
    loader.map([&](const io::Batch<1>& b, Position p) {
      if (p.batch == 2 && foreign) throw std::logic_error("not of the library's");
      if (p.batch == 2 && failing) return io::Batch<1>{tf::reshape(b[0], {3, 3})};
      return b;
    });
    CHECK(elements<int32_t>(loader.next()[0]) == Numbers{0, 1});
    CHECK(elements<int32_t>(loader.next()[0]) == Numbers{2, 3});
    CHECK_ERROR(loader.next(), InvalidArgument, "reshape");
    CHECK(loader.position() == at(0, 2));
    CHECK_ERROR(loader.next(), InvalidArgument, "reshape");
    foreign = true;
    CHECK_THROWS_AS(loader.next(), std::logic_error);
    foreign = failing = false;
    CHECK(elements<int32_t>(loader.next()[0]) == Numbers{4, 5});
    CHECK(elements<int32_t>(loader.next()[0]) == Numbers{6, 7});
  }
}
