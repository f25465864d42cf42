// What plans make of ops that this library has none of yet: the OpDef's fields may be put together in other ways.
#include <limits>
#include <span>
#include <vector>

#include <twofold/graph/graph_data.h>
#include <twofold/kernels/check_numerics/check_numerics.h>
#include <twofold/lib/op/opdef.h>
#include <twofold/twofold.h>

#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
using tf::Tensor;

TEST_CASE("What an op has become for a run says what is wrong in its own words, not in the node's") {
  static const tf::OpDef op = [] {
    tf::OpDef o = *tf::find_op("CheckNumerics");
    o.refusal = nullptr;
    o.min_inputs = o.max_inputs = 2;
    o.host_inputs = 0b10;
    o.specialise = [](tf::AttrsView, std::span<const Tensor* const>) {
      const tf::CheckNumericsAttrs attrs{"the run's words"};
      return tf::Specialised{tf::find_op("CheckNumerics"), tf::make_ref<tf::AttrsBox>(tf::AttrsView(attrs)), 1};
    };
    return o;
  }();
  const auto checked = [](const Tensor& x) {
    const Tensor known = tf::constant(0);
    return tf::apply(op, {&x, &known}, tf::CheckNumericsAttrs{"the node's words"}, std::source_location::current());
  };
  const Tensor bad = tf::tensor({1.f, std::numeric_limits<float>::infinity()});
  CHECK_ERROR(tf::eagerly([&] { return checked(bad); }), InvalidArgument, "the run's words : Tensor had Inf values");
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {2}), y = checked(x);
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize});
    CHECK(elements<float>(session.run(y, {{x, {1.f, 2.f}}})) == std::vector{1.f, 2.f});
    CHECK_ERROR(session.run(y, {{x, bad}}), InvalidArgument, "the run's words : Tensor had Inf values");
  }
}

TEST_CASE("A plan has no place for an op that draws and may fail") {
  for (const tf::OpDef* op : tf::all_ops()) {
    INFO(op->name);
    CHECK_FALSE((op->flags.random && op->flags.can_fail));
  }
  static const tf::OpDef op = [] {
    tf::OpDef o = *tf::find_op("RandomUniform");
    o.flags.can_fail = true;
    return o;
  }();
  FreshGraph fresh;
  const Tensor drawn = tf::random_uniform({3});
  const tf::GraphData& g = *fresh.graph.data();
  const tf::Node& node = g.node(drawn.node());
  std::vector<Tensor> inputs;
  std::vector<const Tensor*> pointers;
  for (const tf::Edge e : node.inputs) inputs.push_back(fresh.graph.tensor(g.node_name(e.node) + ":0"));
  for (const Tensor& t : inputs) pointers.push_back(&t);
  const Tensor y = tf::apply(op, pointers, node.attrs_view(), std::source_location::current());
  CHECK_ERROR(tf::Session().run(y), Internal, "draws and may fail");
}
