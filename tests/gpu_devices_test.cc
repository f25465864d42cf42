// Devices: naming them, moving values between them, and graphs placed on several.
#include <map>

#include <twofold/twofold.h>

#include "both_modes.h"
#include "errors.h"
#include "fresh_graph.h"
#include "gpu.h"

namespace tf = twofold;
using tf::Shape;
using tf::Tensor;

namespace {

const Tensor& rows() {
  static const Tensor t = tf::tensor({{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}});
  return t;
}

struct SoftPlacement {
  SoftPlacement() { tf::set_soft_placement(true); }
  ~SoftPlacement() { tf::set_soft_placement(false); }
};

bool equal(const Tensor& a, const std::vector<float>& b) { return elements<float>(a) == b; }

}  // namespace

TEST_CASE("gpu: a device that is absent is an error that lists the devices") {
  FreshGraph fresh;
  CHECK_ERROR(tf::device("/gpu:63"), NotFound, "There is no device '/gpu:63'");
  CHECK_ERROR(tf::device("/gpu:63"), NotFound, "Devices: /cpu:0");
  CHECK_ERROR(rows().to("/gpu:63"), NotFound, "Devices: /cpu:0");
  CHECK_ERROR(tf::Session({.device = "/gpu:63"}), NotFound, "Devices: /cpu:0");
  for (const char* name : {"/tpu:0", "/gpu:", "/gpu:x", "/gpu:1234", "gpu0"})
    CHECK_ERROR(tf::device(name), InvalidArgument, "is no device name");
}

TEST_CASE("gpu: soft placement takes the CPU instead of a device that is absent") {
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32), y = x * 2.f;
  const tf::Session session({.device = "/gpu:63", .soft_placement = true});
  const Tensor doubled = session.run(y, {{x, 4.f}});
  CHECK(doubled.device() == "/cpu:0");
  CHECK(doubled.item<float>() == 8);

  const SoftPlacement soft;
  const auto guard = tf::device("/gpu:63");
  const tf::EagerMode eager;
  CHECK((rows() + rows()).device() == "/cpu:0");
  CHECK(rows().to("/gpu:62").same_as(rows()));
}

TEST_CASE("gpu: the GPU is listed, and what is on it says so") {
  if (testing::lacks_gpu()) return;
  const auto devices = tf::list_devices();
  CHECK(devices[0] == "/cpu:0");
  CHECK(devices[1] == "/gpu:0");
  const tf::EagerMode eager;
  const Tensor there = rows().to("gpu");
  CHECK(there.device() == "/gpu:0");
  CHECK(rows().device() == "/cpu:0");
  CHECK(printed(there) == printed(rows()));
  CHECK(tf::repr(there).find("device=/gpu:0") != std::string::npos);
  CHECK((there + there).device() == "/gpu:0");
  CHECK(there[1].device() == "/gpu:0");
  CHECK(equal(there[1], {4, 5, 6}));
  const auto guard = tf::device("/gpu:0");
  CHECK(tf::exp(rows()).device() == "/gpu:0");
  CHECK(tf::random_normal({3}).device() == "/gpu:0");
  {
    const auto inner = tf::device("/cpu:0");
    CHECK(tf::exp(there).device() == "/cpu:0");
  }
  tf::Variable v(1.f);
  CHECK(v.read().device() == "/gpu:0");
  CHECK(v.assign_add(2.f).device() == "/gpu:0");
  CHECK(v.item<float>() == 3);
}

