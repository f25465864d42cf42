// Writes what command_test.py gives to the command `twofold`: saved programs, and what their process computes going on.
//
// usage: command_models FOLDER
#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include <twofold/twofold.h>

namespace tf = twofold;
namespace nn = twofold::nn;
namespace train = twofold::train;
using tf::Tensor;

namespace {

// A net with dropout, so that random state counts, and Adam, so that moments do.
void write_net(const std::string& folder) {
  tf::set_random_seed(7);
  nn::Sequential net(nn::Linear(4, 8), nn::ReLU(), nn::Dropout(0.25), nn::Linear(8, 2));
  train::Adam opt(net.parameters(), {.lr = 0.01});
  auto predict =
      tf::function([&](Tensor x) { return net(x); }, {.shapes = {{-1, 4}}, .arguments = {"x"}, .results = {"y"}});
  auto fit = tf::step([&](Tensor x, Tensor t) {
    Tensor loss = nn::mse_loss(net(x), t);
    opt.minimize(loss);
    return loss;
  });
  const Tensor x = tf::random_normal({6, 4}), t = tf::random_normal({6, 2});
  predict(x);
  for (int i = 0; i < 3; ++i) fit(x, t);
  tf::save(folder + "/net.safetensors", {{"predict", predict}, {"fit", fit}});
  tf::io::save_npz(folder + "/data.npz", {{"x", x}, {"t", t}});
  tf::io::save_npy(folder + "/x.npy", x);
  Tensor loss;
  for (int i = 0; i < 5; ++i) loss = fit(x, t);
  std::map<std::string, Tensor> after = {{"loss", loss}, {"y", predict(x)}};
  tf::io::save_safetensors(folder + "/after.safetensors", after);
  tf::save(folder + "/after_net.safetensors", {{"predict", predict}, {"fit", fit}});
}

// Control flow, several results and dtypes, a constant result, and one that is traced for two kinds of arguments.
void write_parts(const std::string& folder) {
  tf::Variable w(3.f, {.name = "w"});
  tf::Variable count(0, {.name = "count", .trainable = false, .dtype = tf::int64});
  auto branches = tf::function(
      [&](Tensor x, Tensor n) {
        auto [i, y] = tf::while_loop([&](Tensor i, Tensor) { return i < n; },
                                     [&](Tensor i, Tensor y) {
                                       return std::tuple{i + 1, y * w};
                                     },
                                     std::tuple{tf::constant(0), x});
        Tensor z = tf::cond(
            tf::sum(y) > 0.f, [&] { return y + w; }, [&] { return y - w; });
        return std::tuple{z, y > 0.f, tf::constant({1, 2, 3})};
      },
      {.arguments = {"x", "n"}, .results = {"z", "positive", "constant"}});
  branches(tf::tensor({1.f, 2.f}), 2);
  auto counted = tf::function(
      [&](Tensor by) {
        count.assign_add(by);
        return count.read();
      },
      {.arguments = {"by"}, .results = {"count"}});
  counted(tf::tensor(2, {.dtype = tf::int64}));
  auto twice = tf::function([](Tensor x) { return x + x; });
  twice(1.f);
  twice(tf::tensor({{1.f}}));
  auto check = tf::function([](Tensor x) { return tf::check_numerics(tf::log(x), "the logarithm of x"); });
  check(1.f);
  tf::save(folder + "/parts.safetensors",
           {{"branches", branches}, {"counted", counted}, {"twice", twice}, {"check", check}});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: command_models FOLDER\n", stderr), 2;
  try {
    const tf::EagerMode eager;
    write_net(argv[1]);
    write_parts(argv[1]);
  } catch (const std::exception& e) {
    return std::fprintf(stderr, "%s\n", e.what()), 1;
  }
}
