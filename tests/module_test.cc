// Modules: parts, training and evaluation, state; BatchNorm2d.
#include <cmath>

#include <twofold/twofold.h>

#include "catch.h"
#include "errors.h"
#include "training.h"

namespace nn = twofold::nn;
using namespace training;

namespace {

std::vector<std::string> names(const nn::Module::NamedVariables& list) {
  std::vector<std::string> all;
  for (const auto& [name, v] : list) all.push_back(name);
  return all;
}

struct Mean {
  double mean = 0, variance = 0;
  Mean(std::span<const float> x, size_t channel, size_t channels, size_t inner) {
    double n = 0;
    for (size_t i = 0; i < x.size(); ++i)
      if (i / inner % channels == channel) mean += static_cast<double>(x[i]), ++n;
    mean /= n;
    for (size_t i = 0; i < x.size(); ++i)
      if (i / inner % channels == channel) variance += std::pow(static_cast<double>(x[i]) - mean, 2) / n;
  }
};

}  // namespace

TEST_CASE("BatchNorm2d normalises by the batch and gathers statistics, which it evaluates by", "[nn]") {
  constexpr double kEps = 0.01, kMomentum = 0.3;
  for (const auto format : {tf::DataFormat::nchw, tf::DataFormat::nhwc}) {
    const bool last = format == tf::DataFormat::nhwc;
    const tf::Shape shape = last ? tf::Shape{2, 2, 2, 3} : tf::Shape{2, 3, 2, 2};
    std::vector<float> x(24);
    for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i)) * 3 + 1;
    const auto all = in_all_modes([&](tf::Session& session) {
      nn::BatchNorm2d norm(3, {.eps = kEps, .momentum = kMomentum, .data_format = format});
      auto step = tf::step(session, [&](Tensor in) {
        const Tensor y = norm(in);
        return std::vector<Tensor>{y, tf::gradients(tf::sum(y * y * y), {norm.weight(), norm.bias(), in})[2]};
      });
      session.run(tf::global_variables_initializer());
      const Tensor in = tf::tensor(x, shape);
      std::vector<Tensor> values = step(in);
      values.push_back(step.evaluate(norm.running_mean()));
      values.push_back(step.evaluate(norm.running_var()));
      norm.eval();  // the same step
      const auto evaluated = step(in);
      values.insert(values.end(), evaluated.begin(), evaluated.end());
      values.push_back(step.evaluate(norm.running_mean()));
      norm.train();
      values.push_back(step(in)[0]);
      values.push_back(step.evaluate(norm.running_mean()));
      return values;
    });
    const size_t inner = last ? 1 : 4;
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t c = i / inner % 3;
      const Mean batch(x, c, 3, inner);
      CHECK(std::abs(floats(all[0])[i] - (x[i] - batch.mean) / std::sqrt(batch.variance + kEps)) < 1e-5);
      const double mean = kMomentum * batch.mean, variance = 1 - kMomentum + kMomentum * batch.variance * 8 / 7;
      CHECK(std::abs(floats(all[2])[c] - mean) < 1e-6);
      CHECK(std::abs(floats(all[3])[c] - variance) < 1e-5);
      CHECK(std::abs(floats(all[4])[i] - (x[i] - mean) / std::sqrt(variance + kEps)) < 1e-5);
      CHECK(std::abs(floats(all[8])[c] - (1 - kMomentum) * mean - kMomentum * batch.mean) < 1e-6);
    }
    CHECK(same_bits({all[6]}, {all[2]}));  // evaluating left them alone
    CHECK(same_bits({all[7]}, {all[0]}));
    CHECK_FALSE(same_bits({all[1]}, {all[5]}));
  }
}

TEST_CASE("Statistics follow a batch norm without a step, too", "[nn]") {
  tf::Graph graph;
  const auto scope = graph.as_default();
  nn::BatchNorm2d norm(1, {.momentum = 1, .affine = false});
  const Tensor x = tf::placeholder(tf::float32, {-1, 1, 1, 2});
  const Tensor y = norm(x);
  tf::Session session;
  session.run(tf::global_variables_initializer());
  session.run(y, {{x, tf::tensor({1.f, 3.f}, {1, 1, 1, 2})}});
  CHECK(floats(session.run(norm.running_mean())) == std::vector{2.f});
  CHECK(floats(session.run(norm.running_var())) == std::vector{2.f});
}

