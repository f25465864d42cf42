// tf::trace: code that reads values on the host, as graphs with guards.
#include <cmath>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include <twofold/twofold.h>

#include "at_line.h"
#include "catch.h"
#include "errors.h"
#include "training.h"

namespace tf = twofold;
using namespace training;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// What a program prints.
template <class Program>
std::string output_of(Program program) {
  std::ostringstream out;
  struct Redirect {
    std::streambuf* const usual;
    ~Redirect() { std::cout.rdbuf(usual); }
  } redirect{std::cout.rdbuf(out.rdbuf())};
  program();
  return out.str();
}

}  // namespace

TEST_CASE("A bool that is read guards a trace", "[trace]") {
  in_each_mode([](tf::Session& session) {
    int runs = 0, line = 0;
    auto f = tf::trace(
        session,
        [&](Tensor x) {
          ++runs;
          line = __LINE__ + 1;
          if (tf::sum(x) > 0) return x * 2;
          return -x;
        },
        tf::tensor({1.f, 2.f}));
    CHECK(runs == 1);
    CHECK(floats(f(tf::tensor({3.f, -1.f}))) == std::vector<float>{6, -2});
    CHECK(runs == 1);
    CHECK(floats(f(tf::tensor({-3.f, 1.f}))) == std::vector<float>{3, -1});
    CHECK(runs == 2);
    CHECK(floats(f(tf::tensor({3.f, -1.f, 0.f}))) ==
          std::vector<float>{6, -2, 0});  // another extent, which nobody read
    CHECK(floats(f(tf::tensor({-3.f, 1.f}))) == std::vector<float>{3, -1});
    CHECK(runs == 2);
    const auto traces = f.traces();
    REQUIRE(traces.size() == 2);
    CHECK(traces[0].reason == "the examples");
    REQUIRE(traces[0].guards.size() == 1);
    CHECK(has(traces[0].guards[0], "the bool read at "));
    CHECK(has(traces[0].guards[0], at_line(line) + " was True"));
    CHECK(traces[1].reason == traces[0].guards[0]);
    CHECK(has(traces[1].guards[0], at_line(line) + " was False"));
  });
}

TEST_CASE("Numbers, extents and slices that are read guard a trace", "[trace]") {
  in_each_mode([](tf::Session& session) {
    auto power = tf::trace(session,
                           [](Tensor x, Tensor n) {
                             Tensor y = tf::ones_like(x);
                             for (int64_t i = 0; i < n.item<int64_t>(); ++i) y = y * x;
                             return y;
                           },
                           {2.f, int64_t{3}});
    CHECK(number(power(2.f, int64_t{3})) == 8);
    CHECK(number(power(3.f, int64_t{3})) == 27);
    CHECK(power.traces().size() == 1);
    CHECK(number(power(3.f, int64_t{4})) == 81);
    CHECK(power.traces().size() == 2);
    CHECK(has(power.traces()[0].guards.at(0), "the integer read at "));

    const Tensor two = tf::tensor({{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}}), one = tf::tensor({{1.f, 2.f, 3.f}});
    auto mean_by_dim = tf::trace(
        session, [](Tensor x) { return tf::sum(x, 0) / static_cast<float>(x.dim(0)); }, two);
    CHECK(floats(mean_by_dim(two)) == std::vector<float>{2.5f, 3.5f, 4.5f});
    CHECK(floats(mean_by_dim(one)) == std::vector<float>{1, 2, 3});
    CHECK(mean_by_dim.traces().size() == 2);
    CHECK(has(mean_by_dim.traces()[1].guards.at(0), " was 1"));

    auto mean_by_shape = tf::trace(
        session, [](Tensor x) { return tf::sum(x, 0) / static_cast<float>(x.shape()[0]); }, two);
    CHECK(floats(mean_by_shape(two)) == std::vector<float>{2.5f, 3.5f, 4.5f});
    CHECK(floats(mean_by_shape(one)) == std::vector<float>{1, 2, 3});
    CHECK(has(mean_by_shape.traces()[0].guards.at(0), "the shape read at "));

    auto total = tf::trace(
        session, [](Tensor x) { return tf::sum(x) * static_cast<float>(x.num_elements()); }, two);
    CHECK(number(total(two)) == 126);
    CHECK(number(total(one)) == 18);

    auto rows = tf::trace(
        session,
        [](Tensor x) {
          Tensor y = tf::zeros({3});
          for (const Tensor& row : x) y = y * 2.f + row;
          return y;
        },
        two);
    CHECK(floats(rows(two)) == std::vector<float>{6, 9, 12});
    CHECK(floats(rows(one)) == std::vector<float>{1, 2, 3});
    CHECK(floats(rows(tf::concat({two, one}, 0))) == std::vector<float>{13, 20, 27});
    CHECK(rows.traces().size() == 3);
  });
}

