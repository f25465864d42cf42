// Many threads on one session, graphs built while others run, and failures that leave no trace.
// Meant to be run under ThreadSanitizer too: meson setup tsan -Db_sanitize=thread -Disas=v3.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <twofold/twofold.h>

#include "catch.h"
#include "fresh_graph.h"
#include "many_threads.h"

namespace tf = twofold;
using tf::Shape;

namespace {
float number(const tf::Tensor& t) { return t.item<float>(); }
}  // namespace

TEST_CASE("Runs from eight threads at once, each with its own feeds and fetches") {
  FreshGraph fresh;
  const tf::Variable w({1.f, 2.f, 3.f}), b(10.f);
  const tf::Tensor x = tf::placeholder(tf::float32), y = w * x + b, s = tf::sum(y), e = tf::exp(x * 0.f), p = w * 2.f;
  for (const bool optimize : {true, false}) {
    const tf::Session session({.optimize = optimize});
    session.run(tf::global_variables_initializer());
    check_at_once([&](int t) {
      bool right = true;
      for (int i = 0; i < 200; ++i) {
        const auto v = static_cast<float>(t * 1000 + i);
        switch (t % 4) {
          case 0:
            right &= elements<float>(session.run(y, {{x, v}})) == std::vector<float>{v + 10, 2 * v + 10, 3 * v + 10};
            break;
          case 1: right &= number(session.run(s, {{x, v}})) == 6 * v + 30; break;
          case 2: {
            const auto [total, one] = session.run({s, e}, {{x, {v, v, v}}});
            right &= number(total) == 6 * v + 30 && elements<float>(one) == std::vector<float>{1, 1, 1};
            break;
          }
          default: right &= elements<float>(session.run(p, {{w, {v, v, v}}})) == std::vector<float>(3, 2 * v);
        }
      }
      return right;
    });
  }
}

TEST_CASE("One callable from eight threads, with changing shapes") {
  FreshGraph fresh;
  const tf::Variable b(1.f);
  const tf::Tensor x = tf::placeholder(tf::float32);
  tf::Session session;
  session.run(tf::global_variables_initializer());
  const auto call = session.make_callable(tf::sum(x * 2.f) + b, {x});
  check_at_once([&](int t) {
    bool right = true;
    for (int i = 0; i < 200; ++i) {
      const std::vector<float> v(static_cast<size_t>(1 + (i + t) % 5), static_cast<float>(t));
      right &= number(call(v)) == static_cast<float>(2 * t) * static_cast<float>(v.size()) + 1;
    }
    return right;
  });
}

TEST_CASE("Plans that come and go under eight threads") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32), y = tf::sum(x + 1.f);
  const tf::Session session({.max_plans = 2});
  check_at_once([&](int t) {
    bool right = true;
    for (int i = 0; i < 100; ++i) {
      const auto n = static_cast<size_t>(1 + (i * (t + 1)) % 7);
      right &= number(session.run(y, {{x, std::vector<float>(n, 2.f)}})) == 3 * static_cast<float>(n);
    }
    return right;
  });
  CHECK(session.num_plans() <= 2);
}

TEST_CASE("No update is lost") {
  FreshGraph fresh;
  const tf::Variable small(0), large(tf::zeros({10000}));
  const tf::Tensor next = small.assign_add(1), next_large = large.assign_add(1.f);
  const tf::Session session;
  session.run(tf::global_variables_initializer());
  std::mutex mutex;
  std::set<int> seen;
  check_at_once([&](int t) {
    for (int i = 0; i < 100; ++i) {
      if (t % 2) {
        session.run(next_large);
      } else {
        const int value = session.run(next).item<int32_t>();
        std::lock_guard lock(mutex);
        if (!seen.insert(value).second) return false;  // two runs saw the same new value
      }
    }
    return true;
  });
  CHECK(session.run(small).item<int32_t>() == 400);
  CHECK(elements<float>(session.run(large)) == std::vector<float>(10000, 400.f));
}

TEST_CASE("A run sees all or nothing of another's writes") {
  FreshGraph fresh;
  const tf::Variable a(tf::full({1000}, 500.f)), b(tf::full({1000}, 500.f));
  const tf::Tensor x = tf::placeholder(tf::float32);
  const tf::Operation move = tf::group({a.assign_sub(x), b.assign_add(x)});
  const tf::Tensor total = a + b;
  const tf::Session session;
  session.run(tf::global_variables_initializer());
  check_at_once([&](int t) {
    const std::vector<float> whole(1000, 1000.f);
    bool right = true;
    for (int i = 0; i < 100; ++i) {
      if (t % 2) {
        session.run(move, {{x, static_cast<float>(t - 4)}});
      } else {
        right &= elements<float>(session.run(total)) == whole;
        const auto [va, vb] = session.run({a, b});
        right &= va[0].item<float>() + vb[0].item<float>() == 1000;
      }
    }
    return right;
  });
}

