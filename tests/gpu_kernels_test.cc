// The GPU against the CPU where the records of the ops do not go: large shapes, broadcasting, options of updates.
#include <algorithm>

#include <twofold/kernels/optimizer/optimizer.h>
#include <twofold/kernels/pointwise/record.h>
#include <twofold/twofold.h>

#include <cmath>
#include <random>

#include "gpu.h"

namespace tf = twofold;

namespace {

tf::Tensor sample(tf::DType dtype, const tf::Shape& shape, double low, double high, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(low, high);
  std::vector<double> values(static_cast<size_t>(shape.num_elements()));
  for (double& v : values) v = uniform(random);
  return tf::cast(tf::tensor(values, shape), dtype);
}

// Largest |a - b| / (1 + |b|) over the elements, both taken to float64 on the CPU; equal infinities and NaNs agree.
double difference(const tf::Tensor& a, const tf::Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  REQUIRE(a.dtype() == b.dtype());
  const tf::Tensor x = tf::cast(a.to("/cpu:0"), tf::float64), y = tf::cast(b.to("/cpu:0"), tf::float64);
  double worst = 0;
  for (size_t i = 0; i < x.data<double>().size(); ++i) {
    const double p = x.data<double>()[i], q = y.data<double>()[i];
    if (p == q || (std::isnan(p) && std::isnan(q))) continue;
    const double d = std::abs(p - q) / (1 + std::abs(q));
    worst = d <= worst ? worst : d;  // a NaN on one side wins
  }
  return worst;
}

double tolerance(tf::DType dtype) { return dtype == tf::float64 ? 1e-12 : dtype == tf::float32 ? 2e-5 : 0; }

using Function = std::function<std::vector<tf::Tensor>(std::span<const tf::Tensor>)>;

// `f` and, where inputs are floating, its gradients by all of them, on both devices.
void check(const Function& f, const std::vector<tf::Tensor>& inputs, bool differentiate, double tolerated) {
  std::vector<std::vector<tf::Tensor>> results;
  for (const char* device : {"/cpu:0", "/gpu:0"}) {
    tf::EagerMode eager;
    std::vector<tf::Tensor> here;
    for (const auto& t : inputs) here.push_back(t.to(device));
    tf::GradientTape tape({.persistent = true});
    std::vector<tf::Differentiable> xs;
    for (const auto& t : here) {
      if (!tf::is_floating(t.dtype())) continue;
      tape.watch(t);
      xs.emplace_back(t);
    }
    std::vector<tf::Tensor> all = f(here);
    const std::vector<tf::Tensor> ys = all;
    for (const auto& y : ys) REQUIRE(y.device() == device);
    if (differentiate) {
      std::vector<tf::Tensor> dys;
      for (size_t i = 0; i < ys.size(); ++i)
        dys.push_back(sample(ys[i].dtype(), ys[i].shape(), -1, 1, 77 + static_cast<unsigned>(i)).to(device));
      for (const auto& dx : tf::gradients(ys, xs, dys)) all.push_back(dx);
    }
    results.push_back(all);
  }
  for (size_t i = 0; i < results[0].size(); ++i) {
    INFO("result " << i);
    REQUIRE(results[0][i].defined() == results[1][i].defined());
    if (results[0][i].defined()) CHECK(difference(results[1][i], results[0][i]) <= tolerated);
  }
}

}  // namespace

TEST_CASE("gpu: every pointwise op, forward and backward") {
  if (testing::lacks_gpu()) return;
  for (const auto& record : tf::pointwise_records()) {
    for (tf::DType dtype : {tf::float32, tf::float64, tf::int32, tf::int64, tf::uint8, tf::bool_}) {
      if (!tf::supports(record.dtypes, dtype)) continue;
      for (const tf::Shape& shape : {tf::Shape{}, tf::Shape{0}, tf::Shape{7, 3}, tf::Shape{1000, 129}}) {
        INFO(record.op << " " << tf::name_of(dtype) << " " << shape.str());
        std::vector<tf::Tensor> inputs;
        for (int i = 0; i < record.arity; ++i)
          inputs.push_back(sample(dtype, shape, dtype == tf::uint8 ? 0 : record.samples[i].low, record.samples[i].high,
                                  5 + static_cast<unsigned>(i)));
        const Function f = [&](std::span<const tf::Tensor> x) {
          return std::vector<tf::Tensor>{record.arity == 1 ? record.unary(x[0]) : record.binary(x[0], x[1])};
        };
        // Integer division rounds through float32 on both; relu_grad and the like are second derivatives of these.
        check(f, inputs, record.differentiable && tf::is_floating(dtype),
              tf::is_integer(dtype) ? 1e-6 : tolerance(dtype));
      }
    }
  }
}

TEST_CASE("gpu: broadcasting, where and cast") {
  if (testing::lacks_gpu()) return;
  const auto a = sample(tf::float32, {5, 1, 7}, -2, 2, 1), b = sample(tf::float32, {4, 1}, -2, 2, 2);
  const auto c = sample(tf::float32, {5, 1, 7}, -2, 2, 3);
  check([](std::span<const tf::Tensor> x) { return std::vector<tf::Tensor>{x[0] * x[1] + x[0]}; }, {a, b}, false, 1e-6);
  check([](std::span<const tf::Tensor> x) { return std::vector<tf::Tensor>{tf::where(x[0] < x[1], x[0], x[1])}; },
        {a, c}, true, 1e-6);
  for (tf::DType to : {tf::float64, tf::int32, tf::int64, tf::uint8, tf::bool_})
    check([&](std::span<const tf::Tensor> x) { return std::vector<tf::Tensor>{tf::cast(x[0] * 100.f, to)}; }, {a},
          false, tolerance(to) + 1e-6);
}

