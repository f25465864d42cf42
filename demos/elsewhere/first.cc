// The first process: builds the article's net as an eager C++ program, trains it, saves it, and goes on training. What
// it comes to is written beside the program, for the second process to be compared with.
#include <CLI/CLI.hpp>
#include <iostream>
#include <optional>

#include "../myconv/train.h"

namespace nn = twofold::nn;

namespace {

struct Options {
  Settings settings{.side = 28, .hidden = 128, .steps = 5};
  std::string net = "article", program = "elsewhere.safetensors", expected = "elsewhere.expected.safetensors";
};

int run(const Options& o) {
  const Settings& s = o.settings;
  const tf::EagerMode eager;
  std::optional<tf::DeviceScope> on;
  if (s.device != "/cpu:0") on.emplace(s.device);
  const Start start = make_start(s);
  MyConv net(o.net == "full", s.side, s.hidden);
  tf::train::Adam adam(net.parameters());

  auto predict = tf::function([&](const tf::Tensor& x) { return net(x); },
                              {.name = "predict", .shapes = {{-1, 3, s.side, s.side}}, .arguments = {"x"}});
  auto step = tf::step([&](const tf::Tensor& x, const tf::Tensor& y) {
    const tf::Tensor loss = nn::nll_loss(net(x), y);
    adam.minimize(loss);
    return loss;
  });

  tf::io::NamedTensors expected;
  for (int i = 0; i < s.steps; ++i) std::cout << "step " << i + 1 << ": loss " << step(start.x, start.y) << '\n';
  net.eval();
  expected.emplace_back("predicted", predict(start.x));
  net.train();
  tf::save(o.program, {{"predict", predict}, {"train", step}});
  std::cout << "saved to " << o.program << '\n';
  for (int i = 0; i < 10; ++i) {
    expected.emplace_back("loss." + std::to_string(i), step(start.x, start.y));
    std::cout << "step " << s.steps + i + 1 << ": loss " << expected.back().second << '\n';
  }
  net.eval();
  expected.emplace_back("predicted.after", predict(start.x));
  expected.emplace_back("x", start.x);
  expected.emplace_back("y", start.y);
  for (const auto& [name, value] : net.state()) expected.emplace_back("state." + name, value.read());
  tf::io::save_safetensors(o.expected, expected);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Trains the article's net, saves it, and goes on training.");
  app.add_option("--net", o.net, "article, or full with its linear layers")->check(CLI::IsMember({"article", "full"}));
  app.add_option("--batch", o.settings.batch, "images a step")->check(CLI::PositiveNumber);
  app.add_option("--hidden", o.settings.hidden, "width of the full net's linear layer")->check(CLI::PositiveNumber);
  app.add_option("--steps", o.settings.steps, "steps before it is saved")->check(CLI::PositiveNumber);
  app.add_option("--device", o.settings.device, "/cpu:0 or /gpu:0");
  app.add_option("--program", o.program, "the file to save it to");
  app.add_option("--expected", o.expected, "the file for what it comes to, going on");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(o);
  } catch (const tf::Error& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
