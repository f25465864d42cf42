// Extents that are given as tensors, be they values or what a run finds: what is made of 0 and 1, and the error where
// an extent is negative or a product overflows, the same at once and in a run.
#include "oracle.h"

using namespace oracle;

namespace {

/// Extents given as one vector of int64.
using Make = std::function<Tensor(const Tensor& n)>;

/// What comes of f(n) at once, by tensors that are there, and in a run that finds them: the code of the error, or "".
std::vector<std::string> codes(const Make& f, const Tensor& n) {
  const auto code = [](const auto& program) -> std::string {
    try {
      program();
    } catch (const tf::Error& e) {
      return std::string(name_of(e.code()));
    }
    return "";
  };
  std::vector<std::string> all{code([&] { tf::eagerly([&] { return f(n); }); })};
  for (const bool optimize : {false, true})
    all.push_back(code([&] {
      const tf::Graph graph;
      const auto scope = graph.as_default();
      const tf::DeferredMode deferred;
      const Tensor p = tf::placeholder(tf::int64, n.shape());
      const Tensor y = f(p);
      tf::Session(graph, {.optimize = optimize}).run(y, {{p, n}});
    }));
  return all;
}
Tensor extents(std::initializer_list<int64_t> n) { return tf::tensor(std::vector<int64_t>(n)); }
constexpr int64_t kHuge = int64_t{1} << 44;
const Tensor kOne = tf::tensor({{7.f}});

struct Source {
  const char* name;
  Make make;
  Shape given;    ///< what {3, 1} gives
  Shape nothing;  ///< what {0, 1} gives
  real element;   ///< at each place
};
const Source kSources[] = {
    {"zeros", [](const Tensor& n) { return tf::zeros({n[0], n[1]}, tf::float32); }, {3, 1}, {0, 1}, 0},
    {"zeros of a vector", [](const Tensor& n) { return tf::zeros(n, tf::float32); }, {3, 1}, {0, 1}, 0},
    {"ones", [](const Tensor& n) { return tf::ones({n[0], n[1]}, tf::float32); }, {3, 1}, {0, 1}, 1},
    {"full", [](const Tensor& n) { return tf::full({n[0], n[1]}, 2.5f); }, {3, 1}, {0, 1}, 2.5L},
    {"broadcast_to", [](const Tensor& n) { return tf::broadcast_to(kOne, {n[0], n[1]}); }, {3, 1}, {0, 1}, 7},
    {"tile", [](const Tensor& n) { return tf::tile(kOne, {n[0], n[1]}); }, {3, 1}, {0, 1}, 7},
    {"pad", [](const Tensor& n) { return tf::pad(kOne, {{n[0], 0}, {n[1], 0}}, {.value = 7}); }, {4, 2}, {1, 2}, 7},
    {"random_uniform",
     [](const Tensor& n) { return tf::sign(tf::random_uniform({n[0], n[1]}, {.low = 1, .high = 2})); },
     {3, 1},
     {0, 1},
     1},
    {"random_normal",
     [](const Tensor& n) { return tf::random_normal({n[0], n[1]}, {.mean = 5, .stddev = 0}); },
     {3, 1},
     {0, 1},
     5},
    {"truncated_normal",
     [](const Tensor& n) { return tf::truncated_normal({n[0], n[1]}, {.mean = 5, .stddev = 0}); },
     {3, 1},
     {0, 1},
     5},
};

}  // namespace

TEST_CASE("oracle: extents that are tensors make what numbers make, or the same error") {
  for (const Source& s : kSources) {
    INFO(s.name);
    const auto holds = [&](const Tensor& n, const Shape& shape) {
      const Tensor got = everyway1([&](const Tensors& in) { return s.make(in[0]); }, {n});
      CHECK(off(got, tf::float32, shape, Reals(static_cast<size_t>(shape.num_elements()), s.element)) == "");
    };
    holds(extents({3, 1}), s.given);
    holds(extents({0, 1}), s.nothing);
    for (const std::string& code : codes(s.make, extents({-2, 1}))) CHECK(code == "InvalidArgument");
    for (const std::string& code : codes(s.make, extents({INT64_MIN, 1}))) CHECK(code == "InvalidArgument");
    for (const std::string& code : codes(s.make, extents({kHuge, kHuge}))) CHECK(code == "ResourceExhausted");
    // Of pad it is the sum, 1 and INT64_MAX, that no int64 holds.
    for (const std::string& code : codes(s.make, extents({INT64_MAX, 3})))
      CHECK(code == (s.name == std::string("pad") ? "InvalidArgument" : "ResourceExhausted"));
  }
}

