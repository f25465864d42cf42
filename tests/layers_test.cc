// Layers and losses, in both modes.
#include <cmath>

#include <twofold/twofold.h>

#include "catch.h"
#include "errors.h"
#include "training.h"

namespace nn = twofold::nn;
using namespace training;

TEST_CASE("nll_loss and softmax_cross_entropy are means over the batch", "[nn]") {
  const std::vector<float> scores{1, 2, 3, 0, -1, 0.5f};
  const auto program = [&](tf::Session& session) {
    auto step = tf::step(session, [](Tensor x, Tensor target) {
      tf::GradientTape tape;
      tape.watch(x);
      const Tensor loss = nn::softmax_cross_entropy(x, target);
      return std::vector<Tensor>{loss, nn::nll_loss(x, target), tape.gradient(loss, x)};
    });
    return step(tf::tensor(scores, {2, 3}), std::vector<int32_t>{2, 1});
  };
  const auto all = in_all_modes(program);
  double expected = 0;
  for (int i = 0; i < 2; ++i) {
    double sum = 0;
    for (int k = 0; k < 3; ++k) sum += std::exp(scores[static_cast<size_t>(3 * i + k)]);
    const int target = i ? 1 : 2;
    expected += (std::log(sum) - scores[static_cast<size_t>(3 * i + target)]) / 2;
    for (int k = 0; k < 3; ++k) {
      const double p = std::exp(scores[static_cast<size_t>(3 * i + k)]) / sum;
      CHECK(std::abs(floats(all[2])[static_cast<size_t>(3 * i + k)] - (p - (k == target)) / 2) < 1e-6);
    }
  }
  CHECK(std::abs(all[0].item<float>() - expected) < 1e-6);
  CHECK(all[1].item<float>() == -1);
  const Tensor x = tf::tensor(scores, {2, 3});
  CHECK_ERROR(nn::nll_loss(x, tf::tensor({0, 3})), OutOfRange, "was given the index 3, which is out of range");
  CHECK_ERROR(nn::nll_loss(x, tf::tensor({0, 1, 2})), InvalidArgument, "Batch axis 0 has extents 2 and 3");
  CHECK_ERROR(nn::nll_loss(x, x), InvalidArgument, "takes log_probs (batch, classes) and target (batch)");
}

TEST_CASE("LayerNorm normalises the last axes", "[nn]") {
  const auto all = in_all_modes([](tf::Session& session) {
    nn::LayerNorm norm({2, 2}, {.eps = 0.5});
    auto step = tf::step(session, [&](Tensor x) { return std::vector<Tensor>{norm(x)}; });
    session.run(tf::global_variables_initializer());
    return step(tf::tensor(std::vector<float>{1, 2, 3, 6, 0, 0, 0, 4}, {2, 2, 2}));
  });
  const double means[] = {3, 1}, variances[] = {3.5, 3}, x[] = {1, 2, 3, 6, 0, 0, 0, 4};
  for (size_t i = 0; i < 8; ++i)
    CHECK(std::abs(floats(all[0])[i] - (x[i] - means[i / 4]) / std::sqrt(variances[i / 4] + 0.5)) < 1e-6);
  const tf::EagerMode eager;
  CHECK_ERROR(nn::LayerNorm({3})(tf::zeros({3, 2})), InvalidArgument,
              "LayerNorm of (3,) was given a tensor of shape (3, 2)");
  CHECK_ERROR(nn::LayerNorm({}), InvalidArgument, "LayerNorm needs a known shape of one axis at least, not ()");
}

TEST_CASE("An embedding's rows learn by how often they are taken", "[nn]") {
  const auto all = in_all_modes([](tf::Session& session) {
    nn::Embedding table(4, 2);
    auto step = tf::step(session, [&](Tensor x) {
      const Tensor y = table(x);
      return std::vector<Tensor>{y, tf::gradients(tf::sum(y), {table.weight()})[0], table.weight()};
    });
    session.run(tf::global_variables_initializer());
    return step(std::vector<std::vector<int64_t>>{{3, 0}, {3, 3}});
  });
  CHECK(all[0].shape() == tf::Shape{2, 2, 2});
  CHECK(floats(all[1]) == std::vector<float>{1, 1, 0, 0, 0, 0, 3, 3});
  CHECK((floats(all[0])[0] == floats(all[2])[6] && floats(all[0])[2] == floats(all[2])[0]));
  const tf::EagerMode eager;
  CHECK_ERROR(nn::Embedding(0, 2), InvalidArgument,
              "Embedding needs a positive number of rows and columns, not 0 and 2");
}