TEST_CASE("gpu: matmul, forward and backward") {
  if (testing::lacks_gpu()) return;
  for (tf::DType dtype : {tf::float32, tf::float64})
    for (bool ta : {false, true})
      for (bool tb : {false, true})
        for (int64_t m : {1, 33, 256})
          for (int64_t k : {0, 5, 300}) {
            const int64_t n = 17;
            const auto a = sample(dtype, ta ? tf::Shape{2, k, m} : tf::Shape{2, m, k}, -1, 1, 3);
            const auto b = sample(dtype, tb ? tf::Shape{2, n, k} : tf::Shape{2, k, n}, -1, 1, 4);
            INFO(tf::name_of(dtype) << " " << ta << tb << " " << m << "x" << k);
            check(
                [&](std::span<const tf::Tensor> x) {
                  return std::vector<tf::Tensor>{tf::matmul(x[0], x[1], {.transpose_a = ta, .transpose_b = tb})};
                },
                {a, b}, true, dtype == tf::float32 ? 1e-4 : 1e-12);
          }
}

TEST_CASE("gpu: batch norm in training mode, forward and fused backward") {
  if (testing::lacks_gpu()) return;
  for (tf::DType dtype : {tf::float32, tf::float64})
    for (const tf::Shape& shape :
         {tf::Shape{6, 3}, tf::Shape{2, 5, 7, 9}, tf::Shape{32, 16, 28, 28}, tf::Shape{1, 2, 1, 3}}) {
      INFO(tf::name_of(dtype) << " " << shape.str());
      const tf::Shape channels{shape[1]};
      const auto x = sample(dtype, shape, -2, 3, 8), scale = sample(dtype, channels, 0.5, 1.5, 9),
                 offset = sample(dtype, channels, -1, 1, 10);
      check(
          [](std::span<const tf::Tensor> in) { return std::vector<tf::Tensor>{tf::batch_norm(in[0], in[1], in[2]).y}; },
          {x, scale, offset}, true, dtype == tf::float32 ? 2e-4 : 1e-10);
    }
}

TEST_CASE("gpu: running statistics have the CPU's bits") {
  if (testing::lacks_gpu()) return;
  for (tf::DType dtype : {tf::float32, tf::float64})
    for (const int64_t channels : {0, 1, 3, 700}) {
      INFO(tf::name_of(dtype) << " " << channels);
      std::vector<tf::Tensor> inputs;
      for (unsigned k = 0; k < 4; ++k) inputs.push_back(sample(dtype, {channels}, 0, 2, k));
      inputs.push_back(sample(dtype, {2, channels, 3}, -1, 1, 4));
      check(
          [](std::span<const tf::Tensor> in) {
            const auto now = tf::running_statistics(in[0], in[1], in[2], in[3], in[4], {.momentum = 0.3});
            return std::vector<tf::Tensor>{now.mean, now.variance};
          },
          inputs, false, 0);
    }
}

TEST_CASE("gpu: updates of optimisers") {
  if (testing::lacks_gpu()) return;
  for (tf::DType dtype : {tf::float32, tf::float64})
    for (int64_t n : {0, 1, 7, 1000003}) {
      INFO(tf::name_of(dtype) << " " << n);
      std::vector<tf::Tensor> inputs{sample(dtype, {n}, -2, 2, 1), sample(dtype, {n}, -2, 2, 2)};
      for (unsigned k = 0; k < 3; ++k) inputs.push_back(sample(dtype, {n}, k == 0 ? 2 : 0.1, k == 0 ? 3 : 1, 3 + k));
      inputs.push_back(sample(tf::int64, {}, 0, 20, 6));
      inputs.push_back(sample(tf::float64, {}, 0.01, 0.1, 7));
      using In = std::span<const tf::Tensor>;
      const auto compare = [&](const Function& f) { check(f, inputs, false, dtype == tf::float32 ? 1e-6 : 1e-12); };
      for (const bool on : {false, true}) {
        compare([on](In x) {
          const std::vector state{x[2], x[3], x[5]};
          return tf::adam_update(x[0], x[1], state, x[6], {.weight_decay = 0.1, .decoupled = on});
        });
        compare([on](In x) {
          return tf::sgd_update(x[0], x[1], x.subspan(2, on), x[6], {.momentum = on * 0.9, .nesterov = on});
        });
        compare([on](In x) {
          return tf::rmsprop_update(x[0], x[1], x.subspan(2, on ? 3 : 1), x[6], {.momentum = on * 0.5, .centered = on});
        });
        compare([on](In x) {
          const std::vector state{x[2], x[5]};
          return tf::adagrad_update(x[0], x[1], std::span(state).first(1 + on), x[6], {.lr_decay = on * 0.1});
        });
      }
    }
}

TEST_CASE("gpu: the same run twice gives the same bits") {
  if (testing::lacks_gpu()) return;
  tf::EagerMode eager;
  const auto x = sample(tf::float32, {64, 32, 14, 14}, -2, 3, 8).to("/gpu:0");
  const auto scale = sample(tf::float32, {32}, 0.5, 1.5, 9).to("/gpu:0");
  const auto once = tf::batch_norm(x, scale, scale).y.to("/cpu:0"),
             twice = tf::batch_norm(x, scale, scale).y.to("/cpu:0");
  CHECK(std::equal(once.data<float>().begin(), once.data<float>().end(), twice.data<float>().begin()));
}
