// Arrays of tensors: values in both modes, in bodies of control flow, with gradients.
#include <twofold/twofold.h>

#include <map>
#include <thread>
#include <vector>

#include <twofold/kernels/tensor_array/tensor_list.h>

#include "both_modes.h"
#include "control_flow_gradients.h"
#include "errors.h"

namespace tf = twofold;
using testing::check_gradients;
using testing::doubles;
using testing::in_both_modes;
using tf::Tensor;
using tf::TensorArray;

TEST_CASE("an array is a value: what is written leaves older arrays as they were") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant({1.f, 2.f}), y = tf::constant({3.f, 4.f});
    const TensorArray none(tf::float32, 2, {.element_shape = {2}});
    const TensorArray one = none.write(0, x);
    const TensorArray both = one.write(1, y);
    const TensorArray other = one.write(1, x * 10.f);  // of a version that is not the newest
    const TensorArray again = both.write(0, y * 2.f);  // over what was there
    return std::vector{none.stack(),  one.stack(),  both.stack(), other.stack(),
                       again.stack(), both.read(0), one.read(1)};
  });
  CHECK(doubles(all[0]) == std::vector<double>{0, 0, 0, 0});
  CHECK(doubles(all[1]) == std::vector<double>{1, 2, 0, 0});
  CHECK(doubles(all[2]) == std::vector<double>{1, 2, 3, 4});
  CHECK(doubles(all[3]) == std::vector<double>{1, 2, 10, 20});
  CHECK(doubles(all[4]) == std::vector<double>{6, 8, 3, 4});
  CHECK(doubles(all[5]) == std::vector<double>{1, 2});
  CHECK(doubles(all[6]) == std::vector<double>{0, 0});
}

TEST_CASE("arrays grow, are taken of tensors and given back as such, of every dtype") {
  const auto all = in_both_modes([] {
    const TensorArray grown = TensorArray(tf::int32, 0, {.dynamic_size = true}).write(3, 7).write(1, 5);
    const Tensor x = tf::constant({{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}});
    const TensorArray taken = TensorArray(tf::float32, 3).unstack(x);
    const TensorArray longer = TensorArray(tf::float32, 0, {.dynamic_size = true}).unstack(x).write(3, x[0] * 0.f);
    std::vector<Tensor> all{grown.stack(), grown.size(), taken.stack(), taken.read(1), taken.size(), longer.stack()};
    for (const tf::DType t : {tf::float64, tf::int64, tf::uint8, tf::bool_})
      all.push_back(TensorArray(t, 2).unstack(tf::cast(tf::constant({0, 1}), t)).stack());
    return all;
  });
  CHECK(doubles(all[0]) == std::vector<double>{0, 5, 0, 7});
  CHECK(all[1].item<int>() == 4);
  CHECK(doubles(all[2]) == std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK(all[2].shape() == tf::Shape{3, 2});
  CHECK(doubles(all[3]) == std::vector<double>{3, 4});
  CHECK(all[4].item<int>() == 3);
  CHECK(doubles(all[5]) == std::vector<double>{1, 2, 3, 4, 5, 6, 0, 0});
  for (size_t i = 6; i < all.size(); ++i) CHECK(doubles(all[i]) == std::vector<double>{0, 1});
}

TEST_CASE("an array is state of loops, results of branches, and captured by bodies") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant({1.f, 2.f, 3.f, 4.f});
    const TensorArray from = TensorArray(tf::float32, 4).unstack(x);
    using State = std::map<std::string, TensorArray>;
    const auto [i, made] = tf::while_loop(
        [](Tensor i, const State&) { return i < 4; },
        [&](Tensor i, const State& s) {
          const TensorArray squares = s.at("squares").write(i, from.read(i) * from.read(i));
          const TensorArray sums = tf::cond(
              i > 0, [&] { return s.at("sums").write(i, s.at("sums").read(i - 1) + from.read(i)); },
              [&] { return s.at("sums").write(i, from.read(i)); });
          return std::tuple{i + 1, State{{"squares", squares}, {"sums", sums}}};
        },
        std::tuple{0, State{{"squares", TensorArray(tf::float32, 4)}, {"sums", TensorArray(tf::float32, 4)}}});
    return std::vector{made.at("squares").stack(), made.at("sums").stack(), i};
  });
  CHECK(doubles(all[0]) == std::vector<double>{1, 4, 9, 16});
  CHECK(doubles(all[1]) == std::vector<double>{1, 3, 6, 10});
}

