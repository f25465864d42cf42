// Steps, optimisers and layers, in both modes.
#include <cmath>
#include <sstream>

#include <twofold/twofold.h>

#include "catch.h"
#include "errors.h"
#include "training.h"

namespace tf = twofold;
namespace nn = twofold::nn;
namespace train = twofold::train;
using namespace training;

namespace {

const std::vector<float> kX = {0.5f, -1.f, 2.f, 0.25f, 1.5f, -0.75f, 3.f, 1.f};
const std::vector<float> kY = {1.f, -2.f, 0.5f, 4.f};

// A net with a hidden layer, dropout-like noise, momentum: the loss of each of 50 steps, then the parameters.
std::vector<Tensor> train_net(tf::Session& session, train::SGDOptions options) {
  nn::Sequential net(nn::Linear(2, 5), nn::ReLU(), nn::Linear(5, 1));
  train::SGD opt(net.parameters(), options);
  auto step = tf::step(session, [&](Tensor x, Tensor y) {
    const Tensor noise = tf::random_normal({2}, {.stddev = 0.1});
    const Tensor loss = nn::mse_loss(net(x + noise), y);
    opt.minimize(loss);
    return loss;
  });
  session.run(tf::global_variables_initializer());
  const Tensor x = tf::tensor(kX, {4, 2}), y = tf::tensor(kY, {4, 1});
  std::vector<Tensor> results;
  for (int i = 0; i < 50; ++i) results.push_back(step(x, y));
  for (const tf::Variable& v : net.parameters()) results.push_back(step.evaluate(v));
  return results;
}

}  // namespace

TEST_CASE("fifty steps of a net are equal to the bit in both modes", "[train]") {
  const train::SGDOptions kinds[] = {{.lr = 0.05},
                                     {.lr = 0.02, .momentum = 0.9},
                                     {.lr = 0.02, .momentum = 0.9, .weight_decay = 0.1, .nesterov = true}};
  for (const auto& options : kinds) {
    const auto run = [&](tf::Session& session) { return train_net(session, options); };
    const auto eager = in_mode(How::eager, run);
    CHECK(same_bits(eager, in_mode(How::deferred, run)));
    CHECK(same_bits(eager, in_mode(How::optimized, run)));
    CHECK(eager[49].item<float>() < eager[0].item<float>());
    CHECK_FALSE(same_bits({eager[0]}, {eager[1]}));
  }
}

TEST_CASE("SGD follows PyTorch's formulas", "[train]") {
  // loss = sum(c * w): the gradient is c. Three steps by hand in double precision.
  const double lr = 0.1, c[2] = {1, -2};
  for (const auto& o : {train::SGDOptions{.lr = lr}, train::SGDOptions{.lr = lr, .momentum = 0.9},
                        train::SGDOptions{.lr = lr, .weight_decay = 0.5},
                        train::SGDOptions{.lr = lr, .momentum = 0.9, .weight_decay = 0.5, .nesterov = true}}) {
    double w[2] = {3, 4}, v[2] = {0, 0};
    for (int step = 0; step < 3; ++step) {
      for (int i = 0; i < 2; ++i) {
        double g = c[i] + o.weight_decay * w[i];
        v[i] = o.momentum * v[i] + g;
        if (o.momentum != 0) g = o.nesterov ? g + o.momentum * v[i] : v[i];
        w[i] -= lr * g;
      }
    }
    for (How how : {How::eager, How::deferred, How::optimized}) {
      const Tensor got = in_mode(how, [&](tf::Session& session) {
        tf::Variable weights(std::vector<double>{3, 4});
        train::SGD opt({weights}, o);
        auto step = tf::step(session, [&](Tensor factors) { opt.minimize(tf::sum(factors * weights)); });
        session.run(tf::global_variables_initializer());
        for (int i = 0; i < 3; ++i) step(std::vector<double>{c[0], c[1]});
        return step.evaluate(weights);
      });
      CHECK(std::abs(got.data<double>()[0] - w[0]) < 1e-13);
      CHECK(std::abs(got.data<double>()[1] - w[1]) < 1e-13);
    }
  }
}

TEST_CASE("a step's own session initialises variables, and steps of a graph share it", "[train]") {
  tf::Graph graph;
  const auto scope = graph.as_default();
  tf::Variable w(2.f);
  auto grow = tf::step([&](Tensor by) { w.assign_add(by); });
  auto read = tf::step([&] { return w + 0.f; });
  CHECK(read().item<float>() == 2);
  grow(3.f);
  grow(1.f);
  CHECK(read().item<float>() == 6);
  CHECK(grow.evaluate(w).item<float>() == 6);
  tf::Variable later(9.f);
  CHECK(read.evaluate(later).item<float>() == 9);
  CHECK(read.evaluate(w).item<float>() == 6);
}

