// Batches: which examples, in which order, at which cost; the same ahead of time as on demand, in both modes, and after
// a restart.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <twofold/twofold.h>

#include "../catch.h"
#include "../errors.h"
#include "../fresh_graph.h"
#include "../training.h"
#include "loader.h"
#include "scratch.h"

using namespace loading;
using tf::Shape;

namespace {

template <size_t N>
std::vector<Numbers> epoch_of(DataLoader<N>& loader) {
  std::vector<Numbers> batches;
  for (const auto& batch : loader.epoch()) batches.push_back(elements<int32_t>(batch[0]));
  return batches;
}
Numbers joined(const std::vector<Numbers>& batches) {
  Numbers all;
  for (const Numbers& b : batches) all.insert(all.end(), b.begin(), b.end());
  return all;
}

}  // namespace

TEST_CASE("Batches in order, the last one smaller or dropped") {
  DataLoader loader({numbers(7)}, {.batch_size = 3});
  const std::vector<Numbers> whole = {{0, 1, 2}, {3, 4, 5}, {6}}, dropped = {{0, 1, 2}, {3, 4, 5}};
  const std::vector<Numbers> singles = {{0}, {1}}, pair = {{0, 1}};
  CHECK(loader.batches_per_epoch() == 3);
  CHECK(loader.num_examples() == 7);
  CHECK(epoch_of(loader) == whole);
  CHECK(epoch_of(loader) == whole);
  CHECK(loader.position().epoch == 2);
  DataLoader dropping({numbers(7)}, {.batch_size = 3, .drop_remainder = true});
  CHECK(dropping.batches_per_epoch() == 2);
  CHECK(epoch_of(dropping) == dropped);
  CHECK(epoch_of(dropping) == dropped);
  DataLoader one({numbers(2)});
  CHECK(epoch_of(one) == singles);
  DataLoader all({numbers(2)}, {.batch_size = INT64_MAX});
  CHECK(epoch_of(all) == pair);
  DataLoader even({numbers(4)}, {.batch_size = 2});
  CHECK(even.batches_per_epoch() == 2);
}

TEST_CASE("Several kinds of examples go in step, in files and in memory") {
  const Scratch scratch;
  std::string labels;
  for (int i = 0; i < 50; ++i) labels += static_cast<char>(i);
  put(scratch / "labels", labels);
  DataLoader loader({wide(50), io::map_file(scratch / "labels", {.dtype = tf::uint8}), numbers(50)},
                    {.batch_size = 8, .shuffle = true, .prefetch = 2, .seed = 3});
  std::set<int> seen;
  for (const auto& [x, y, i] : loader.epoch()) {
    REQUIRE(x.dim(0) == y.dim(0));
    CHECK(x.shape() == Shape{y.dim(0), 32});
    for (int64_t k = 0; k < y.dim(0); ++k) {
      const auto n = i[k].item<int32_t>();
      CHECK(seen.insert(n).second);
      CHECK(y[k].item<uint8_t>() == n);
      CHECK(elements<float>(x[k]) == std::vector<float>(32, static_cast<float>(n)));
    }
  }
  CHECK(seen.size() == 50);
}

TEST_CASE("Shuffled epochs hold every example once, in orders of their own that the seed decides") {
  DataLoader loader({numbers(100)}, {.batch_size = 7, .shuffle = true, .seed = 1});
  DataLoader same({numbers(100)}, {.batch_size = 9, .shuffle = true, .seed = 1});
  DataLoader other({numbers(100)}, {.batch_size = 7, .shuffle = true, .seed = 2});
  const Numbers sorted = elements<int32_t>(numbers(100));
  std::set<Numbers> orders;
  for (int epoch = 0; epoch < 3; ++epoch) {
    Numbers a = joined(epoch_of(loader)), b = joined(epoch_of(other));
    CHECK(a == joined(epoch_of(same)));
    orders.insert(a), orders.insert(b);
    std::ranges::sort(a);
    CHECK(a == sorted);
  }
  CHECK(orders.size() == 6);
}

