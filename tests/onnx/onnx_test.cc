// What tf::save_onnx refuses, and its table of rules. tests/onnx_test.py runs the models that it writes.
#include <functional>
#include <set>
#include <string>

#include <twofold/lib/op/opdef.h>
#include <twofold/lib/saved/onnx_rules.h>
#include <twofold/twofold.h>

#include "../catch.h"
#include "../errors.h"
#include "../io/scratch.h"
#include "../training.h"

namespace tf = twofold;
namespace nn = twofold::nn;
using tf::Tensor;
using tf::saved::OnnxRule;

namespace {

std::string refusal(const std::function<void()>& f, tf::Code code) {
  try {
    f();
  } catch (const tf::Error& e) {
    CHECK(e.code() == code);
    return e.what();
  }
  FAIL("nothing was thrown");
  return {};
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("Every op has an entry of ONNX's table: a rule or a reason why it has none", "[onnx]") {
  std::set<std::string_view> seen;
  for (const OnnxRule& rule : tf::saved::onnx_rules()) {
    INFO(rule.op);
    CHECK(seen.insert(rule.op).second);
    CHECK(tf::find_op(rule.op));
    CHECK((rule.write != nullptr) <= rule.why.empty());
    CHECK(rule.onnx.empty() == !rule.why.empty());
    CHECK((rule.dtypes == 0) == !rule.why.empty());
  }
  for (const tf::OpDef* op : tf::all_ops()) {
    INFO(op->name);
    CHECK(seen.contains(op->name));
  }
}

TEST_CASE("All ops that cannot be in an ONNX model are listed, with their lines", "[onnx]") {
  const Scratch folder;
  tf::EagerMode eager;
  tf::Variable seen(0.f, {.name = "seen"});
  const tf::Variable w(2.f, {.name = "w"});
  auto f = tf::function([&](const Tensor& x) {
    seen.assign_add(1.f);
    const Tensor noise = tf::random_normal({2});  // line + 2
    return tf::cond(
        tf::sum(x) > 0.f, [&] { return tf::print(x * w, "x"); }, [&] { return x + noise; });
  });
  const int line = __LINE__ - 6;
  f(tf::tensor({1.f, 2.f}));
  const std::string text = refusal([&] { tf::save_onnx(folder / "f.onnx", f); }, tf::Code::Unimplemented);
  INFO(text);
  CHECK(has(text, "AssignAdd"));
  CHECK(has(text, "RandomNormal"));
  CHECK(has(text, "Print"));
  CHECK(has(text, "onnx_test.cc:" + std::to_string(line + 1)));
  CHECK(has(text, "onnx_test.cc:" + std::to_string(line + 2)));
  CHECK(has(text, "onnx_test.cc:" + std::to_string(line + 4)));
  CHECK(folder.count() == 0);
}

TEST_CASE("Prints and checks are left out of an ONNX model if that is wanted", "[onnx]") {
  const Scratch folder;
  tf::EagerMode eager;
  auto f = tf::function([](const Tensor& x) {
    tf::assert_that(tf::all(x > 0.f), "x");
    return tf::check_numerics(tf::print(tf::log(x), "log"), "log");
  });
  f(tf::tensor({1.f}));
  const std::string text = refusal([&] { tf::save_onnx(folder / "f.onnx", f); }, tf::Code::Unimplemented);
  INFO(text);
  CHECK(has(text, "Assert"));
  CHECK(has(text, "Print"));
  CHECK(has(text, "CheckNumerics"));
  CHECK(has(text, ".drop_checks = true"));
  tf::save_onnx(folder / "f.onnx", f, {.drop_checks = true});
  const std::string model = contents(folder / "f.onnx");
  CHECK(has(model, "Log"));
  CHECK(!has(model, "Print"));
  CHECK(folder.count() == 1);
}

TEST_CASE("A net in training is no ONNX model, and says so", "[onnx]") {
  const Scratch folder;
  tf::EagerMode eager;
  nn::Sequential net(nn::Conv2d(1, 2, 3), nn::BatchNorm2d(2), nn::Dropout(0.5));
  auto f = tf::function([&](const Tensor& x) { return net(x); });
  f(tf::ones({1, 1, 4, 4}));
  const std::string text = refusal([&] { tf::save_onnx(folder / "f.onnx", f); }, tf::Code::Unimplemented);
  INFO(text);
  CHECK(has(text, "BatchNorm"));
  CHECK(has(text, "RandomUniform"));
  CHECK(has(text, "net.eval()"));
}

TEST_CASE("What ONNX wants to know of shapes is asked for", "[onnx]") {
  const Scratch folder;
  tf::EagerMode eager;
  auto squeezed = tf::function([](const Tensor& x) { return tf::squeeze(x); });
  squeezed(tf::ones({1, 2}));
  CHECK(has(refusal([&] { tf::save_onnx(folder / "f.onnx", squeezed); }, tf::Code::Unimplemented), "the rank"));
  const auto pooled = [](const Tensor& x) { return tf::max_pool2d(x, 2, {.stride = 3, .padding = "same"}); };
  auto open = tf::function(pooled), known = tf::function(pooled, {.shapes = {{-1, 1, 7, 8}}});
  const Tensor image = tf::ones({1, 1, 7, 8});
  open(image), known(image);
  CHECK(has(refusal([&] { tf::save_onnx(folder / "f.onnx", open); }, tf::Code::Unimplemented), "not known"));
  tf::save_onnx(folder / "f.onnx", known);
}

TEST_CASE("An ONNX model is one trace of a function, called before", "[onnx]") {
  const Scratch folder;
  tf::EagerMode eager;
  auto f = tf::function([](const Tensor& x) { return x + x; });
  refusal([&] { tf::save_onnx(folder / "f.onnx", f); }, tf::Code::FailedPrecondition);
  f(1.f);
  f(tf::tensor({1, 2}));
  CHECK(has(refusal([&] { tf::save_onnx(folder / "f.onnx", f); }, tf::Code::InvalidArgument), ".trace = 0"));
  refusal([&] { tf::save_onnx(folder / "f.onnx", f, {.trace = 2}); }, tf::Code::InvalidArgument);
  tf::save_onnx(folder / "f.onnx", f, {.trace = 1});
  CHECK(contents(folder / "f.onnx").size() > 50);
}

TEST_CASE("Names of an ONNX model's inputs and outputs are the function's, and must differ", "[onnx]") {
  const Scratch folder;
  tf::EagerMode eager;
  auto f = tf::function(
      [](const Tensor& a, const Tensor& b) {
        return std::pair{a + b, a};
      },
      {.name = "both", .arguments = {"left", "right"}, .results = {"total", "copy"}});
  f(1.f, 2.f);
  tf::save_onnx(folder / "f.onnx", f);
  const std::string model = contents(folder / "f.onnx");
  for (const char* name : {"both", "left", "right", "total", "copy"}) CHECK(has(model, name));
  auto same = tf::function([](const Tensor& a) { return a + a; }, {.arguments = {"a"}, .results = {"a"}});
  same(1.f);
  CHECK(has(refusal([&] { tf::save_onnx(folder / "g.onnx", same); }, tf::Code::InvalidArgument), "'a'"));
}

TEST_CASE("Functions, steps and loaded functions give the same ONNX model in each mode", "[onnx]") {
  std::set<std::string> models;
  training::in_each_mode([&](tf::Session& session) {
    const Scratch folder;
    const tf::Variable w(tf::tensor({1.f, 2.f}), {.name = "w"});
    session.run(tf::global_variables_initializer());
    const auto body = [&](const Tensor& x) { return tf::relu(x * w); };
    auto f = tf::function(session, body, {.name = "f"});
    auto s = tf::step(session, body);
    const Tensor x = tf::tensor({1.f, -1.f});
    f(x), s(x);
    tf::save_onnx(folder / "f.onnx", f);
    tf::save_onnx(folder / "s.onnx", s);
    tf::save(folder / "f.safetensors", {{"f", f}});
    tf::save_onnx(folder / "loaded.onnx", tf::load(folder / "f.safetensors").function("f"));
    CHECK(contents(folder / "f.onnx") == contents(folder / "loaded.onnx"));
    CHECK(contents(folder / "s.onnx").size() > 50);
    models.insert(contents(folder / "f.onnx"));
  });
  CHECK(models.size() == 1);
}

TEST_CASE("More than 2 GB are refused", "[.][onnx_large]") {
  const Scratch folder;
  tf::EagerMode eager;
  const tf::Variable w(tf::zeros({int64_t{1} << 29}), {.name = "w"});
  auto f = tf::function([&](const Tensor& x) { return x + tf::sum(w.read()); });
  f(1.f);
  CHECK(has(refusal([&] { tf::save_onnx(folder / "f.onnx", f); }, tf::Code::Unimplemented), "2 GB"));
  CHECK(folder.count() == 0);
}