TEST_CASE("a step returns values in the nest its body returns", "[train]") {
  for (How how : {How::eager, How::deferred}) {
    in_mode(how, [](tf::Session& session) {
      tf::Variable count(0);
      auto step = tf::step(session, [&](Tensor x) {
        const Tensor n = count.assign_add(1);
        return std::tuple{x * 2.f, std::array{n, tf::tensor(5)}, std::vector<Tensor>{x, x + 1.f, Tensor()}, count};
      });
      session.run(tf::global_variables_initializer());
      step(1.f);
      const auto [twice, pair, list, counted] = step(4.f);
      CHECK(twice.is_concrete());
      CHECK(twice.item<float>() == 8);
      CHECK(pair[0].item<int>() == 2);
      CHECK(pair[1].item<int>() == 5);
      REQUIRE(list.size() == 3);
      CHECK(list[1].item<float>() == 5);
      CHECK_FALSE(list[2].defined());
      CHECK(counted.item<int>() == 2);
      return 0;
    });
  }
}

TEST_CASE("effects of a step are done at each call though nobody asks for them", "[train]") {
  for (How how : {How::eager, How::deferred, How::optimized}) {
    in_mode(how, [](tf::Session& session) {
      tf::Variable count(0), product(1.f);
      auto step = tf::step(session, [&](Tensor x) {
        count.assign_add(1);
        product.assign(product * x);
        product.assign(product + 1.f);
      });
      session.run(tf::global_variables_initializer());
      step(2.f);
      step(3.f);
      CHECK(step.evaluate(count).item<int>() == 2);
      CHECK(step.evaluate(product).item<float>() == 10);
      auto branching = tf::step(
          session, [&](Tensor x) { tf::cond(x > 0.f, [&] { count.assign_add(10); }, [&] { count.assign_sub(1); }); });
      branching(1.f);
      branching(-1.f);
      CHECK(step.evaluate(count).item<int>() == 11);
      return 0;
    });
  }
}

TEST_CASE("a step is built once for each combination of dtypes and ranks", "[train]") {
  tf::Graph graph;
  const auto scope = graph.as_default();
  int builds = 0;
  auto step = tf::step([&](Tensor x) {
    ++builds;
    return tf::sum(x * x);
  });
  CHECK(step(std::vector<float>{1, 2}).item<float>() == 5);
  const int64_t nodes = graph.num_operations();
  CHECK(step(std::vector<float>{1, 2, 3}).item<float>() == 14);
  CHECK(builds == 1);
  CHECK(graph.num_operations() == nodes);
  CHECK(step(3.f).item<float>() == 9);
  CHECK(step(std::vector<double>{2, 3}).item<double>() == 13);
  CHECK(builds == 3);
}

TEST_CASE("random ops of a step go on from call to call and are equal in both modes", "[train]") {
  const auto draw = [](tf::Session& session) {
    auto step = tf::step(session, [] { return std::array{tf::random_uniform({3}), tf::random_normal({3})}; });
    std::vector<Tensor> drawn;
    for (int i = 0; i < 3; ++i)
      for (const Tensor& t : step()) drawn.push_back(t);
    return drawn;
  };
  const auto eager = in_mode(How::eager, draw);
  CHECK(same_bits(eager, in_mode(How::deferred, draw)));
  CHECK_FALSE(same_bits({eager[0]}, {eager[2]}));
  CHECK_FALSE(same_bits({eager[1]}, {eager[3]}));
}

TEST_CASE("a gradient taken after an update is the same in both modes", "[train]") {
  const auto run = [](tf::Session& session) {
    tf::Variable w(2.f);
    auto step = tf::step(session, [&](Tensor x) {
      const Tensor before = w * w * x;
      w.assign_sub(tf::gradients(before, {w})[0] * 0.1f);
      const Tensor after = w * w * w * x;
      return std::array{before, after, tf::gradients(after, {w})[0]};
    });
    session.run(tf::global_variables_initializer());
    std::vector<Tensor> results;
    for (int i = 0; i < 3; ++i)
      for (const Tensor& t : step(1.5f)) results.push_back(t);
    return results;
  };
  const auto eager = in_mode(How::eager, run);
  CHECK(same_bits(eager, in_mode(How::deferred, run)));
  CHECK(std::abs(eager[2].item<float>() - 3 * 1.4 * 1.4 * 1.5) < 1e-5);  // w is 2 - 0.1 * 6 there
}

TEST_CASE("SGD leaves alone what a branch not taken leaves out, momentum or not", "[train]") {
  const auto program = [](tf::Session& session) {
    const tf::Variable a({1.f, 2.f}), b({3.f, -1.f});
    train::SGD opt({a, b}, {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.1});
    auto step = tf::step(session, [&](Tensor p) {
      const Tensor loss = tf::sum(tf::cond(p, [&] { return a * a; }, [&] { return b * b * b; }));
      opt.minimize(loss);
      return loss;
    });
    if (!tf::executing_eagerly()) session.run(tf::global_variables_initializer());
    std::vector<Tensor> all;
    for (const bool p : {true, true, false, true, false})
      all.insert(all.end(), {step(p), step.evaluate(a), step.evaluate(b)});
    return all;
  };
  const auto eager = in_mode(How::eager, program);
  CHECK(floats(eager[2]) == std::vector{3.f, -1.f});
  CHECK(floats(eager[5]) == std::vector{3.f, -1.f});
  CHECK(floats(eager[7]) == floats(eager[4]));
  CHECK(floats(eager[10]) != floats(eager[7]));
  CHECK(same_bits(in_mode(How::deferred, program), eager));
  CHECK(same_bits(in_mode(How::optimized, program), eager));
}

