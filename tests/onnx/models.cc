// Models for tests/onnx_test.py, with what they are given and what must come out.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <twofold/lib/saved/onnx_rules.h>
#include <twofold/twofold.h>

#include "../catch.h"
#include "../ops/cases.h"
#include "../training.h"
#include "myconv/train.h"

namespace nn = twofold::nn;
using namespace op_test;
using twofold::saved::OnnxRule;

namespace {

/// Writes NNNN.onnx, and at the end arrays.npz, with "NNNN/call/in/name" and "NNNN/call/out/name", and models.txt.
class Models {
 public:
  explicit Models(std::string folder) : folder_(std::move(folder)), list_(folder_ / "models.txt") {}

  /// `ops` are those that the model is for. False if there is no such model; then `refused` has the reason.
  template <class F>
  bool add(const std::string& label, const std::string& ops, DType dtype, F& f, const std::vector<Tensors>& calls,
           tf::OnnxOptions options = {}) {
    char number[8];
    std::snprintf(number, sizeof number, "%04d", next_);
    std::vector<Tensors> results;
    for (const Tensors& in : calls) results.push_back(f(in));
    try {
      tf::save_onnx(folder_ / (number + std::string(".onnx")), f, options);
    } catch (const tf::Error& e) {
      if (e.code() != tf::Code::Unimplemented) throw;
      refused = e.what();
      return false;
    }
    ++next_;
    for (size_t call = 0; call < calls.size(); ++call)
      for (const auto& [what, letter, tensors] :
           {std::tuple("in", "x", std::as_const(calls)[call]), std::tuple("out", "y", std::as_const(results)[call])})
        for (size_t i = 0; i < tensors.size(); ++i)
          arrays_.emplace_back(std::string(number) + "/" + std::to_string(call) + "/" + what + "/" + letter +
                                   (tensors.size() == 1 ? "" : std::to_string(i)),
                               tensors[i]);
    list_ << number << '\t' << ops << '\t' << name_of(dtype) << '\t' << label << '\n';
    return true;
  }
  void finish() { tf::io::save_npz(folder_ / "arrays.npz", arrays_); }

  std::string refused;