TEST_CASE("oracle: reshape, slice, range, eye and one_hot by extents that are tensors") {
  const Tensor x = tf::tensor({{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}});
  const auto of = [](const Make& f, std::initializer_list<int64_t> n) {
    return everyway1([&](const Tensors& in) { return f(in[0]); }, {extents(n)});
  };
  const auto fails = [](const Make& f, std::initializer_list<int64_t> n, const std::string& wanted) {
    for (const std::string& code : codes(f, extents(n))) CHECK(code == wanted);
  };
  const Make reshape = [&](const Tensor& n) { return tf::reshape(x, {n[0], n[1]}); };
  CHECK(off(of(reshape, {3, -1}), tf::float32, {3, 2}, {1, 2, 3, 4, 5, 6}) == "");
  CHECK(off(of(reshape, {6, 1}), tf::float32, {6, 1}, {1, 2, 3, 4, 5, 6}) == "");
  fails(reshape, {-1, -1}, "InvalidArgument");
  fails(reshape, {4, -1}, "InvalidArgument");
  fails(reshape, {0, -1}, "InvalidArgument");
  fails(reshape, {-2, 3}, "InvalidArgument");
  fails(reshape, {4, 2}, "InvalidArgument");

  const Make slice = [&](const Tensor& n) { return tf::slice(x, {0, n[0]}, {-1, n[1]}); };
  CHECK(off(of(slice, {1, 2}), tf::float32, {2, 2}, {2, 3, 5, 6}) == "");
  CHECK(off(of(slice, {3, 0}), tf::float32, {2, 0}, {}) == "");
  CHECK(off(of(slice, {-1, 1}), tf::float32, {2, 1}, {3, 6}) == "");
  fails(slice, {2, 2}, "InvalidArgument");
  fails(slice, {4, 0}, "InvalidArgument");
  fails(slice, {INT64_MIN, 1}, "InvalidArgument");
  fails(slice, {1, INT64_MAX}, "InvalidArgument");

  const Make range = [](const Tensor& n) { return tf::range(n[0], n[1], 2); };
  CHECK(off_list(of(range, {1, 6}), tf::int64, {1, 3, 5}) == "");
  CHECK(off_list(of(range, {6, 1}), tf::int64, {}) == "");
  CHECK(off_list(of(range, {INT64_MAX - 3, INT64_MAX}), tf::int64, {real(INT64_MAX) - 3, real(INT64_MAX) - 1}) == "");
  CHECK(off_list(of(range, {INT64_MIN, INT64_MIN + 3}), tf::int64, {real(INT64_MIN), real(INT64_MIN) + 2}) == "");

  const Make eye = [](const Tensor& n) { return tf::eye(n[0], n[1]); };
  CHECK(off(of(eye, {2, 3}), tf::float32, {2, 3}, {1, 0, 0, 0, 1, 0}) == "");
  CHECK(off(of(eye, {0, 3}), tf::float32, {0, 3}, {}) == "");
  fails(eye, {-3, 2}, "InvalidArgument");
  fails(eye, {2, -3}, "InvalidArgument");
  fails(eye, {kHuge, kHuge}, "ResourceExhausted");

  const Make one_hot = [](const Tensor& n) { return tf::one_hot(tf::tensor({1, 0}), n[0]); };
  CHECK(off(of(one_hot, {2}), tf::float32, {2, 2}, {0, 1, 1, 0}) == "");
  CHECK(off(of(one_hot, {0}), tf::float32, {2, 0}, {}) == "");
  fails(one_hot, {-1}, "InvalidArgument");
  fails(one_hot, {INT64_MAX}, "ResourceExhausted");
  fails(one_hot, {int64_t{1} << 62}, "ResourceExhausted");
}

TEST_CASE("oracle: derivatives of slices whose places a run finds, for all axes or the first") {
  for_floating([](auto, DType t) {
    const Tensor x = make(t, {2, 3}, {1, -2, 3, 0.5L, 4, -1});
    const auto holds = [&](const std::function<Tensor(const Tensor&)>& f, const Reals& times) {
      Reals slope, bend;
      const Reals v = values_of(x);
      for (size_t i = 0; i < 6; ++i) slope.push_back(2 * v[i] * times[i]), bend.push_back(2 * times[i]);
      const auto [y, first, second] = derive([&](const Tensor& in) { return tf::square(f(in)); }, x);
      CHECK(off(first, t, {2, 3}, slope, {.zero_sign = false}) == "");
      CHECK(off(second, t, {2, 3}, bend, {.zero_sign = false}) == "");
    };
    const auto rows = [](const Tensor& in) { return tf::shape(in)[0]; };
    holds([&](const Tensor& in) { return tf::slice(in, {rows(in) - 1}, {1}); }, {0, 0, 0, 1, 1, 1});
    holds([&](const Tensor& in) { return tf::slice(in, {rows(in)}, {-1}); }, {0, 0, 0, 0, 0, 0});
    holds([&](const Tensor& in) { return tf::slice(in, {0, rows(in) - 1}, {-1, rows(in)}); }, {0, 1, 1, 0, 1, 1});
    holds([&](const Tensor& in) { return tf::reverse(tf::slice(in, {rows(in) - 2}, {rows(in)}), 0); }, Reals(6, 1));
  });
}