TEST_CASE("A failed run leaves variables as they were") {
  FreshGraph fresh;
  const tf::Variable v({1.f, 2.f}, {.name = "v"}), unset(0.f, {.name = "unset"});
  const tf::Tensor shape = tf::placeholder(tf::int32, {-1});
  const tf::Tensor write = v.assign_add(1.f), overwrite = v.assign({7.f, 7.f});
  tf::Tensor fails, fails_dynamically;
  {
    auto after = tf::control_dependencies({write, overwrite});
    fails = unset + 1.f;
    fails_dynamically = tf::reshape(v.read(), shape) * 1.f;
  }
  for (const bool optimize : {true, false}) {
    const tf::Session session({.optimize = optimize});
    session.run(v.initializer());
    const auto survives = [&](const std::function<void()>& run, const std::string& words) {
      std::string what = "no error";
      try {
        run();
      } catch (const tf::Error& e) {
        what = e.what();
      }
      INFO(what);
      CHECK(what.find(words) != std::string::npos);
      CHECK(printed(session.run(v)) == "[1. 2.]");
    };
    survives([&] { session.run(fails); }, "Attempting to use uninitialized value unset");
    survives([&] { session.run({write, fails, overwrite}); }, "Attempting to use uninitialized value unset");
    survives([&] { session.run(fails_dynamically, {{shape, {3}}}); }, "Cannot reshape");
    survives([&] { session.run({v, unset}); }, "Attempting to use uninitialized value unset");
    CHECK(printed(session.run(fails_dynamically, {{shape, {2, 1}}})) == "[[7.]\n [7.]]");
    CHECK(printed(session.run(v)) == "[7. 7.]");
  }
}

TEST_CASE("Failures among concurrent runs leave only the others' writes") {
  FreshGraph fresh;
  const tf::Variable v(0), unset(0, {.name = "unset"});
  const tf::Tensor good = v.assign_add(1), bad = v.assign_add(1000000);
  tf::Tensor fails;
  {
    auto after = tf::control_dependencies({bad});
    fails = unset + 1;
  }
  const tf::Session session;
  session.run(v.initializer());
  std::atomic<int> failed{0};
  check_at_once([&](int t) {
    bool right = true;
    for (int i = 0; i < 100; ++i) {
      if (t % 2) {
        right &= session.run(good).item<int32_t>() <= 400;
      } else {
        try {
          session.run({bad, fails});
          right = false;
        } catch (const tf::Error& e) {
          failed += std::string(e.what()).find("uninitialized value unset") != std::string::npos;
        }
      }
    }
    return right;
  });
  CHECK(failed == 400);
  CHECK(session.run(v).item<int32_t>() == 400);
}

TEST_CASE("Closing lets runs under way finish and refuses those after") {
  FreshGraph fresh;
  const tf::Variable v(2.f);
  const tf::Tensor x = tf::placeholder(tf::float32), y = v * x;
  tf::Session session;
  session.run(tf::global_variables_initializer());
  const auto call = session.make_callable(y, {x});
  std::atomic<int> refused{0};
  check_at_once([&](int t) {
    bool right = true;
    for (int i = 0; i < 400; ++i) {
      if (t == 0 && i == 100) session.close();
      try {
        right &= number(t % 2 ? call(3.f) : session.run(y, {{x, 3.f}})) == 6;
      } catch (const tf::Error& e) {
        right &= e.message() == "Attempted to use a closed Session.";
        ++refused;
      }
    }
    return right;
  });
  CHECK(refused >= 300);
}

TEST_CASE("Graphs are built while others run") {
  FreshGraph fresh;
  const tf::Variable v(1.f);
  const tf::Tensor x = tf::placeholder(tf::float32), y = v + x;
  const tf::Session session;
  session.run(tf::global_variables_initializer());
  std::mutex mutex;
  std::set<std::string> names;
  check_at_once([&](int t) {
    const auto scope = fresh.graph.as_default();
    bool right = true;
    for (int i = 0; i < 100; ++i) {
      if (t % 2) {
        const auto inner = tf::name_scope("s");
        const tf::Tensor made = tf::exp(y * static_cast<float>(i)) + tf::constant(1.f);
        const std::lock_guard lock(mutex);
        right &= names.insert(made.name()).second;
      } else {
        right &= number(session.run(y, {{x, static_cast<float>(i)}})) == static_cast<float>(i) + 1;
        right &= fresh.graph.tensor(y.name()).same_as(y);
      }
    }
    return right;
  });
  CHECK(names.size() == 400);
  CHECK(fresh.graph.operations().size() == static_cast<size_t>(fresh.graph.num_operations()));
}

