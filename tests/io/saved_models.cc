#include "saved_models.h"

#include <map>
#include <tuple>

namespace tf = twofold;
namespace nn = twofold::nn;
namespace train = twofold::train;
using tf::Tensor;

namespace saved_models {
namespace {

constexpr tf::SaveOptions kOptions = {.source_lines = false};

void write_training(const std::string& path) {
  nn::Sequential net(nn::Linear(2, 3), nn::ReLU(), nn::Dropout(0.25), nn::Linear(3, 1));
  train::Adam opt(net.parameters(), {.lr = 0.125});
  auto predict = tf::function([&](Tensor x) { return net(x); }, {.arguments = {"x"}, .results = {"y"}});
  auto fit = tf::step([&](Tensor x, Tensor y) {
    const Tensor loss = nn::mse_loss(net(x), y);
    opt.minimize(loss);
    return loss;
  });
  const Tensor x = tf::tensor({1.f, 2.f, -1.f, 0.5f}, tf::Shape{2, 2}), y = tf::tensor({1.f, 0.f}, tf::Shape{2, 1});
  predict(x);
  for (int i = 0; i < 2; ++i) fit(x, y);
  tf::save(path, {{"predict", predict}, {"fit", fit}}, kOptions);
}

Tensor cube_of(const tf::Variable& w, const Tensor& x) {
  return std::get<1>(tf::while_loop([](Tensor n, Tensor) { return n < 3; },
                                    [&](Tensor n, Tensor y) {
                                      return std::tuple{n + 1,
                                                        tf::cond(
                                                            n < 2, [&] { return y * w; }, [&] { return w * y; })};
                                    },
                                    std::tuple{tf::constant(0), x}));
}

void write_control(const std::string& path) {
  tf::Variable w(2.f, {.name = "w"});
  train::SGD opt({w}, {.lr = 1. / 64, .momentum = 0.5});
  auto fit = tf::step([&](Tensor x, Tensor y) {
    const Tensor loss = tf::square(cube_of(w, x) - y);
    opt.minimize(loss);
    return loss;
  });
  auto slope = tf::function([&](Tensor x) {
    tf::GradientTape tape;
    tape.watch(x);
    return tape.gradient(cube_of(w, x) * x, x);
  });
  fit(1.f, 7.f);
  slope(1.f);
  tf::save(path, {{"fit", fit}, {"slope", slope}}, kOptions);
}

void write_draws(const std::string& path) {
  auto noise = tf::function([](Tensor x) { return std::tuple{x + tf::random_normal({2}), tf::random_permutation(5)}; });
  auto sample = tf::function([](Tensor n) {
    return std::get<1>(tf::while_loop([&](Tensor i, Tensor) { return i < n; },
                                      [](Tensor i, Tensor sum) {
                                        return std::tuple{i + 1, sum + tf::random_uniform({})};
                                      },
                                      std::tuple{tf::constant(0), tf::constant(0.f)}));
  });
  noise(tf::tensor({1.f, 2.f}));
  sample(2);
  tf::save(path, {{"noise", noise}, {"sample", sample}}, kOptions);
}

void write_nests(const std::string& path) {
  auto inner = tf::function([](Tensor x, Tensor y) { return x * y + x; });
  auto pair = tf::function([&](std::pair<Tensor, Tensor> p) {
    return std::map<std::string, Tensor>{{"a", inner(p.first, p.second)}, {"b", inner(p.second, p.first)}};
  });
  const Tensor table = tf::range(2000);
  auto list = tf::function([&](std::vector<Tensor> l) {
    return std::vector<Tensor>{tf::gather(table, l[0]), tf::concat({l[1], l[1]}, 0)};
  });
  pair(std::pair{tf::tensor(2.f), tf::tensor(3.f)});
  list(std::vector{tf::tensor({3, 1}), tf::tensor({1.f})});
  tf::save(path, {{"pair", pair}, {"list", list}}, kOptions);
}

void write_types(const std::string& path) {
  auto types = tf::function([](Tensor x) {
    const Tensor image = tf::reshape(x, {1, 2, 3, 1});
    const Tensor wide = tf::cast(x, tf::float64), whole = tf::cast(x, tf::int64), bytes = tf::cast(x > 2.f, tf::uint8);
    const Tensor rows = tf::check_numerics(tf::transpose(tf::reshape(x, {2, 3}), {1, 0}), "rows");
    return std::vector<Tensor>{tf::sum(wide * 0.5),
                               tf::cumsum(whole, 0),
                               bytes,
                               tf::softmax(rows),
                               tf::matmul(rows, tf::reshape(tf::slice(x, {0}, {4}), {2, 2})),
                               tf::argmax(x, 0),
                               image,
                               tf::einsum("ij,jk->k", {rows, tf::reshape(x, {2, 3})})};
  });
  types(tf::tensor({1.f, 5.f, 2.f, 0.f, 3.f, 4.f}));
  tf::save(path, {{"types", types}}, kOptions);
}

}  // namespace

void write_all(const std::string& folder) {
  const tf::EagerMode eager;
  void (*const writers[])(const std::string&) = {write_training, write_control, write_draws, write_nests, write_types};
  for (size_t i = 0; i < kNames.size(); ++i) {
    tf::set_random_seed(static_cast<int64_t>(i) + 1);
    writers[i](folder + "/" + kNames[i] + ".safetensors");
  }
}

}  // namespace saved_models