TEST_CASE("The sequence is the same with and without prefetch, from every position") {
  for (const bool shuffle : {false, true}) {
    io::DataLoaderOptions options = {.batch_size = 4, .shuffle = shuffle, .seed = 9};
    DataLoader plain({numbers(22)}, options);
    std::vector<Numbers> sequence;
    std::vector<Position> positions;
    for (int i = 0; i < 20; ++i) {
      positions.push_back(plain.position());
      sequence.push_back(elements<int32_t>(plain.next()[0]));
    }
    CHECK(positions[7] == at(1, 1));
    for (const int prefetch : {1, 2, 5, 100}) {
      options.prefetch = prefetch;
      DataLoader ahead({numbers(22)}, options);
      for (size_t i = 0; i < 20; ++i) {
        CHECK(ahead.position() == positions[i]);
        CHECK(elements<int32_t>(ahead.next()[0]) == sequence[i]);
      }
      for (const size_t from : {19u, 0u, 7u, 12u}) {
        ahead.seek(positions[from]), plain.seek(positions[from]);
        for (size_t i = from; i < std::min<size_t>(from + 3, 20); ++i) {
          CHECK(elements<int32_t>(ahead.next()[0]) == sequence[i]);
          CHECK(elements<int32_t>(plain.next()[0]) == sequence[i]);
        }
      }
    }
  }
}

TEST_CASE("A loop that is left early goes on where it was") {
  const std::vector<Numbers> rest = {{6, 7}, {8, 9}}, last = {{8, 9}};
  for (const int prefetch : {0, 3}) {
    DataLoader loader({numbers(10)}, {.batch_size = 2, .prefetch = prefetch});
    for (const auto& batch : loader.epoch()) {
      if (batch[0][0].item<int32_t>() == 4) break;
    }
    CHECK(loader.position() == at(0, 3));
    CHECK(epoch_of(loader) == rest);
    CHECK(loader.position() == at(1, 0));
    loader.seek({5, 4});
    CHECK(epoch_of(loader) == last);
    CHECK(loader.position() == at(6, 0));
  }
}

TEST_CASE("An unshuffled batch is a view, of memory and of a file") {
  const Scratch scratch;
  const Tensor x = wide(64);
  const auto* data = x.data<float>().data();
  put(scratch / "file", std::string(reinterpret_cast<const char*>(data), 64 * 32 * 4));
  const io::Examples mapped = io::map_file(scratch / "file", {.shape = {32}});
  const auto* file = mapped.slice(0, 64).data<float>().data();
  for (const int prefetch : {0, 2}) {
    DataLoader loader({x, mapped}, {.batch_size = 16, .prefetch = prefetch});
    const auto before = tf::allocator_stats();
    ptrdiff_t at = 0;
    for (const auto& [a, b] : loader.epoch()) {
      CHECK(a.data<float>().data() == data + at);
      CHECK(b.data<float>().data() == file + at);
      at += 16 * 32;
    }
    CHECK(at == 64 * 32);
    CHECK(tf::allocator_stats().in_use == before.in_use);
    CHECK(tf::allocator_stats().fresh_count == before.fresh_count);
  }
}

TEST_CASE("A shuffled batch is gathered once, into memory that is used again") {
  for (const int prefetch : {0, 2}) {
    DataLoader loader({wide(64)}, {.batch_size = 16, .shuffle = true, .prefetch = prefetch});
    std::set<const float*> places;
    for (int i = 0; i < 10; ++i) loader.next();
    tf::reset_peak_allocation();
    const auto before = tf::allocator_stats();
    for (int epoch = 0; epoch < 10; ++epoch)
      for (const auto& [x] : loader.epoch()) places.insert(x.data<float>().data());
    const auto after = tf::allocator_stats();
    CHECK(places.size() <= static_cast<size_t>(prefetch) + 3);
    CHECK(after.fresh_count - before.fresh_count <= prefetch + 2);  // what is in flight at most
    if (prefetch == 0) CHECK(after.fresh_count == before.fresh_count);
    CHECK(after.peak - before.in_use <= (prefetch + 2) * 16 * 32 * 4);
  }
}

TEST_CASE("Feeding a batch copies nothing") {
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {-1, 32}), y = tf::sum(x);
  const tf::Session session;
  for (const bool shuffle : {false, true}) {
    DataLoader loader({wide(64)}, {.batch_size = 16, .shuffle = shuffle});
    const auto [batch] = loader.next();
    const auto [fed, sum] =
        session.run({x, y}, {{x, batch}});  // the feed cuts the graph: what is fetched is what was fed
    CHECK(fed.data<float>().data() == batch.data<float>().data());
    const auto call = session.make_callable(y, {x});
    call(batch);
    tf::reset_peak_allocation();
    const auto before = tf::allocator_stats();
    call(batch);
    CHECK(tf::allocator_stats().fresh_count == before.fresh_count);
    CHECK(tf::allocator_stats().peak - before.in_use < 16 * 32 * 4);
  }
}