 private:
  const std::filesystem::path folder_;
  std::ofstream list_;
  int next_ = 0;
  tf::io::NamedTensors arrays_;
};

/// Of a record's shapes the largest that are moderate and have elements.
const std::vector<Shape>* moderate(const Record& r) {
  const std::vector<Shape>* best = nullptr;
  for (const auto& shapes : r.shapes) {
    const int64_t n = elements(shapes);
    bool empty = false;
    for (const Shape& s : shapes) empty = empty || s.num_elements() == 0;
    if (empty || (best && (n > 600 || n <= elements(*best)))) continue;
    best = &shapes;
  }
  return best;
}

void add_records(Models& models, std::ostream& refused) {
  for (const Record& r : records()) {
    const OnnxRule* rule = tf::saved::find_onnx_rule(r.op);
    REQUIRE(rule);
    const auto* shapes = moderate(r);
    if (!shapes) continue;
    for (DType dtype : r.dtypes)
      for (const bool known : {false, true}) {
        const std::string label = describe(r, *shapes, dtype) + (known ? " known" : "");
        INFO(label);
        Random random(std::hash<std::string>()(label));
        const Tensors in = to_tensors(sample(r, *shapes, dtype, false, random));
        tf::FunctionOptions options;
        if (known) options.shapes = *shapes;
        auto f = tf::function([&](const Tensors& x) { return r.call(x); }, options);
        if (models.add(label, r.op, dtype, f, {in})) {
          CHECK(rule->write);
        } else {
          // The reason of an op that has a rule is onnx_test.py's to judge.
          if (!rule->write) CHECK(models.refused.find(" " + r.op + " '") != std::string::npos);
          std::string reason = models.refused;
          std::ranges::replace(reason, '\n', ' ');
          refused << r.op << '\t' << name_of(dtype) << '\t' << label << '\t' << reason << '\n';
        }
      }
  }
}

Tensor ones_of(DType t, const Shape& s) { return tf::ones(s, t); }

/// What no record is for, in each dtype.
void add_machinery(Models& models) {
  for (DType t : {tf::float32, tf::float64, tf::int32, tf::int64, tf::uint8, tf::bool_}) {
    const tf::Variable v(ones_of(t, {2, 3}), {.name = "v"});
    const Tensor held = tf::cast(tf::range(6), t);
    auto inner = tf::function([&](const Tensor& x) { return tf::concat({x, x}, 0); });
    auto f = tf::function([&](const Tensors& in) {
      const Tensor& x = in[0];
      const Tensor n = tf::shape(x)[0];
      const Tensor chosen = tf::cond(
          n > 2,
          [&] {
            return tf::concat({x, v.read()}, 0);
          },
          [&] {
            return tf::concat({x, tf::reshape(held, {2, 3}), x}, 0);
          });
      const auto [i, grown] = tf::while_loop([&](const Tensor& i, const Tensor&) { return i < n; },
                                             [&](const Tensor& i, const Tensor& y) {
                                               return std::tuple{i + 1, tf::cond(
                                                                            tf::equal(i % 2, 0),
                                                                            [&] {
                                                                              return tf::concat({y, x}, 0);
                                                                            },
                                                                            [&] { return tf::reverse(y, 0); })};
                                             },
                                             std::tuple{tf::constant(0), tf::ensure_shape(x, {-1, 3})});
      return Tensors{chosen, grown, inner(x), x, x.to("/cpu:0"), i};
    });
    std::vector<Tensors> calls;
    for (int64_t n : {1, 2, 5}) calls.push_back({tf::cast(tf::reshape(tf::range(3 * n), {n, 3}), t)});
    REQUIRE(models.add("machinery", "Const,Parameter,Capture,ReadVariable,If,While,Call,Transfer", t, f, calls));
  }
}

struct Digits : nn::Module {
  Digits()
      : layers(add("layers",
                   nn::Sequential(nn::Conv2d(1, 8, 3, {.padding = 1, .bias = false}), nn::BatchNorm2d(8), nn::ReLU(),
                                  nn::MaxPool2d(2), nn::Conv2d(8, 16, 3, {.padding = 1, .bias = false}),
                                  nn::BatchNorm2d(16), nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(), nn::Dropout(0.25),
                                  nn::Linear(16 * 7 * 7, 64), nn::ReLU(), nn::Dropout(0.25), nn::Linear(64, 10)))) {}
  Tensor forward(const Tensor& x) const override { return layers(x); }
  nn::Sequential& layers;
};

/// A transformer's block: attention of two heads that does not look ahead, and a net of two layers.
struct Block : nn::Module {
  static constexpr int64_t kWidth = 8, kHeads = 2;
  Block()
      : table(add("table", nn::Embedding(11, kWidth))),
        first(add("first", nn::LayerNorm({kWidth}))),
        second(add("second", nn::LayerNorm({kWidth}))),
        qkv(add("qkv", nn::Linear(kWidth, 3 * kWidth))),
        out(add("out", nn::Linear(kWidth, kWidth))),
        net(add("net", nn::Sequential(nn::Linear(kWidth, 16), nn::GELU(), nn::Linear(16, kWidth)))) {}