TEST_CASE("mistakes with steps and optimisers are told", "[train]") {
  for (How how : {How::eager, How::deferred}) {
    in_mode(how, [](tf::Session& session) {
      tf::Variable w(1.f, {.name = "w"});
      CHECK_ERROR(train::SGD({}), InvalidArgument, "no parameters");
      CHECK_ERROR(train::SGD({w}, {.lr = -1}), InvalidArgument, "Invalid lr value: -1");
      CHECK_ERROR(train::SGD({w}, {.nesterov = true}), InvalidArgument, "requires a momentum");
      CHECK_ERROR(train::SGD({tf::Variable(1)}), InvalidArgument, "dtype int32");
      train::SGD opt({w}, {.lr = 0.1});
      CHECK_ERROR(opt.apply_gradients({}), InvalidArgument, "0 gradients were given for 1 parameters");
      auto unconnected = tf::step(session, [&](Tensor x) { opt.minimize(x * 2.f); });
      CHECK_ERROR(unconnected(1.f), InvalidArgument, "No gradients provided for any variable: ['w:0']");
      auto maker = tf::step(session, [] { return tf::Variable(1.f) + 1.f; });
      CHECK_ERROR(maker(), FailedPrecondition, "made in the body of a step");
      return 0;
    });
  }
  tf::Graph graph;
  const auto scope = graph.as_default();
  auto step = tf::step([](Tensor x) { return x; });
  CHECK_ERROR(step(tf::placeholder(tf::float32, {}, {.name = "x"})), InvalidArgument, "A step takes values");
  tf::EagerMode eager;
  auto eager_step = tf::step([](Tensor x) { return x; });
  tf::DeferredMode deferred;
  CHECK_ERROR(eager_step(1.f), FailedPrecondition, "made in eager mode");
}

namespace {
struct Net : nn::Module {
  nn::Linear& hidden = add("hidden", nn::Linear(2, 3));
  nn::Sequential& rest = add("rest", nn::Sequential(nn::ReLU(), nn::Linear(3, 1, {.bias = false})));
  Tensor forward(const Tensor& x) const override { return rest(hidden(x)); }
};
}  // namespace

TEST_CASE("modules list their parameters and print as PyTorch's", "[nn]") {
  tf::EagerMode eager;
  tf::set_random_seed(3);
  Net net;
  std::vector<std::string> names;
  for (const auto& [name, v] : net.named_parameters()) names.push_back(name + v.shape().str());
  CHECK(names == std::vector<std::string>{"hidden.weight(3, 2)", "hidden.bias(3,)", "rest.1.weight(1, 3)"});
  std::ostringstream out;
  out << net;
  CHECK(out.str() == R"(Net(
  (hidden): Linear(in_features=2, out_features=3, bias=True)
  (rest): Sequential(
    (0): ReLU()
    (1): Linear(in_features=3, out_features=1, bias=False)
  )
))");
  CHECK_ERROR(net.hidden(tf::tensor({{1.f, 2.f, 3.f}})), InvalidArgument, "Dimensions must be equal");
  CHECK_ERROR(nn::Linear(0, 3), InvalidArgument, "positive number of features");

  // y = x W^T + b by hand.
  const nn::Linear layer(2, 2);
  layer.weight().assign({{1.f, 2.f}, {3.f, 4.f}});
  layer.bias().assign({10.f, 20.f});
  CHECK(floats(layer(tf::tensor({{1.f, -1.f}}))) == std::vector<float>{9, 19});

  const Net alias = net;
  alias.hidden.bias().assign({5.f, 6.f, 7.f});
  CHECK(floats(net.hidden.bias()) == std::vector<float>{5, 6, 7});
}

TEST_CASE("Linear begins uniform in 1/sqrt(in_features) and equal in both modes", "[nn]") {
  const auto make = [](tf::Session& session) {
    nn::Linear layer(100, 40);
    session.run(tf::global_variables_initializer());
    auto read = tf::step(session, [] {});
    return std::vector<Tensor>{read.evaluate(layer.weight()), read.evaluate(layer.bias())};
  };
  const auto eager = in_mode(How::eager, make);
  CHECK(same_bits(eager, in_mode(How::deferred, make)));
  double sum = 0, squares = 0;
  for (float w : floats(eager[0])) {
    CHECK(std::abs(w) <= 0.1f);
    sum += w, squares += double(w) * w;
  }
  CHECK(std::abs(sum / 4000) < 0.005);                  // standard error 0.0009
  CHECK(std::abs(squares / 4000 - 0.01 / 3) < 0.0002);  // variance of U(-0.1, 0.1)
}