TEST_CASE("Conv2d is conv2d with a weight and a bias of its own, and prints as PyTorch's", "[nn]") {
  for (const auto format : {tf::DataFormat::nchw, tf::DataFormat::nhwc}) {
    const auto all = in_all_modes([&](tf::Session& session) {
      const nn::Conv2d layer(2, 3, 3, {.padding = 1, .data_format = format});
      auto step = tf::step(session, [&](Tensor x) {
        const Tensor y = layer(x);
        const auto d = tf::gradients(tf::sum(y * y), {layer.weight(), layer.bias()});
        const bool channels_last = format == tf::DataFormat::nhwc;
        const Tensor bias = channels_last ? tf::reshape(layer.bias(), {3}) : tf::reshape(layer.bias(), {3, 1, 1});
        const Tensor own = tf::conv2d(x, layer.weight(), {.padding = 1, .data_format = format}) + bias;
        return std::vector<Tensor>{y, own, d[0], d[1], layer.weight()};
      });
      session.run(tf::global_variables_initializer());
      return step(tf::tensor(std::vector<float>(2 * 2 * 4 * 4, 0.5f),
                             format == tf::DataFormat::nhwc ? tf::Shape{2, 4, 4, 2} : tf::Shape{2, 2, 4, 4}));
    });
    CHECK(same_bits({all[0]}, {all[1]}));
    CHECK((all[2].shape() == tf::Shape{3, 2, 3, 3} && all[3].shape() == tf::Shape{3}));
    for (const float w : floats(all[4])) CHECK(std::abs(w) <= 1 / std::sqrt(18.f));
  }
  const tf::EagerMode eager;
  CHECK(nn::to_string(nn::Conv2d(3, 16, 3, {.padding = 1})) ==
        "Conv2d(3, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))");
  CHECK(nn::to_string(nn::Conv2d(4, 8, {3, 5}, {.stride = 2, .dilation = {1, 2}, .groups = 2, .bias = false})) ==
        "Conv2d(4, 8, kernel_size=(3, 5), stride=(2, 2), dilation=(1, 2), groups=2, bias=False)");
  CHECK_ERROR(nn::Conv2d(3, 4, 3, {.groups = 2}), InvalidArgument, "Conv2d of 3 to 4 channels cannot be in 2 groups");
  CHECK_ERROR(nn::Conv2d(3, 4, 0), InvalidArgument, "Conv2d needs positive numbers");
  CHECK_ERROR(nn::Conv2d(3, 4, 3, {.bias = false}).bias(), FailedPrecondition, "This Conv2d has no bias");
}

TEST_CASE("A classifier of layers learns, alike in all modes, and prints as PyTorch's", "[nn]") {
  const Tensor x = tf::eagerly([] { return tf::random_normal({6, 2, 2}, {.seed = 3}); });
  const auto all = in_all_modes([&](tf::Session& session) {
    nn::Sequential net(nn::Flatten(), nn::Linear(4, 8), nn::GELU(), nn::LayerNorm({8}), nn::Tanh(), nn::Linear(8, 6),
                       nn::SiLU(), nn::Sigmoid(), nn::Linear(6, 3), nn::LogSoftmax(1));
    CHECK(nn::to_string(net).find("(0): Flatten(start_dim=1, end_dim=-1)\n") != std::string::npos);
    CHECK(nn::to_string(net).find("(9): LogSoftmax(dim=1)\n") != std::string::npos);
    tf::train::Adam opt(net.parameters(), {.lr = 0.05});
    auto step = tf::step(session, [&](Tensor x, Tensor target) {
      const Tensor loss = nn::nll_loss(net(x), target);
      opt.minimize(loss);
      return loss;
    });
    session.run(tf::global_variables_initializer());
    std::vector<Tensor> losses;
    for (int i = 0; i < 40; ++i) losses.push_back(step(x, std::vector<int32_t>{0, 1, 2, 0, 1, 2}));
    return losses;
  });
  CHECK(all.back().item<float>() < 0.2f * all.front().item<float>());
  CHECK(nn::Softmax(0)(tf::tensor({0.f, 0.f}))[1].item<float>() == 0.5f);
}
