// Programs that are saved, loaded, called and trained on.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <unistd.h>

#include <twofold/twofold.h>

#include "../catch.h"
#include "../errors.h"
#include "../fresh_graph.h"
#include "../training.h"

namespace tf = twofold;
namespace nn = twofold::nn;
namespace train = twofold::train;
using namespace training;

namespace {

struct TemporaryFile {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("twofold_saved_" + std::to_string(getpid()) + ".safetensors"))
          .string();
  ~TemporaryFile() { std::filesystem::remove(path.c_str()); }
};

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("A program is saved, loaded, called and trained on to the bit", "[saved]") {
  in_each_mode([](tf::Session& session) {
    tf::set_random_seed(3);
    const TemporaryFile file;
    nn::Sequential net(nn::Linear(4, 8), nn::ReLU(), nn::Dropout(0.25), nn::Linear(8, 2));
    train::Adam opt(net.parameters(), {.lr = 0.01});
    session.run(tf::global_variables_initializer());
    auto predict = tf::function(session, [&](Tensor x) { return net(x); }, {.name = "predict"});
    auto fit = tf::step(session, [&](Tensor x, Tensor y) {
      const Tensor loss = nn::mse_loss(net(x), y);
      opt.minimize(loss);
      return loss;
    });
    const Tensor x = tf::tensor({1.f, 2.f, 3.f, 4.f, -1.f, 0.f, 2.f, 5.f}, tf::Shape{2, 4});
    const Tensor y = tf::tensor({1.f, 0.f, 0.f, 1.f}, tf::Shape{2, 2});
    predict(x);
    for (int i = 0; i < 3; ++i) fit(x, y);
    tf::save(file.path, {{"predict", predict}, {"train", fit}});

    const tf::SavedProgram program = tf::load(file.path);
    std::ostringstream signatures;
    for (const auto& s : program.signatures()) signatures << s << '\n';
    CHECK(signatures.str() ==
          "predict(x: float32 (?, ?)) -> (y: float32 (?, 2))\n"
          "train(x0: float32 (?, ?), x1: float32 (?, ?)) -> (y: float32 ())\n");
    auto loaded = program.function("predict"), trains = program.function("train");
    for (int i = 0; i < 3; ++i) {
      CHECK(same_bits({predict(x)}, {loaded(x)}));
      CHECK(same_bits({fit(x, y)}, {trains(x, y)}));
    }
    CHECK(same_bits({predict(x)}, {loaded(x)}));

    const TemporaryFile again;
    const std::string copy = again.path + ".copy", twice = again.path + ".twice";
    tf::save(copy, program);
    tf::save(twice, tf::load(copy));
    CHECK(bytes_of(copy) == bytes_of(twice));
    std::filesystem::remove(copy.c_str()), std::filesystem::remove(twice.c_str());
  });
}

TEST_CASE("A program that is loaded and not used saves the same bytes", "[saved]") {
  in_each_mode([](tf::Session& session) {
    const TemporaryFile file;
    tf::Variable w(2.f, {.name = "w"});
    session.run(tf::global_variables_initializer());
    const Tensor table = tf::constant({1.f, 2.f}) * 3.f;
    auto f = tf::function(session, [&](Tensor x) {
      const auto [n, y] =
          tf::while_loop([](Tensor n, Tensor) { return n < 3; },
                         [&](Tensor n, Tensor y) {
                           return std::tuple{n + 1, tf::cond(
                                                        y > 0.f, [&] { return y * w; }, [&] { return y - w; })};
                         },
                         std::tuple{tf::constant(0), x});
      return y + tf::sum(table) + tf::random_normal({}) * 0.f;
    });
    const float value = number(f(1.f));
    CHECK(value == 8 + 9);
    tf::save(file.path, {{"f", f}});
    const std::string bytes = bytes_of(file.path), copy = file.path + ".copy";
    const auto program = tf::load(file.path);
    tf::save(copy, program);
    CHECK(bytes_of(copy) == bytes);
    std::filesystem::remove(copy.c_str());
    CHECK(number(program.function("f")(1.f)) == value);
    CHECK(number(program.function("f")(-1.f)) == -7 + 9);
    CHECK(program.variables().at("w").dtype() == tf::float32);
  });
}

TEST_CASE("A loaded function is called with symbols and differentiated", "[saved]") {
  const TemporaryFile file;
  tf::eagerly([&] {
    tf::Variable w(2.f, {.name = "w"});
    auto f = tf::function([&](Tensor x) { return w * x * x; });
    f(1.f);
    tf::save(file.path, {{"f", f}});
  });
  const auto program = tf::load(file.path);
  auto f = program.function("f");
  tf::eagerly([&] {
    tf::GradientTape tape;
    const Tensor x = tf::tensor(3.f);
    tape.watch(x);
    CHECK(number(tape.gradient(f(x), x)) == 12);
  });
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, tf::Shape{});
  const Tensor y = f(x), dx = tf::gradients(y, {x})[0];
  const tf::Session session;
  CHECK(number(session.run(y, {{x, 3.f}})) == 18);
  CHECK(number(session.run(dx, {{x, 3.f}})) == 12);
}

TEST_CASE("What cannot be saved or loaded is told", "[saved]") {
  in_each_mode([](tf::Session& session) {
    const TemporaryFile file;
    auto f = tf::function(session, [](Tensor x) { return x + 1.f; });
    CHECK_ERROR(tf::save(file.path, {{"f", f}}), FailedPrecondition, "was not called yet");
    f(1.f);
    CHECK_ERROR(tf::save(file.path, {{"f", f}, {"f", f}}), InvalidArgument, "Two functions");
    tf::save(file.path, {{"f", f}});
    auto program = tf::load(file.path);
    CHECK_ERROR(program.function("g"), NotFound, "it has f");
    CHECK_ERROR(program.function("f")(tf::tensor(1)), InvalidArgument, "was saved for float32");
    CHECK_ERROR(program.function("f")({1.f, 2.f}), InvalidArgument, "was saved for float32 ()");
    CHECK_ERROR(tf::load(file.path + ".none"), NotFound, "saved");
    tf::io::save_safetensors(file.path, {{"w", tf::tensor(1.f)}});
    CHECK_ERROR(tf::load(file.path), InvalidArgument, "not a saved program");
  });
}