TEST_CASE("gpu: every dtype and shape goes there and comes back") {
  if (testing::lacks_gpu()) return;
  const tf::EagerMode eager;
  for (int d = 0; d < tf::kDTypeCount; ++d)
    for (const Shape& shape : {Shape{}, Shape{0}, Shape{1}, Shape{3, 0, 2}, Shape{7, 5}, Shape{1 << 20}}) {
      std::vector<double> values(static_cast<size_t>(shape.num_elements()));
      for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i * 7 % 101);
      const Tensor t = tf::cast(tf::tensor(values, shape), static_cast<tf::DType>(d));
      INFO(tf::repr(t));
      const Tensor there = t.to("/gpu:0"), back = there.to("/cpu:0");
      CHECK(there.to("/gpu:0").same_as(there));
      CHECK(back.device() == "/cpu:0");
      CHECK(testing::same_bits(back, t));
      CHECK(testing::same_bits(there, t));  // elements are read through the host
      if (shape.rank() == 2 && shape[0] == 7) CHECK(testing::same_bits(there[3].to("/cpu:0"), t[3]));
    }
}

TEST_CASE("gpu: Tensor::to is differentiable, in both modes") {
  if (testing::lacks_gpu()) return;
  const auto program = [](const Tensor& x) {
    tf::GradientTape tape({.persistent = true});
    tape.watch(x);
    const Tensor there = x.to("/gpu:0"), squares = there * there;
    const Tensor y = tf::sum(squares.to("/cpu:0") * 3.f);
    const Tensor first = tape.gradient(y, x);
    return std::vector<Tensor>{there, squares, y, first, tape.gradient(first, x)};
  };
  const std::vector<Tensor> values = tf::eagerly([&] { return program(rows()); });
  CHECK(values[0].device() == "/gpu:0");
  CHECK(values[1].device() == "/gpu:0");
  CHECK(values[2].device() == "/cpu:0");
  CHECK(values[2].item<float>() == 273);
  CHECK(equal(values[3], {6, 12, 18, 24, 30, 36}));
  CHECK(equal(values[4], {6, 6, 6, 6, 6, 6}));

  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {2, 3});
  const std::vector<Tensor> symbols = program(x);
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize});
    for (int run = 0; run < 3; ++run) {
      const auto fetched = session.run(symbols, {{x, rows()}});
      for (size_t i = 0; i < values.size(); ++i) {
        INFO("result " << i << " of run " << run);
        CHECK(testing::same_bits(fetched[i], values[i]));
      }
      CHECK(fetched[1].device() == "/gpu:0");
      CHECK(fetched[2].device() == "/cpu:0");
    }
  }
}

TEST_CASE("gpu: one graph on two devices, with what goes between them") {
  if (testing::lacks_gpu()) return;
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {2, 3});
  const tf::Variable w({10.f, 20.f, 30.f});
  const auto on = [](const char* device, auto f) {
    const auto guard = tf::device(device);
    return f();
  };
  const Tensor on_cpu = on("/cpu:0", [&] { return x + 1.f; });
  const Tensor on_gpu = on("/gpu:0", [&] { return on_cpu * w; });
  const Tensor both = on("/cpu:0", [&] { return tf::sum(on_gpu + on_cpu, 1); });
  const Tensor again = on("/gpu:0", [&] { return both * 2.f; });
  const tf::Operation initialize = tf::global_variables_initializer();
  CHECK(on_gpu.device() == "/gpu:0");
  CHECK(on_cpu.device() == "/cpu:0");
  for (const char* device : {"/cpu:0", "/gpu:0"})
    for (const bool optimize : {false, true}) {
      INFO(device << " " << optimize);
      const tf::Session session({.optimize = optimize, .device = device});
      session.run(initialize);
      for (const Tensor& fed : {rows(), rows().to("/gpu:0"), rows()}) {
        const auto [a, b, c, d] = session.run({on_cpu, on_gpu, both, again}, {{x, fed}});
        CHECK((a.device() == "/cpu:0" && b.device() == "/gpu:0" && c.device() == "/cpu:0" && d.device() == "/gpu:0"));
        CHECK(equal(a, {2, 3, 4, 5, 6, 7}));
        CHECK(equal(b, {20, 60, 120, 50, 120, 210}));
        CHECK(equal(c, {209, 398}));
        CHECK(equal(d, {418, 796}));
      }
    }
}