TEST_CASE("Shapes that are compared bind a trace", "[trace]") {
  in_each_mode([](tf::Session& session) {
    const Tensor two = tf::eagerly([] {
      return tf::tensor({1.f, 2.f});
    }),
                 one = tf::eagerly([] { return tf::tensor({3.f}); });
    auto f = tf::trace(session, [](Tensor x, Tensor y) { return x.shape() == y.shape() ? x + y : x - tf::sum(y); },
                       {two, two});
    CHECK(floats(f(two, two)) == std::vector<float>{2, 4});
    CHECK(floats(f(two, one)) == std::vector<float>{-2, -1});
    CHECK(floats(f(one, one)) == std::vector<float>{6});
    CHECK(floats(f(one, two)) == std::vector<float>{0});
    CHECK(has(f.traces()[0].guards.at(0), "the shape read at "));
    auto g = tf::trace(
        session, [](Tensor x) { return x.shape() != tf::Shape{2} ? -x : x; }, one);
    CHECK(floats(g(one)) == std::vector<float>{-3});
    CHECK(floats(g(two)) == std::vector<float>{1, 2});
  });
}

TEST_CASE("What depends on no argument is no guard", "[trace]") {
  in_each_mode([](tf::Session& session) {
    auto f = tf::trace(
        session,
        [](Tensor x) {
          const Tensor c = tf::constant(3);
          return c > 2 && c.item<int>() == 3 ? x + 1.f : x;
        },
        1.f);
    CHECK(number(f(1.f)) == 2);
    CHECK(f.traces()[0].guards.empty());
  });
}

TEST_CASE("Reading a float while tracing says what to write", "[trace]") {
  in_each_mode([](tf::Session& session) {
    const auto read = [&] {
      (void)tf::trace(
          session, [](Tensor x) { return x * tf::sum(x).item<float>(); }, tf::tensor({1.f, 2.f}));
    };
    CHECK_ERROR(read(), FailedPrecondition, "if (x > c)");
    CHECK_ERROR(read(), FailedPrecondition, "trace_test.cc:");
    const auto read_all = [&] {
      (void)tf::trace(
          session, [](Tensor x) { return x * (x * 2.f).data<float>()[0]; }, tf::tensor({1.f, 2.f}));
    };
    CHECK_ERROR(read_all(), FailedPrecondition, "tf::print(x)");
    auto f = tf::trace(
        session, [](Tensor x) { return x ? x : x + 1.f; }, 0.f);  // a bool is no float
    CHECK(number(f(0.f)) == 1);
    CHECK(number(f(5.f)) == 5);
  });
}

TEST_CASE("What a body does counts once its guards have held", "[trace]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable calls(0.f), large(0.f);
    session.run(tf::global_variables_initializer());
    const auto value = [&](const tf::Variable& v) {
      return number(tf::executing_eagerly() ? v.read() : session.run(v));
    };
    std::string text = output_of([&] {
      auto f = tf::trace(
          session,
          [&](Tensor x) {
            calls.assign_add(1.f);
            const Tensor y = tf::print(x * 2.f, "y = ");
            if (y > 10.f) large.assign_add(1.f);
            return y;
          },
          1.f);
      CHECK(value(calls) == 0);  // tracing does nothing of it
      CHECK(number(f(2.f)) == 4);
      CHECK(number(f(20.f)) == 40);
      CHECK(number(f(3.f)) == 6);
    });
    CHECK(text == "y = 4\ny = 40\ny = 6\n");
    CHECK(value(calls) == 3);
    CHECK(value(large) == 1);
  });
}

TEST_CASE("A guard may depend on what the body has assigned", "[trace]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable count(0);
    session.run(tf::global_variables_initializer());
    auto f = tf::trace(
        session,
        [&](Tensor x) {
          count.assign_add(1);
          if (count.read() > 2) {
            count.assign(0);
            return -x;
          }
          return x;
        },
        1.f);
    std::vector<float> results;
    for (int i = 0; i < 7; ++i) results.push_back(number(f(1.f)));
    CHECK(results == std::vector<float>{1, 1, -1, 1, 1, -1, 1});
    CHECK(f.traces().size() == 2);
  });
}