TEST_CASE("A module tells its parts by path, and copies are the same module", "[nn]") {
  const tf::EagerMode eager;
  const nn::BatchNorm2d norm(4);
  nn::Sequential net(nn::Conv2d(3, 4, 3), norm, nn::Sequential(nn::ReLU(), norm));
  CHECK(names(net.named_parameters()) == std::vector<std::string>{"0.weight", "0.bias", "1.weight", "1.bias"});
  CHECK(names(net.named_buffers()) == std::vector<std::string>{"1.running_mean", "1.running_var"});
  CHECK(net.state().size() == 6);
  CHECK(norm.is_training());
  net.eval();
  CHECK_FALSE(norm.is_training());
  CHECK(nn::to_string(norm) == "BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)");
  for (const auto& v : net.named_buffers()) CHECK_FALSE(v.second.trainable());
}

TEST_CASE("Dropout drops while training and not while evaluating; pooling layers pool", "[nn]") {
  const auto all = in_all_modes([](tf::Session& session) {
    nn::Sequential net(nn::Dropout(0.25), nn::MaxPool2d(2));
    nn::Dropout drop(0.5);
    const nn::AvgPool2d mean({1, 2}, {.stride = 1});
    auto step = tf::step(session, [&](Tensor x) { return std::vector<Tensor>{drop(x), net(x), mean(x)}; });
    const Tensor x = tf::tensor(std::vector<float>(64, 3), {1, 1, 8, 8});
    std::vector<Tensor> values = step(x);
    drop.eval(), net.eval();
    const auto evaluated = step(x);
    values.insert(values.end(), evaluated.begin(), evaluated.end());
    return values;
  });
  int dropped = 0;
  for (const float v : floats(all[0])) {
    CHECK((v == 0 || v == 6));
    dropped += v == 0;
  }
  CHECK((dropped > 10 && dropped < 54));
  CHECK(all[1].shape() == tf::Shape{1, 1, 4, 4});
  for (const float v : floats(all[3])) CHECK(v == 3);
  for (const float v : floats(all[4])) CHECK(v == 3);
  CHECK(all[5].shape() == tf::Shape{1, 1, 8, 7});
  CHECK(nn::to_string(nn::MaxPool2d(2)) ==
        "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)");
  CHECK(nn::to_string(nn::AvgPool2d({3, 2}, {.stride = 1, .padding = 1})) ==
        "AvgPool2d(kernel_size=(3, 2), stride=1, padding=1)");
  CHECK(nn::to_string(nn::Dropout()) == "Dropout(p=0.5, inplace=False)");
  CHECK_ERROR(nn::Dropout(1), InvalidArgument, "Dropout of rate 1; it must be in [0, 1)");
}

TEST_CASE("What a step cannot do again at each call is refused in both modes", "[nn]") {
  for (const How how : {How::eager, How::deferred})
    in_mode(how, [](tf::Session& session) {
      nn::Dropout drop;
      auto step = tf::step(session, [&](Tensor x) {
        drop.eval();
        return drop(x);
      });
      CHECK_ERROR(step(1.f), FailedPrecondition, "cannot be set to train or to evaluate in the body of a step");
      return 0;
    });
  const tf::EagerMode eager;
  const Tensor empty = tf::zeros({1, 1, 0, 4});
  CHECK_ERROR(tf::max_pool2d(empty, 2, {.stride = 1, .padding = 1}), InvalidArgument, "has nothing to pool");
  CHECK_ERROR(tf::avg_pool2d(empty, 2, {.stride = 1, .padding = 1}), InvalidArgument, "has nothing to pool");
  const Tensor bytes = tf::tensor(std::vector<uint8_t>{200, 100});
  CHECK(tf::einsum("i,k->k", {bytes, tf::tensor(std::vector{1})}).item<int32_t>() == 300);
  const Tensor image = tf::cast(tf::ones_like(tf::zeros({1, 1, 3, 3})), tf::float64);
  const Tensor y = tf::conv2d(image, image, tf::tensor(std::vector{0.5f}));
  CHECK(y.dtype() == tf::float64);
  CHECK(y.item<double>() == 9.5);
  tf::DeferredMode deferred;
  CHECK(tf::einsum("ii->i", {tf::tensor(std::vector<float>{1, 2, 3, 4}, {2, 2})}).is_concrete());
}