TEST_CASE("a graph knows of elements what element_shape says") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::float32, {-1, 3});
  const TensorArray any(tf::float32, 4), rows(tf::float32, 4, {.element_shape = {-1, 2}});
  CHECK_FALSE(any.read(0).shape().has_rank());
  CHECK(rows.read(0).shape() == tf::Shape{-1, 2});
  CHECK(rows.stack().shape() == tf::Shape{-1, -1, 2});
  CHECK(any.unstack(x).read(0).shape() == tf::Shape{3});
  CHECK(any.unstack(x).element_shape() == tf::Shape{3});
  CHECK(any.dtype() == tf::float32);
}

TEST_CASE("what an array cannot do is said, in both modes") {
  // An eager call throws, a graph's when it is built or run.
  const auto check = [](const std::function<Tensor()>& f, tf::Code code, const std::string& words) {
    for (const bool eager : {true, false}) {
      std::string what = "no error";
      std::string came;
      try {
        if (eager) {
          tf::eagerly(f);
        } else {
          const tf::Graph graph;
          const auto scope = graph.as_default();
          tf::Session(graph).run(f());
        }
      } catch (const tf::Error& e) {
        what = e.what();
        came = name_of(e.code());
      }
      INFO((eager ? "eager: " : "deferred: ") << what);
      CHECK(came == name_of(code));
      CHECK(what.find(words) != std::string::npos);
      CHECK(what.find("tensor_array_test.cc:") != std::string::npos);
    }
  };
  using enum tf::Code;
  const auto three = [] { return TensorArray(tf::float32, 3); };
  check([&] { return three().write(3, 1.f).read(0); }, OutOfRange, "The index 3 is out of range: the array has 3");
  check([&] { return three().write(-1, 1.f).read(0); }, OutOfRange, "The index -1 is out of range");
  check([&] { return three().read(tf::constant(7)); }, OutOfRange, "The index 7 is out of range");
  check([&] { return three().read(1); }, FailedPrecondition, "Nothing was written at index 1");
  check([&] { return three().stack(); }, FailedPrecondition, "no element that could tell the shape");
  check([&] { return TensorArray(tf::float32, -2).size(); }, InvalidArgument, "An array cannot have -2 elements");
  check([&] { return TensorArray(tf::float32, 1.5).size(); }, InvalidArgument, "int32 or int64, not float32");
  check([&] { return TensorArray(tf::float32, {1, 2}).size(); }, InvalidArgument, "scalars, not of shape (2,)");
  check([&] { return three().write(0, tf::constant(1)).read(0); }, InvalidArgument,
        "An element of an array of float32 cannot be int32");
  check(
      [&] {
        return TensorArray(tf::float32, 3, {.element_shape = {2}}).write(0, {1.f, 2.f, 3.f}).read(0);
      },
      InvalidArgument, "elements of shape (2,) cannot be of shape (3,)");
  check(
      [&] {
        return three().write(0, 1.f).write(1, {1.f, 2.f}).stack();
      },
      InvalidArgument, "needs elements of one shape, but has some of () and of (2,)");
  check(
      [&] {
        return three().unstack({1.f, 2.f}).size();
      },
      InvalidArgument, "An array of 3 elements cannot take the 2 slices of a tensor of shape (2,)");
  check([&] { return three().unstack(1.f).size(); }, InvalidArgument, "A scalar has no slices");
  check(
      [&] {
        return three().unstack(tf::constant({1, 2, 3})).size();
      },
      InvalidArgument, "An array of float32 cannot take elements of int32");
  // Of two branches eager code sees one.
  const tf::Graph graph;
  const auto scope = graph.as_default();
  CHECK_ERROR(tf::cond(
                  tf::constant(true), [&] { return three(); }, [] { return TensorArray(tf::int32, 3); }),
              InvalidArgument, "arrays of float32 and int32");
  CHECK_ERROR(tf::while_loop([](TensorArray a) { return a.size() < 3; },
                             [](TensorArray) { return TensorArray(tf::float32, 3, {.element_shape = {3}}); },
                             TensorArray(tf::float32, 3, {.element_shape = {2}})),
              InvalidArgument, "arrays of elements of shape (2,) and (3,)");
}

