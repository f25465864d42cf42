// Writes the saved programs that saved_versions_test.cc runs, as this version of the library saves them. When a version
// is released: build/tests/saved_programs tests/data/saved/VERSION
#include <iostream>
#include <string>
#include <tuple>
#include <vector>

#include <twofold/twofold.h>

namespace tf = twofold;
using tf::Tensor;

namespace {

std::string g_folder;
void save(const std::string& name, std::initializer_list<tf::internal::ToSave> functions) {
  tf::save(g_folder + "/" + name + ".safetensors", functions, {.source_lines = name == "lines"});
}

void functions() {
  auto affine = tf::function([](Tensor x, Tensor y) { return x * 2.f + y; }, {.arguments = {"x", "y"}});
  affine(tf::tensor({1.f, 2.f}), 3.f);
  save("affine", {{"f", affine}});
  save("lines", {{"f", affine}});

  auto shapes = tf::function(
      [](Tensor x) {
        const Tensor y = tf::transpose(tf::reshape(x, {2, -1}));
        return std::tuple{tf::concat({y, y}, 1), tf::sum(y, {0}, {.keepdims = true}), y[0], tf::argmax(y, 1)};
      },
      {.shapes = {{2, 3}}});
  shapes(tf::zeros({2, 3}));
  save("shapes", {{"f", shapes}});

  auto several = tf::function([](Tensor x) { return x + x; });
  several(1.f), several(int64_t{1}), several(tf::tensor({1.0, 2.0}));
  save("several", {{"f", several}});

  auto constants = tf::function([c = tf::range(3.f)](Tensor x) {
    return std::tuple{x * c, c, tf::gather(tf::tensor({{1.f, 2.f}, {3.f, 4.f}}), tf::cast(x, tf::int32))};
  });
  constants(tf::tensor({1.f, 0.f, 1.f}));
  save("constants", {{"f", constants}});

  auto draws = tf::function([](Tensor x) { return tf::random_normal({2}) * x + tf::random_uniform({2}); });
  draws(1.f), draws(1.f);
  save("draws", {{"f", draws}});
}

void control_flow() {
  auto branch = tf::function([](Tensor x) {
    return tf::cond(
        tf::sum(x) > 0.f, [&] { return x * x; }, [&] { return tf::exp(x); });
  });
  branch(tf::tensor({1.f, 2.f}));
  save("branch", {{"f", branch}});

  auto loop = tf::function([](Tensor x) {
    return std::get<1>(tf::while_loop([](Tensor i, Tensor) { return i < 3; },
                                      [&](Tensor i, Tensor y) {
                                        return std::tuple{i + 1, y * x};
                                      },
                                      std::tuple{tf::constant(0), x}));
  });
  loop(2.f);
  save("loop", {{"f", loop}});

  auto slopes = tf::function([&](Tensor x) {
    tf::GradientTape tape;
    tape.watch(x);
    return tape.gradient(tf::sum(branch(x)) + loop(tf::sum(x)), x);
  });
  slopes(tf::tensor({1.f, 2.f}));
  save("slopes", {{"f", slopes}});

  auto list = tf::function([](Tensor x) {
    return tf::map_fn([](Tensor v) { return v * v; }, x) + tf::TensorArray(tf::float32, 2).unstack(x).stack();
  });
  list(tf::tensor({1.f, 2.f}));
  save("list", {{"f", list}});

  auto guarded = tf::trace([](Tensor x) { return tf::sum(x) > 0 ? x : -x; }, tf::tensor({1.f}));
  guarded(tf::tensor({-1.f}));
  save("guarded", {{"f", guarded}});
}

void training() {
  tf::Variable w(tf::tensor({{1.f, 2.f}, {3.f, 4.f}}), {.name = "w"}), b(tf::zeros({2}), {.name = "b"});
  tf::train::Adam opt({w, b}, {.lr = 0.01});
  auto predict = tf::function([&](Tensor x) { return tf::relu(tf::matmul(x, w) + b); });
  auto fit = tf::step([&](Tensor x, Tensor y) {
    const Tensor loss = tf::mean(tf::square(tf::matmul(x, w) + b - y));
    opt.minimize(loss);
    return tf::print(loss, "loss ");
  });
  predict(tf::ones({1, 2}));
  fit(tf::ones({1, 2}), tf::ones({1, 2}));
  save("training", {{"predict", predict}, {"fit", fit}});

  tf::nn::Conv2d conv(1, 2, 3);
  tf::nn::BatchNorm2d norm(2);
  auto net = tf::function([&](Tensor x) { return tf::max_pool2d(norm(conv(x)), 2); });
  net(tf::ones({1, 1, 6, 6}));
  save("conv", {{"f", net}});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: saved_programs FOLDER\n";
    return 2;
  }
  g_folder = argv[1];
  tf::EagerMode eager;
  functions();
  control_flow();
  training();
}