  Tensor forward(const Tensor& words) const override {
    Tensor x = table(words);
    const Tensor n = tf::shape(x)[0], length = tf::shape(x)[1];
    std::vector<Tensor> parts = tf::split(qkv(first(x)), 3, -1);
    for (Tensor& p : parts) p = tf::transpose(tf::reshape(p, {n, length, kHeads, kWidth / kHeads}), {0, 2, 1, 3});
    const Tensor scores = tf::matmul(parts[0], parts[1], {.transpose_b = true}) / 2.f;
    const Tensor places = tf::range(length);
    const Tensor ahead = tf::expand_dims(places, 0) > tf::expand_dims(places, 1);
    const Tensor weights = tf::softmax(tf::where(ahead, -1e9f, scores));
    const Tensor mixed = tf::reshape(tf::transpose(tf::matmul(weights, parts[2]), {0, 2, 1, 3}), {n, length, kWidth});
    x = x + out(mixed);
    return x + net(second(x));
  }
  nn::Embedding& table;
  nn::LayerNorm &first, &second;
  nn::Linear &qkv, &out;
  nn::Sequential& net;
};

/// `net`, in evaluation, after a step of training has given it statistics and weights of its own.
template <class Net>
void add_net(Models& models, const std::string& label, Net& net, const std::vector<Tensors>& calls,
             const tf::Shape& shape) {
  if (calls[0][0].dtype() == tf::float32) {
    net.train();
    tf::train::SGD opt(net.parameters(), {.lr = 0.01});
    auto step = tf::step([&](const Tensor& x) { opt.minimize(tf::mean(tf::square(net(x)))); });
    for (const Tensors& in : calls) step(in[0]);
  }
  net.eval();
  for (const bool known : {false, true}) {
    tf::FunctionOptions options{.name = "predict"};
    if (known) options.shapes = {shape};
    auto f = tf::function([&](const Tensors& in) { return Tensors{net(in[0])}; }, options);
    REQUIRE(models.add(label, "", tf::float32, f, calls));
  }
}

void add_nets(Models& models) {
  tf::set_random_seed(5);
  std::vector<Tensors> images, digits, words;
  for (int64_t n : {2, 1, 5}) {
    images.push_back({tf::random_normal({n, 3, 12, 12})});
    digits.push_back({tf::random_normal({n, 1, 28, 28})});
    words.push_back({tf::random_uniform_int({n, n + 3}, 0, 11)});
  }
  MyConv article(false, 12, 16), full(true, 12, 16);
  add_net(models, "MyConv article", article, images, {-1, 3, 12, 12});
  add_net(models, "MyConv full", full, images, {-1, 3, 12, 12});
  Digits net;
  add_net(models, "digits", net, digits, {-1, 1, 28, 28});
  Block block;
  add_net(models, "transformer block", block, words, {-1, -1});
}

/// conv2d and pools in both orders of axes, padded "same" and by hand, of images whose extents are known or not.
void add_windows(Models& models) {
  using tf::DataFormat;
  for (const DataFormat format : {DataFormat::nchw, DataFormat::nhwc})
    for (const char* padding : {"same", "valid"})
      for (const int64_t stride : {1, 2, 3}) {
        const auto image = [&](int64_t n, int64_t h, int64_t w) {
          return tf::random_normal(format == DataFormat::nchw ? tf::Shape{n, 2, h, w} : tf::Shape{n, h, w, 2});
        };
        const tf::Variable weight(tf::random_normal({3, 2, 3, 2}), {.name = "weight"});
        const tf::Variable bias(tf::random_normal({3}), {.name = "bias"});
        auto f = tf::function([&](const Tensors& in) {
          const Tensor y =
              tf::conv2d(in[0], weight, bias, {.stride = stride, .padding = padding, .data_format = format});
          const int64_t step = std::min<int64_t>(stride, 2);
          return Tensors{
              y, tf::max_pool2d(in[0], {3, 2}, {.stride = step, .padding = padding, .data_format = format}),
              tf::avg_pool2d(in[0], {2, 3},
                             {.stride = step, .padding = padding, .count_include_pad = false, .data_format = format}),
              tf::avg_pool2d(in[0], 2, {.stride = step, .padding = padding, .data_format = format}),
              tf::conv2d_transpose(y, weight, {.stride = stride, .padding = padding, .data_format = format})};
        });
        REQUIRE(models.add("windows", "", tf::float32, f, {{image(1, 7, 8)}, {image(2, 5, 6)}, {image(3, 8, 9)}}));
      }
}

/// A loop whose passes depend on values, with variables captured at two depths; and one that never runs.
void add_loops(Models& models) {
  const tf::Variable w(tf::tensor({0.5f, -0.25f, 0.125f, 0.75f}, tf::Shape{2, 2}), {.name = "w"});
  auto f = tf::function([&](const Tensors& in) {
    const Tensor& x = in[0];
    const Tensor bound = tf::sum(tf::abs(x)) * 3.f;
    const auto [n, y] = tf::while_loop(
        [&](const Tensor& n, const Tensor& y) { return tf::logical_and(n < 20, tf::sum(tf::abs(y)) < bound); },
        [&](const Tensor& n, const Tensor& y) {
          const auto [m, z] = tf::while_loop([&](const Tensor& m, const Tensor&) { return m < n; },
                                             [&](const Tensor& m, const Tensor& z) {
                                               return std::tuple{m + 1, tf::tanh(tf::matmul(z, w)) + x};
                                             },
                                             std::tuple{tf::constant(0), y});
          return std::tuple{
              n + 1, tf::cond(
                         tf::sum(z) > 0.f, [&] { return z * 1.5f + bound * 0.01f; }, [&] { return y - w.read()[0]; })};
        },
        std::tuple{tf::constant(1), tf::identity(x)});
    const auto [none] = tf::while_loop([](const Tensor& i) { return i < 0; }, [](const Tensor& i) { return i - 1; },
                                       std::tuple{tf::constant(7)});
    return Tensors{y, n, none};
  });
  std::vector<Tensors> calls;
  for (const float scale : {1.f, -0.5f, 0.01f})
    calls.push_back({tf::tensor({0.1f, 0.2f, -0.3f, 0.4f, 0.5f, 0.6f}, tf::Shape{3, 2}) * scale});
  calls.push_back({tf::tensor({1.f, 2.f}, tf::Shape{1, 2})});
  REQUIRE(models.add("loops", "", tf::float32, f, calls));
}

/// In a graph: a function that uses a symbol of it.
void add_captured(Models& models) {
  tf::Graph graph;
  const auto scope = graph.as_default();
  tf::DeferredMode deferred;
  const tf::Variable w(tf::tensor({1.f, -2.f, 3.f}), {.name = "w"});
  tf::Session session;
  session.run(tf::global_variables_initializer());
  const Tensor around = w * 2.f;
  auto f = tf::function(session, [&](const Tensors& in) { return Tensors{in[0] * around + w}; });
  REQUIRE(models.add("captured", "Placeholder,Variable", tf::float32, f,
                     {{tf::tensor({1.f, 2.f, 3.f, 4.f, 5.f, 6.f}, tf::Shape{2, 3})}}));
}

}  // namespace

TEST_CASE("Models for ONNX's own checker and runtime", "[.][onnx_models]") {
  const char* given = std::getenv("TWOFOLD_TEST_ONNX");
  REQUIRE(given);
  const std::filesystem::path folder = given;
  std::ofstream refused(folder / "refused.txt"), rules(folder / "rules.txt");
  for (const OnnxRule& rule : tf::saved::onnx_rules()) {
    rules << rule.op << '\t' << rule.onnx << '\t';
    for (DType t : {tf::float32, tf::float64, tf::int32, tf::int64, tf::uint8, tf::bool_})
      if (tf::saved::holds(rule.dtypes, t)) rules << name_of(t) << ' ';
    rules << '\t' << (rule.write ? "rule" : rule.why.empty() ? "machinery" : "none") << '\t' << rule.why << '\n';
  }
  Models models(folder);
  {
    tf::EagerMode eager;
    add_records(models, refused);
    add_machinery(models);
    add_nets(models);
    add_windows(models);
    add_loops(models);
  }
  add_captured(models);
  models.finish();
}