TEST_CASE("Threads build the graphs of their own") {
  check_at_once([](int t) {
    FreshGraph fresh;
    const tf::Variable w(static_cast<float>(t));
    const tf::Tensor x = tf::placeholder(tf::float32), y = tf::sum(w * x * x);
    const tf::Tensor dx = tf::gradients(y, {x})[0];
    const tf::Session session;
    session.run(tf::global_variables_initializer());
    bool right = y.name() == "Sum:0";
    for (int i = 0; i < 50; ++i) right &= number(session.run(dx, {{x, 3.f}})) == static_cast<float>(6 * t);
    return right;
  });
}

TEST_CASE("Concurrent draws of a random op are those of a sequence, in some order") {
  FreshGraph fresh;
  const tf::Tensor r = tf::random_uniform({}, {.dtype = tf::float64});
  const tf::Session at_once_session, one_by_one;
  std::mutex mutex;
  std::multiset<double> drawn, expected;
  check_at_once([&](int) {
    for (int i = 0; i < 50; ++i) {
      const double value = at_once_session.run(r).item<double>();
      const std::lock_guard lock(mutex);
      drawn.insert(value);
    }
    return true;
  });
  for (int i = 0; i < 50 * kThreads; ++i) expected.insert(one_by_one.run(r).item<double>());
  CHECK(drawn == expected);
}

TEST_CASE("Runs that succeed beside runs that fail never draw the same") {
  FreshGraph fresh;
  const tf::Tensor bad = tf::placeholder(tf::bool_, Shape{});
  const tf::Tensor plain = tf::random_uniform({}, {.dtype = tf::float64});
  const auto [n, looped] = tf::while_loop([](const tf::Tensor& i, const tf::Tensor&) { return i < 3; },
                                          [](const tf::Tensor& i, const tf::Tensor&) {
                                            return std::tuple{i + 1, tf::random_uniform({}, {.dtype = tf::float64})};
                                          },
                                          std::tuple{tf::constant(0), tf::zeros({}, tf::float64)});
  // Time for others to draw before it fails.
  const tf::Tensor zeros = tf::zeros({160, 160}, tf::float64);
  const tf::Tensor slow = tf::matmul(zeros + plain, zeros + looped);
  const tf::Tensor checked =
      tf::check_numerics(tf::reduce_sum(slow) / tf::where(bad, tf::constant(0.0), tf::constant(1.0)), "bad");
  const tf::Session session;
  std::mutex mutex;
  std::set<double> plains, loops;
  std::atomic<int> succeeded{0};
  check_at_once([&](int t) {
    bool right = true;
    for (int i = 0; i < 60; ++i) {
      const bool fails = t % 2 && i % 2;
      try {
        const auto [p, l, c] = session.run({plain, looped, checked}, {{bad, fails}});
        right &= !fails;
        ++succeeded;
        const std::lock_guard lock(mutex);
        plains.insert(p.item<double>());
        loops.insert(l.item<double>());
      } catch (const tf::Error&) {
        right &= fails;
      }
    }
    return right;
  });
  CHECK(plains.size() == static_cast<size_t>(succeeded));
  CHECK(loops.size() == static_cast<size_t>(succeeded));
}

// A run that holds a variable's lock plans the body of a branch, for which it asks the session for the variable, while
// `close` waits for that lock.
TEST_CASE("A session is closed while a run plans a body") {
  for (int round = 0; round < 3; ++round) {
    FreshGraph fresh;
    const tf::Variable v(1.f);
    const tf::Tensor n = tf::placeholder(tf::int32, Shape{});
    const auto [count, sum] = tf::while_loop([&](const tf::Tensor& i, const tf::Tensor&) { return i < n; },
                                             [&](const tf::Tensor& i, const tf::Tensor& s) {
                                               return std::tuple{i + 1, s + v * 0.f + 1.f};
                                             },
                                             std::tuple{tf::constant(0), tf::constant(0.f)});
    const tf::Tensor y = tf::cond(
        sum > 0.f, [&] { return v.assign_add(1.f) * sum; }, [&] { return v * 2.f; });
    auto session = std::make_shared<tf::Session>();
    session->run(tf::global_variables_initializer());
    std::atomic<bool> started{false};
    auto run = std::async(std::launch::async, [&, session] {
      started = true;
      try {
        return number(session->run(y, {{n, 30000}}));
      } catch (const tf::Error&) {
        return -1.f;  // it came too late
      }
    });
    while (!started) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    auto close = std::async(std::launch::async, [session] { session->close(); });
    if (close.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
      std::fputs("deadlock: close() and a run wait for each other\n", stderr);
      std::_Exit(1);  // threads that wait for ever cannot be joined
    }
    const float got = run.get();
    CHECK((got == 60000.f || got == -1.f));
  }
}
