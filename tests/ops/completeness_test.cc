// Every op is whole: walks the registry.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include <twofold/graph/body.h>
#include <twofold/graph/graph_data.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/pointwise/record.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/runtime/plugin.h>
#include <twofold/twofold.h>

#include "../catch.h"
#include "check.h"
#include "source_root.h"

namespace tf = twofold;
using namespace op_test;

namespace {

using Samples = std::map<std::string, tf::Ref<tf::AttrsBox>>;  // by op; null where an op has no attributes

void collect(const tf::GraphData& g, Samples& into) {
  for (uint32_t id = 0; id < g.size(); ++id) {
    const tf::Node& n = g.node(id);
    into.emplace(n.op->name, n.attrs);
    for (const tf::Body* body : tf::bodies_of(*n.op, n.attrs_view())) collect(*body->graph, into);
  }
}

// The ops that a record's call makes, with and without known shapes.
Samples ops_of(const Record& r) {
  Samples found;
  for (const bool known : {true, false}) {
    tf::Graph graph;
    const auto scope = graph.as_default();
    tf::DeferredMode deferred;
    Tensors in;
    for (size_t k = 0; k < r.shapes[0].size(); ++k)
      in.push_back(tf::placeholder(k < r.fixed.size() && r.fixed[k] ? *r.fixed[k] : r.dtypes[0],
                                   known ? r.shapes[0][k] : tf::unknown_shape));
    r.call(in);
    collect(*graph.data(), found);
  }
  return found;
}

// One node at least of each op that no record is for: sources, state, control flow.
void machinery(Samples& found) {
  tf::Graph graph;
  const auto scope = graph.as_default();
  tf::DeferredMode deferred;
  const tf::Tensor x = tf::placeholder(tf::float32, {2});
  const tf::Variable v(tf::constant({1.f, 2.f}));
  v.read();
  tf::print(v.assign(x), "x = ");
  tf::assert_that(tf::sum(x) > 0.f, "x", {x});
  v.assign_add(x);
  v.assign_sub(x);
  tf::no_op();
  const tf::Tensor chosen = tf::cond(
      tf::sum(x) > 0.f, [&] { return x * v; }, [&] { return -x; });
  tf::gradients(chosen, {x, v});
  tf::while_loop([](const tf::Tensor& i) { return i < 3; }, [](const tf::Tensor& i) { return i + 1; },
                 std::tuple{tf::constant(0)});
  const tf::TensorArray array = tf::TensorArray(tf::float32, 2).unstack(x).write(1, x[0]);
  const tf::Tensor loops = tf::sum(tf::map_fn([](const tf::Tensor& v) { return v * v; }, x)) + array.read(0);
  tf::gradients(tf::sum(array.stack()) + loops, {x});
  tf::function([](tf::Tensor y) { return y * 2.f; })(x);
  tf::trace([](tf::Tensor y) { return tf::sum(y) > 0.f ? y : -y; }, std::vector<float>{1, 2})(x);
  x.to("/cpu:0");
  tf::random_normal({2});
  tf::random_uniform({2});
  tf::truncated_normal({2});
  tf::random_uniform_int({2}, 0, 5);
  tf::random_permutation(3);
  collect(*graph.data(), found);
}

std::set<std::string> recorded_ops() {
  std::set<std::string> names;
  for (const Record& r : records()) names.insert(r.op);
  return names;
}

std::string source(const std::string& path) {
  std::ifstream file(TWOFOLD_SOURCE_ROOT "/" + path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string gpu_sources() {
  std::string all;
  for (const auto& file : std::filesystem::recursive_directory_iterator(TWOFOLD_SOURCE_ROOT "/kernels"))
    if (file.path().extension() == ".cu") all += source(relative(file.path(), TWOFOLD_SOURCE_ROOT).string());
  return all;
}

}  // namespace

TEST_CASE("Every op has a shape rule, a documentation line and a decided gradient") {
  for (const tf::OpDef* op : tf::all_ops()) {
    INFO(op->name);
    CHECK(op->infer != nullptr);
    CHECK(std::string(op->doc).size() > 10);
    CHECK(op->differentiable != tf::Differentiability::missing);
    CHECK((op->gradient != nullptr) == (op->differentiable == tf::Differentiability::rule));
    CHECK(tf::find_op(op->name) == op);
  }
}

TEST_CASE("Every op has its kernels") {
  const std::string cuda = gpu_sources();
  REQUIRE(cuda.size() > 1000);
  const bool pointwise_by_record = cuda.find("#include <twofold/kernels/pointwise/ops.def>") != std::string::npos;
  std::set<std::string> pointwise;
  for (const auto& p : tf::pointwise_records()) pointwise.insert(p.op);
  for (const tf::OpDef* op : tf::all_ops()) {
    if (op->flags.alias || op->flags.session || op->specialise || op->run) continue;
    INFO(op->name);
    CHECK(tf::find_kernel(op->id, tf::Device{}) != nullptr);
    if (op->flags.host_only) continue;
    const bool has_cuda = cuda.find("{op_name::" + std::string(op->name) + ",") != std::string::npos ||
                          (pointwise_by_record && pointwise.contains(op->name));
    CHECK(has_cuda);
  }
}

TEST_CASE("Every op has a test record that does use it") {
  const auto recorded = recorded_ops();
  for (const tf::OpDef* op : tf::all_ops()) {
    if (op->flags.session || op->flags.random || op->run) continue;  // tested as sessions and sequences are
    INFO(op->name);
    CHECK(recorded.contains(op->name));
  }
  for (const Record& r : records()) {
    INFO(r.op << " (" << r.label << ")");
    CHECK(ops_of(r).contains(r.op));
    const tf::OpDef* op = tf::find_op(r.op);
    REQUIRE(op);
    if (!r.gradient_of.empty()) CHECK(op->differentiable == tf::Differentiability::rule);
  }
  for (const tf::OpDef* op : tf::all_ops()) {
    if (op->differentiable != tf::Differentiability::rule || op->flags.session || op->run) continue;
    INFO(op->name << " has a gradient that no record checks");
    CHECK(std::any_of(records().begin(), records().end(),
                      [&](const Record& r) { return r.op == op->name && !r.gradient_of.empty(); }));
  }
}

TEST_CASE("Equality, hash and print of attributes see every field of every op's") {
  Samples samples;
  machinery(samples);
  for (const Record& r : records()) samples.merge(ops_of(r));
  for (const tf::OpDef* op : tf::all_ops()) {
    if (op->attrs->field_count == 0) continue;
    INFO(op->name << ": " << op->attrs->field_names);
    REQUIRE(samples[op->name]);
    const tf::AttrsView given = samples[op->name]->view();
    REQUIRE(given.type() == op->attrs);
    if (op->name != std::string("Fused")) {  // which plans have, and no file
      const tf::FieldValue::List saved = op->attrs->save(given.data());
      REQUIRE(saved.size() == op->attrs->field_count);
      std::vector<const tf::FieldValue*> fields;
      for (const tf::FieldValue& f : saved) fields.push_back(&f);
      void* loaded = op->attrs->load(fields);
      CHECK(tf::AttrsView(op->attrs, loaded) == given);
      op->attrs->destroy(loaded);
    }
    for (size_t field = 0; field < op->attrs->field_count; ++field) {
      INFO("field " << field << " of " << given.str());
      void* changed = op->attrs->clone(given.data());
      const tf::AttrsView view(op->attrs, changed);
      CHECK(view == given);
      CHECK(view.hash() == given.hash());
      CHECK(view.str() == given.str());
      op->attrs->perturb(changed, field);
      CHECK_FALSE(view == given);
      CHECK(view.hash() != given.hash());
      CHECK(view.str() != given.str());
      op->attrs->destroy(changed);
    }
  }
}

TEST_CASE("Prepared kernels and plans are told apart by attributes") {
  const tf::TensorSpec square{tf::float32, {3, 3}};
  const tf::TensorSpec in[] = {square, square}, out[] = {square};
  const tf::OpDef& matmul = *tf::find_op("MatMul");
  std::set<const tf::Prepared*> kinds;
  for (const bool a : {false, true})
    for (const bool b : {false, true}) {
      const tf::MatMulAttrs attrs{a, b};
      kinds.insert(tf::prepare(matmul, attrs, in, out, {}, tf::internal::numerics_word()).get());
      CHECK(tf::prepare(matmul, attrs, in, out, {}, tf::internal::numerics_word()) ==
            tf::prepare(matmul, attrs, in, out, {}, tf::internal::numerics_word()));
    }
  CHECK(kinds.size() == 4);

  tf::Graph graph;
  const auto scope = graph.as_default();
  const tf::Tensor x = tf::placeholder(tf::float32, {2, 2});
  tf::Session session(graph);
  const auto [rows, columns] = session.run({tf::softmax(x, 1), tf::softmax(x, 0)}, {{x, {{1, 2}, {3, 5}}}});
  CHECK(bit_difference(rows, columns) != "");
}