TEST_CASE("Mistakes with batch norm are told", "[nn]") {
  const tf::EagerMode eager;
  CHECK_ERROR(nn::BatchNorm2d(0), InvalidArgument, "BatchNorm2d needs a positive number of channels, not 0");
  CHECK_ERROR(nn::BatchNorm2d(2, {.momentum = 1.5}), InvalidArgument, "a momentum in [0, 1], not 1e-05 and 1.5");
  CHECK_ERROR(nn::BatchNorm2d(2)(tf::zeros({1, 3, 2, 2})), InvalidArgument,
              "BatchNorm2d of 2 channels was given a tensor of shape (1, 3, 2, 2)");
  CHECK_ERROR(nn::BatchNorm2d(2)(tf::zeros({1, 2})), InvalidArgument, "was given a tensor of shape (1, 2)");
  CHECK_ERROR(nn::BatchNorm2d(2, {.affine = false}).weight(), FailedPrecondition, "has no weight and bias");
  struct Own : nn::Module {
    void add_itself() { add("self", *this); }
    Tensor forward(const Tensor& x) const override { return x; }
  };
  CHECK_ERROR(Own().add_itself(), InvalidArgument, "The module Own cannot be a part of itself");
}

TEST_CASE("State is read and set by name, in both modes", "[nn]") {
  for (const How how : {How::eager, How::deferred}) {
    in_mode(how, [](tf::Session& session) {
      nn::Linear layer(2, 1);
      tf::train::Adam opt(layer.parameters(), {.lr = 0.1});
      auto step = tf::step(session, [&](Tensor x) {
        const Tensor loss = tf::sum(layer(x));
        opt.minimize(loss);
        return loss;
      });
      session.run(tf::global_variables_initializer());
      const std::vector<std::vector<float>> x{{1, 2}};
      step(x);
      auto state = layer.state();
      for (const auto& [name, v] : opt.state()) state.emplace("opt." + name, v);
      CHECK(state.size() == 8);
      const auto saved = tf::read_state(session, state);
      const float second = step(x).item<float>(), third = step(x).item<float>();
      tf::load_state(session, state, saved);
      CHECK(step(x).item<float>() == second);
      CHECK(step(x).item<float>() == third);

      const auto before = tf::read_state(session, layer.state());
      CHECK_ERROR(tf::load_state(session, layer.state(), {}), NotFound,
                  "There is no value for the variables 'bias', 'weight'");
      CHECK_ERROR(tf::load_state(session, layer.state(), saved), InvalidArgument,
                  "There is no variable for the values 'opt.m.0'");
      auto wrong = before;
      wrong.at("weight") = tf::zeros_like(tf::tensor({1.f, 2.f}));
      CHECK_ERROR(
          tf::load_state(session, layer.state(), wrong), InvalidArgument,
          "The value of 'weight' is of dtype float32 and shape (2,), but the variable is of float32 and (1, 2)");
      wrong.at("weight") = Tensor();
      CHECK_ERROR(tf::load_state(session, layer.state(), wrong), InvalidArgument, "");
      const auto after = tf::read_state(session, layer.state());
      for (const auto& [name, value] : before) CHECK(same_bits({value}, {after.at(name)}));
      tf::load_state(session, layer.state(), {{"bias", tf::tensor(std::vector{7.f})}, {"other", before.at("bias")}},
                     {.ignore_missing = true, .ignore_unexpected = true});
      CHECK(floats(tf::read_state(session, layer.state()).at("bias")) == std::vector{7.f});
      CHECK(same_bits({tf::read_state(session, layer.state()).at("weight")}, {before.at("weight")}));
      return 0;
    });
  }
}

TEST_CASE("A step's floating arguments may be differentiated by", "[train]") {
  const auto all = in_all_modes([](tf::Session& session) {
    auto step = tf::step(session, [](Tensor x) { return tf::gradients(x * x, {x}); });
    return step(std::vector<float>{1, 2});
  });
  CHECK(floats(all[0]) == std::vector<float>{2, 4});
}