TEST_CASE("gpu: feeds from either device, fetches stay on the GPU, are snapshots and print") {
  if (testing::lacks_gpu()) return;
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, tf::unknown_shape), y = x * 2.f + 1.f;
  const tf::Variable v({{0.f, 0.f, 0.f}, {0.f, 0.f, 0.f}});
  const Tensor added = v.assign_add(y);
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize, .device = "/gpu:0"});
    session.run(tf::global_variables_initializer());
    std::vector<Tensor> results;
    for (int run = 0; run < 6; ++run)
      results.push_back(session.run({y, added}, {{x, run % 2 ? rows() : rows().to("/gpu:0")}})[1]);
    for (size_t run = 0; run < 6; ++run) {
      CHECK(results[run].device() == "/gpu:0");
      const auto n = static_cast<float>(run + 1);
      CHECK(equal(results[run], {3 * n, 5 * n, 7 * n, 9 * n, 11 * n, 13 * n}));
    }
    CHECK(printed(results[0]) == "[[ 3.  5.  7.]\n [ 9. 11. 13.]]");
    CHECK(session.run(v).device() == "/gpu:0");
    CHECK(session.run(x + 1.f, {{x, 2.f}}).item<float>() == 3);  // a literal
    const Tensor fed = rows().to("/gpu:0");
    CHECK(testing::same_bits(session.run(x, {{x, fed}}), fed));
    const auto call = session.make_callable(y, {x});
    CHECK(equal(call(fed), {3, 5, 7, 9, 11, 13}));
    CHECK(equal(call(rows()), {3, 5, 7, 9, 11, 13}));
    CHECK(call(1).item<float>() == 3);
  }
}

TEST_CASE("gpu: several GPUs") {
  if (testing::lacks_second_gpu()) return;
  const tf::EagerMode eager;
  const Tensor first = rows().to("/gpu:0"), second = first.to("/gpu:1");
  CHECK(second.device() == "/gpu:1");
  CHECK(testing::same_bits(second, rows()));
  CHECK((second * second).device() == "/gpu:1");
  CHECK(testing::same_bits(tf::exp(second), tf::exp(first)));
  CHECK_ERROR(first + second, InvalidArgument, "has inputs on /gpu:0 and on /gpu:1");
  {
    const auto guard = tf::device("/gpu:1");
    const Tensor sum = first + second;
    CHECK(sum.device() == "/gpu:1");
    CHECK(equal(sum, {2, 4, 6, 8, 10, 12}));
  }
  const tf::DeferredMode deferred;
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {2, 3});
  const auto halves = [&](const char* device) {
    const auto guard = tf::device(device);
    const tf::Variable w(3.f);
    return tf::exp(x) * w;
  };
  const Tensor a = halves("/gpu:0"), b = halves("/gpu:1"), c = a - b;
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize, .device = "/gpu:1"});
    session.run(tf::global_variables_initializer());
    for (int run = 0; run < 3; ++run) {
      const auto [p, q, r] = session.run({a, b, c}, {{x, rows()}});
      CHECK((p.device() == "/gpu:0" && q.device() == "/gpu:1"));
      CHECK(testing::same_bits(p, q));
      CHECK(equal(r, {0, 0, 0, 0, 0, 0}));
    }
  }
  // Work on both going on at once.
  const Tensor start = tf::eagerly([] { return tf::random_uniform({512, 512}); });
  std::vector<Tensor> states{start.to("/gpu:0"), start.to("/gpu:1")};
  for (int i = 0; i < 20; ++i)
    for (Tensor& t : states) t = tf::eagerly([&] { return tf::tanh(tf::matmul(t, t) * 0.01f); });
  CHECK(testing::same_bits(states[0], states[1]));
}