TEST_CASE("Random ops in a trace draw once a call", "[trace]") {
  const Tensor x = tf::eagerly([] { return tf::tensor({1.f, 2.f}); });
  const auto traced = in_all_modes([&](tf::Session& session) {
    auto f = tf::trace(
        session,
        [](Tensor x) {
          const Tensor r = tf::random_uniform({2});
          if (r[0] > 0.5f) return x + r;
          return x - r;
        },
        x);
    std::vector<Tensor> all;
    for (int i = 0; i < 8; ++i) all.push_back(f(x));
    CHECK(f.traces().size() == 2);
    return all;
  });
  // What a function without `if` draws by the same key.
  const auto selected = in_all_modes([&](tf::Session& session) {
    auto f = tf::function(session, [](Tensor x) {
      const Tensor r = tf::random_uniform({2});
      return tf::where(r[0] > 0.5f, x + r, x - r);
    });
    std::vector<Tensor> all;
    for (int i = 0; i < 8; ++i) all.push_back(f(x));
    return all;
  });
  CHECK(training::same_bits(traced, selected));
}

TEST_CASE("A loop until something holds is traced", "[trace]") {
  in_each_mode([](tf::Session& session) {
    int passes = 0;
    auto root = tf::trace(
        session,
        [&](Tensor x) {
          passes = 0;
          Tensor y = x;
          while (tf::abs(y * y - x) > 1e-5f * x) {
            y = (y + x / y) / 2.f;
            ++passes;
          }
          return y;
        },
        2.f);
    CHECK(passes == 3);
    CHECK(std::abs(number(root(2.f)) - std::sqrt(2.f)) < 1e-5f);
    CHECK(std::abs(number(root(100.f)) - 10.f) < 1e-3f);
    CHECK(passes > 3);
  });
}

TEST_CASE("An error behind a guard that fails is no error of the call", "[trace]") {
  in_each_mode([](tf::Session& session) {
    auto f = tf::trace(session,
                       [](Tensor x, Tensor i) {
                         if (i < 3) return tf::gather(x, i);
                         return tf::sum(x);
                       },
                       {tf::tensor({1.f, 2.f, 3.f}), 1});
    CHECK(number(f(tf::tensor({1.f, 2.f, 3.f}), 2)) == 3);
    CHECK(number(f(tf::tensor({1.f, 2.f, 3.f}), 7)) == 6);
    CHECK_ERROR(f(tf::tensor({1.f, 2.f, 3.f}), -7), OutOfRange, "-7");  // its own
  });
}

TEST_CASE("After eight traces an error lists the lines", "[trace]") {
  in_each_mode([](tf::Session& session) {
    int line = 0;
    auto f = tf::trace(
        session,
        [&](Tensor x) {
          line = __LINE__ + 1;
          return x * static_cast<float>(x.dim(0));
        },
        tf::eagerly([] { return tf::zeros({1}); }));
    for (int64_t n = 2; n <= 8; ++n) f(tf::eagerly([&] { return tf::zeros({n}); }));
    CHECK(f.traces().size() == 8);
    const Tensor ninth = tf::eagerly([] { return tf::zeros({9}); });
    CHECK_ERROR(f(ninth), FailedPrecondition, "traced 8 times");
    CHECK_ERROR(f(ninth), FailedPrecondition, at_line(line) + " was 1, 2, 3, 4, 5, 6, 7, 8");
    CHECK_ERROR(f(ninth), FailedPrecondition, "tf::shape(x)[i]");
  });
}

TEST_CASE("Symbols of inner bodies have no values in a trace either", "[trace]") {
  in_each_mode([](tf::Session& session) {
    const auto make = [&] {
      (void)tf::trace(
          session,
          [](Tensor x) {
            return tf::cond(
                x > 0.f, [&] { return static_cast<bool>(x > 5.f) ? x : -x; },
                [&] {
                  const Tensor y = x * 2.f;
                  return y > 0.f ? y : x;
                });
          },
          1.f);
    };
    CHECK_ERROR(make(), FailedPrecondition, "tf::cond");
  });
}

TEST_CASE("check traces again at each call", "[trace]") {
  in_each_mode([](tf::Session& session) {
    float counter = 0;
    auto f = tf::trace(session, [&](Tensor x) { return x > 0.f ? x + counter : x; }, 1.f, {.check = true});
    CHECK(number(f(1.f)) == 1);
    counter = 1;
    CHECK_ERROR(f(1.f), FailedPrecondition, "Two traces");
  });
}