TEST_CASE("A batch outlives its loader") {
  io::Batch<1> batch;
  {
    DataLoader loader({wide(8)}, {.batch_size = 8, .prefetch = 1});
    batch = loader.next();
  }
  CHECK(elements<float>(batch[0][7]) == std::vector<float>(32, 7.f));
}

TEST_CASE("A loader may go while its thread works") {
  std::atomic<int> made = 0;
  for (int i = 0; i < 50; ++i) {
    DataLoader loader({wide(100)}, {.batch_size = 10, .shuffle = true, .prefetch = 1 + i % 4});
    loader.map([&](const io::Batch<1>& b) {
      if (i % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (i % 5 == 0 && ++made % 7 == 0) throw std::runtime_error("now and then");
      return b;
    });
    for (int k = 0; k < i % 4; ++k) {
      try {
        loader.next();
        if (k == 2) loader.seek({3, 1});
      } catch (const std::runtime_error&) {
      }
    }
  }
  CHECK(made > 0);
}

TEST_CASE("Loaders that make no sense") {
  const io::Examples ten = numbers(10), nine = numbers(9), none = numbers(0);
  const auto make = [](const io::Examples& a, const io::Examples& b, const io::DataLoaderOptions& options) {
    const DataLoader loader({a, b}, options);
  };
  const auto refused = [&](const io::DataLoaderOptions& options, const std::string& words) {
    CHECK_ERROR(make(ten, ten, options), InvalidArgument, words);
  };
  const io::DataLoaderOptions defaults;
  refused({.batch_size = 0}, "DataLoader: batch_size must be at least 1; it is 0");
  refused({.prefetch = -1}, "DataLoader: prefetch must be at least 0; it is -1");
  refused({.batch_size = 11, .drop_remainder = true}, "DataLoader: 10 examples make no batch of 11");
  CHECK_ERROR(make(ten, nine, defaults), InvalidArgument, "number 0 has 10 and number 1 has 9");
  CHECK_ERROR(make(none, none, defaults), InvalidArgument, "DataLoader: there are no examples");
  CHECK_ERROR(make(none, none, defaults), InvalidArgument, "data_loader_test.cc:");
  DataLoader loader({ten}, {.batch_size = 4});
  CHECK_ERROR(loader.seek(at(0, 3)), OutOfRange, "DataLoader: there is no batch 3 of epoch 0; an epoch has 3");
  CHECK_ERROR(loader.seek(at(-1, 0)), OutOfRange, "there is no batch 0 of epoch -1");
  CHECK(loader.position() == at(0, 0));
}

TEST_CASE("Training: the same in both modes, ahead or not, and when it goes on after a restart") {
  const auto train = [](training::How how, int prefetch, bool restart) {
    return training::in_mode(how, [&](tf::Session& session) {
      const Tensor x = wide(40), y = tf::tensor(std::vector<float>(40, 3.f), {40, 1});
      const io::DataLoaderOptions options = {.batch_size = 16, .shuffle = true, .prefetch = prefetch, .seed = 4};
      const tf::Variable w(tf::constant(std::vector<float>(32, 0.01f), {32, 1}));
      tf::train::SGD opt({w}, {.lr = 1e-5});
      if (how != training::How::eager) session.run(tf::global_variables_initializer());
      auto step = tf::step(session, [&](Tensor a, Tensor b) {
        const Tensor loss = tf::nn::mse_loss(tf::matmul(a, w), b);
        opt.minimize(loss);
        return loss;
      });
      std::vector<Tensor> losses;
      Position position;
      while (losses.size() < 11) {
        DataLoader loader({x, y}, options);
        loader.seek(position);
        while (losses.size() < 11) {
          for (const auto& [a, b] : loader.epoch()) {
            losses.push_back(step(a, b));
            position = loader.position();
            if (losses.size() == 11 || (restart && losses.size() % 4 == 0)) break;
          }
          if (restart) break;
        }
      }
      return losses;
    });
  };
  const std::vector<Tensor> expected = train(training::How::eager, 0, false);
  CHECK(training::floats(expected[0]) != training::floats(expected[10]));
  for (const auto how : {training::How::eager, training::How::deferred, training::How::optimized})
    for (const int prefetch : {0, 2})
      for (const bool restart : {false, true}) CHECK(training::same_bits(train(how, prefetch, restart), expected));
}