TEST_CASE("gpu: a run on several GPUs that fails on any of them leaves variables alone on all") {
  if (testing::lacks_second_gpu()) return;
  FreshGraph fresh;
  const Tensor i = tf::placeholder(tf::int32, {1});
  std::vector<tf::Variable> counts;
  std::vector<Tensor> added, taken;
  for (const char* name : {"/gpu:0", "/gpu:1"}) {
    const auto guard = tf::device(name);
    counts.emplace_back(tf::zeros({1}));
    added.push_back(counts.back().assign_add({1.f}));
    taken.push_back(tf::gather(tf::constant({1.f, 2.f}) * 3.f, i));
  }
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize, .device = "/gpu:0"});
    session.run(tf::global_variables_initializer());
    const auto counts_are = [&](float n) {
      for (const tf::Variable& v : counts)
        if (session.run(v).item<float>() != n) return false;
      return true;
    };
    for (size_t failing = 0; failing < 2; ++failing) {
      for (int run = 0; run < 3; ++run)
        CHECK_ERROR(session.run(std::vector<tf::Fetch>{added[0], added[1], taken[failing]}, {{i, {5}}}), OutOfRange,
                    "the index 5");
      CHECK(counts_are(static_cast<float>(failing)));
      session.run(std::vector<tf::Fetch>{added[0], added[1], taken[failing]}, {{i, {1}}});
      CHECK(counts_are(static_cast<float>(failing + 1)));
    }
  }
}

TEST_CASE("gpu: what is taken to where an op runs is not observed as the op") {
  if (testing::lacks_gpu()) return;
  struct Counter : tf::Observer {
    void observe(const tf::Observation& op) override { ++seen[op.identity]; }
    std::map<tf::OpIdentity, int> seen;
  } counter;
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {2, 3});
  const auto on = [](const char* name, const auto& f) {
    const auto device = tf::device(name);
    return f();
  };
  const Tensor on_host = on("/cpu:0", [&] { return tf::exp(x); });
  const Tensor on_gpu = on("/gpu:0", [&] { return tf::tanh(on_host) + x; });
  const Tensor back = on("/cpu:0", [&] { return tf::sigmoid(on_gpu); });
  const tf::Session session;
  const tf::Observing observing(counter);
  (void)session.run(back, {{x, rows()}});
  CHECK(counter.seen.size() == 4);  // Exp, Tanh, Add, Sigmoid
  for (const auto& [identity, times] : counter.seen) {
    INFO(identity.op);
    CHECK(times == 1);
  }
}

TEST_CASE("gpu: elements of arrays and slices of loops stay on the GPU, and give what the CPU gives") {
  if (testing::lacks_gpu()) return;
  // Of numbers that both devices compute exactly.
  const auto program = [](const Tensor& x) {
    tf::GradientTape tape;
    tape.watch(x);
    const Tensor s = tf::scan([](Tensor a, Tensor v) { return a * 0.5f + v * v; }, x, tf::zeros_like(x[0]));
    const Tensor m = tf::map_fn([](Tensor v, Tensor u) { return v * u; }, std::tuple{x, s});
    const tf::TensorArray a = tf::TensorArray(tf::float32, 3).unstack(x).write(1, s[2]);
    const Tensor y = a.stack() * m;
    return std::vector<Tensor>{y, a.read(2), tape.gradient(tf::sum(y), {x})[0]};
  };
  const Tensor x = tf::tensor({{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}});
  const auto expected = tf::eagerly([&] { return program(x); });
  const auto check = [&](const std::vector<Tensor>& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      INFO("result " << i << ": " << values[i] << " against " << expected[i]);
      CHECK(values[i].device() == "/gpu:0");
      CHECK(testing::same_bits(values[i].to("/cpu:0"), expected[i]));
    }
  };
  tf::eagerly([&] {
    const auto guard = tf::device("/gpu:0");
    check(program(x.to("/gpu:0")));
  });
  FreshGraph fresh;
  const Tensor fed = tf::placeholder(tf::float32, {-1, 2});
  const auto symbols = program(fed);
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize, .device = "/gpu:0"});
    for (int run = 0; run < 3; ++run) check(session.run(symbols, {{fed, x}}));
  }
}