TEST_CASE("an array's list is no tensor to compute with") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const auto [i, a] = tf::while_loop([](Tensor i, TensorArray) { return i < 3; },
                                     [](Tensor i, TensorArray a) {
                                       return std::tuple{i + 1, a.write(i, i)};
                                     },
                                     std::tuple{0, TensorArray(tf::int32, 3)});
  const tf::Session session(graph);
  const Tensor list = i.op().output(1);
  CHECK(list.dtype() == tf::DType::list);
  CHECK((tf::carries_gradient(tf::DType::list) && tf::carries_gradient(tf::float64)));
  CHECK_FALSE(tf::carries_gradient(tf::int32));
  CHECK_ERROR(list + 1, InvalidArgument, "takes tensors, not the list of a TensorArray");
  const Tensor value = session.run(list);
  CHECK_ERROR(tf::eagerly([&] { return value + value; }), InvalidArgument, "takes tensors, not the list");
  CHECK_ERROR(tf::eagerly([&] { return tf::where(true, value, value); }), InvalidArgument,
              "takes tensors, not the list");
  CHECK_ERROR(tf::eagerly([&] {
                return tf::concat({value, value}, 0);
              }),
              InvalidArgument, "takes tensors, not the list");
  CHECK(tf::to_string(value) == "[]");
  // A fetched array is one.
  const auto [fetched, times] = session.run(std::tuple{a, i});
  CHECK(doubles(tf::eagerly([&, &fetched = fetched, &times = times] {
          return fetched.write(1, times * 10).stack();
        })) == std::vector<double>{0, 30, 2});
  CHECK(doubles(tf::eagerly([&, &fetched = fetched] { return fetched.stack(); })) == std::vector<double>{0, 1, 2});
}

TEST_CASE("gradients of arrays") {
  check_gradients([](const Tensor& x, const tf::Variable& w) {
    TensorArray a(tf::float64, 4, {.element_shape = {3}});
    a = a.write(0, x * x).write(2, w * x).write(1, tf::sin(x));  // 3 is not written
    const Tensor y = a.read(0) * a.read(2) + a.read(0) * a.read(3);
    a = a.write(0, y * w);  // over what was there
    return tf::sum(a.stack() * a.stack()) + tf::sum(TensorArray(tf::float64, 3).unstack(x * w).read(1) * y);
  });
}

TEST_CASE("gradients of arrays in loops and branches") {
  check_gradients([](const Tensor& x, const tf::Variable& w) {
    const TensorArray from = TensorArray(tf::float64, 3).unstack(x * w);
    const auto [i, made, walked] = tf::while_loop(
        [](Tensor i, TensorArray, TensorArray) { return i < 3; },
        [&](Tensor i, TensorArray a, TensorArray state) {
          const TensorArray next = tf::cond(
              i < 2, [&] { return a.write(i, from.read(i) * state.read(0) * x); },
              [&] { return a.write(i, a.read(0) * a.read(1)); });
          return std::tuple{i + 1, next, state.write(0, state.read(0) * from.read(2 - i))};
        },
        std::tuple{0, TensorArray(tf::float64, 3), TensorArray(tf::float64, 2).write(0, tf::sum(w)).write(1, w[0])});
    return tf::sum(made.stack() * made.stack()) + walked.read(0) * walked.read(1);
  });
}

TEST_CASE("what no run reads of an array has the gradient zero") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant(std::vector{1., 2.}), y = tf::constant(std::vector{3., 4.}), p = tf::constant(false);
    tf::GradientTape tape;
    tape.watch(x);
    tape.watch(y);
    const TensorArray a = TensorArray(tf::float64, 2).write(0, x).write(1, y);
    const Tensor z = tf::cond(
        p, [&] { return a.read(0); }, [&] { return a.read(1) * 3.; });
    const auto d = tape.gradient(z, {x, y});
    return std::vector{testing::zero_if_none(d[0], x), d[1]};
  });
  CHECK(doubles(all[0]) == std::vector<double>{0, 0});
  CHECK(doubles(all[1]) == std::vector<double>{3, 3});
}

TEST_CASE("gradients of an array that branches may leave out") {
  for (const bool first : {false, true})
    for (const bool second : {false, true}) {
      const auto all = in_both_modes([&] {
        const Tensor x = tf::constant(std::vector{1., 2.}), p = tf::constant(first), q = tf::constant(second);
        tf::GradientTape outer, tape;
        for (tf::GradientTape* each : {&outer, &tape}) each->watch(x);
        const TensorArray a = TensorArray(tf::float64, 2).unstack(x * x);
        const Tensor y = tf::cond(
            p, [&] { return a.read(0) * a.read(1); }, [&] { return tf::sum(x); });
        const TensorArray b = tf::cond(
            q, [&] { return a.write(0, x[1] * x[1] * 3.); }, [&] { return a.write(1, a.read(0)); });
        const Tensor d = tape.gradient(y + b.read(0) * b.read(1), {x})[0];
        return std::vector{y, b.stack(), d, outer.gradient(tf::sum(d * d), {x})[0]};
      });
      // y = (x0 x1)^2 or x0 + x1; then 3 x1^2 x1^2 or x0^2 x0^2, at (1, 2).
      const double d0 = (first ? 2 * 1 * 4 : 1) + (second ? 0 : 4),
                   d1 = (first ? 2 * 1 * 2 : 1) + (second ? 12 * 8 : 0);
      CHECK(doubles(all[2]) == std::vector<double>{d0, d1});
      const double h00 = (first ? 2 * 4 : 0) + (second ? 0 : 12), h01 = first ? 4 * 2 : 0,
                   h11 = (first ? 2 : 0) + (second ? 36 * 4 : 0);
      CHECK(doubles(all[3]) == std::vector<double>{2 * (d0 * h00 + d1 * h01), 2 * (d0 * h01 + d1 * h11)});
    }
}

TEST_CASE("a failure among writes leaves variables as they were") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor n = tf::placeholder(tf::int32, {});
  const tf::Variable v(1.f);
  const auto [i, a] = tf::while_loop([&](Tensor i, TensorArray) { return i < n; },
                                     [&](Tensor i, TensorArray a) {
                                       return std::tuple{i + 1, a.write(i, v.assign_add(1.f))};
                                     },
                                     std::tuple{0, TensorArray(tf::float32, 3)});
  const Tensor made = a.stack();
  for (const bool optimize : {false, true}) {
    const tf::Session session(graph, {.optimize = optimize});
    session.run(tf::global_variables_initializer());
    CHECK_ERROR(session.run(made, {{n, 4}}), OutOfRange, "The index 3 is out of range");
    CHECK(session.run(v).item<float>() == 1);
    CHECK(doubles(session.run(made, {{n, 3}})) == std::vector<double>{2, 3, 4});
    // Each run begins with an array of its own.
    CHECK(doubles(session.run(made, {{n, 1}})) == std::vector<double>{5, 0, 0});
  }
}

TEST_CASE("versions of a list share their elements, and many are freed without recursion") {
  constexpr int64_t kVersions = 1'000'000;
  const Tensor x = tf::tensor(1.f), y = tf::tensor(2.f);
  const auto first = tf::make_ref<tf::TensorList>(3, false, tf::TensorList::Elements{{0, x}});
  tf::Ref<tf::TensorList> last = first;
  for (int64_t i = 0; i < kVersions; ++i) last = last->with({{i % 3, i % 2 ? x : y}}, 3);
  CHECK(first->at(0).same_as(x));
  CHECK_FALSE(first->at(1).defined());
  CHECK(first->count() == 1);
  CHECK(last->count() == 3);
  const auto fork = first->with({{0, Tensor()}, {2, y}}, 5);
  CHECK(fork->elements(0, 1, 5)[2].same_as(y));
  CHECK(fork->count() == 1);
  CHECK(fork->size() == 5);
  CHECK(first->at(0).same_as(x));
}

TEST_CASE("a write costs the same however long the list is") {
  // Each of 200000 would copy as many elements otherwise.
  constexpr int64_t kElements = 200'000;
  const Tensor x = tf::tensor(1.f), y = tf::tensor(2.f);
  auto list = tf::make_ref<tf::TensorList>(kElements, false);
  for (int64_t i = 0; i < kElements; ++i) list = list->with({{i, x}}, kElements);
  for (int64_t i = 0; i < kElements; ++i)
    list = list->with({{i, list->at(kElements - 1 - i).same_as(x) ? y : x}}, kElements);
  CHECK(list->count() == kElements);
  CHECK(list->at(0).same_as(y));
  CHECK(list->at(kElements - 1).same_as(x));
}

TEST_CASE("several threads write to one array") {
  const tf::EagerMode eager;
  const TensorArray shared = TensorArray(tf::int32, 100).unstack(tf::range(100));
  std::vector<std::thread> threads;
  std::vector<Tensor> made(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      const tf::EagerMode eager;
      TensorArray own = shared;
      for (int i = 0; i < 100; ++i) own = own.write(i, own.read(i) * (t + 1));
      made[static_cast<size_t>(t)] = own.stack();
    });
  for (std::thread& thread : threads) thread.join();
  for (int t = 0; t < 4; ++t)
    for (int i = 0; i < 100; ++i)
      REQUIRE(made[static_cast<size_t>(t)].data<int32_t>()[static_cast<size_t>(i)] == i * (t + 1));
  CHECK(shared.read(7).item<int>() == 7);
}
