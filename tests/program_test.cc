// The calls that passes are written over: who reads a value, another put in its place, and what programs are held to.
#include <algorithm>
#include <functional>

#include <twofold/graph/graph_ops.h>
#include <twofold/session/program/passes.h>
#include <twofold/twofold.h>

#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
using tf::Program;
using tf::ProgramNode;
using tf::Reader;
using tf::ValueId;

namespace {

using Names = std::vector<std::string>;
using Readings = std::vector<std::pair<int64_t, uint32_t>>;  // (node, input), (-1, fetch)

/// The program that yields outputs 0 of the nodes `fetches` and runs `operations`.
Program program_of(const tf::Graph& graph, const Names& fetches, const Names& operations = {}) {
  static std::vector<tf::Graph> kept;  // a program does not keep its graph
  kept.push_back(graph);
  tf::GraphData& g = *graph.data();
  tf::Request request;
  for (const auto& name : fetches) request.fetches.push_back({static_cast<uint32_t>(g.find(name)), 0});
  for (const auto& name : operations) request.operations.push_back(static_cast<uint32_t>(g.find(name)));
  return tf::lower(g, request, tf::prune(g, request));
}

Readings readings(Program& p, ValueId v) {
  Readings all;
  for (const Reader r : p.readers(v)) all.emplace_back(r.is_fetch() ? -1 : int64_t{r.node}, r.input);
  std::ranges::sort(all);
  return all;
}

/// Nodes 0 to 4: x, exp(x), exp(x) + exp(x), (exp(x) + exp(x)) * exp(x), and tanh(x), which is run but not fetched.
Program sample() {
  const FreshGraph fresh;
  const auto x = tf::placeholder(tf::float32, {4});
  const auto e = tf::exp(x);
  const auto sum = e + e;
  (void)(sum * e), (void)tf::tanh(x);
  return program_of(fresh.graph, {"mul", "add"}, {"Tanh"});
}
constexpr size_t kX = 0, kExp = 1, kAdd = 2, kMul = 3, kTanh = 4;

std::string node_of(const tf::Tensor& t) { return std::string(t.name().substr(0, t.name().find(':'))); }

ValueId value(const Program& p, size_t node) { return p.nodes[node].first_output; }

}  // namespace

TEST_CASE("program: readers are the inputs of nodes and fetches, each reading once") {
  Program p = sample();
  CHECK(readings(p, value(p, kX)) == Readings{{kExp, 0}, {kTanh, 0}});
  CHECK(readings(p, value(p, kExp)) == Readings{{kAdd, 0}, {kAdd, 1}, {kMul, 1}});
  CHECK(readings(p, value(p, kAdd)) == Readings{{-1, 1}, {kMul, 0}});
  CHECK(readings(p, value(p, kMul)) == Readings{{-1, 0}});
  CHECK(p.readers(value(p, kMul)).is_one());
  CHECK_FALSE(p.readers(value(p, kAdd)).is_one());
  CHECK(p.readers(value(p, kTanh)).empty());
  CHECK_FALSE(p.readers(value(p, kTanh)).is_one());
  p.verify("nothing");
}

TEST_CASE("program: a value is replaced for all that read it, fetches too, and readers follow each change") {
  Program p = sample();
  const ValueId x = value(p, kX), e = value(p, kExp), sum = value(p, kAdd), product = value(p, kMul);
  p.replace(sum, e);
  CHECK(p.fetches == std::vector<ValueId>{product, e});
  CHECK(p.nodes[kMul].inputs[0] == e);
  CHECK(p.readers(sum).empty());
  CHECK(readings(p, e) == Readings{{-1, 1}, {kAdd, 0}, {kAdd, 1}, {kMul, 0}, {kMul, 1}});
  p.remove(p.nodes[kAdd]);
  CHECK(readings(p, e) == Readings{{-1, 1}, {kMul, 0}, {kMul, 1}});
  p.set_inputs(p.nodes[kMul], {});
  CHECK(readings(p, e) == Readings{{-1, 1}});
  tf::SmallVector<ValueId, 2> inputs;
  for (const ValueId v : {x, e, x}) inputs.push_back(v);
  p.set_inputs(p.nodes[kMul], std::move(inputs));
  CHECK(readings(p, x) == Readings{{kExp, 0}, {kMul, 0}, {kMul, 2}, {kTanh, 0}});
  CHECK(readings(p, e) == Readings{{-1, 1}, {kMul, 1}});
  p.replace(e, e);
  CHECK(readings(p, e) == Readings{{-1, 1}, {kMul, 1}});
  p.verify("changes");
}

TEST_CASE("program: a node put in the place of another makes new values; a root hands that on") {
  Program p = sample();
  ProgramNode tanh = p.nodes[kTanh];
  REQUIRE(tanh.root);
  tanh.root = false;
  const ValueId old = value(p, kTanh), made = static_cast<ValueId>(p.values.size());
  CHECK(p.readers(old).empty());
  p.remove(p.nodes[kTanh], &tanh);
  CHECK(tanh.root);
  tanh.first_output = made;
  p.values.push_back({.spec = p.spec(old)});
  p.put(kTanh, tanh);
  CHECK(p.producer(made) == &p.nodes[kTanh]);
  CHECK(p.producer(old) == nullptr);
  CHECK(readings(p, value(p, kX)) == Readings{{kExp, 0}, {kTanh, 0}});
  p.verify("put");
}

TEST_CASE("program: nodes that were moved are numbered anew") {
  Program p = sample();
  CHECK(readings(p, value(p, kMul)) == Readings{{-1, 0}});
  const ValueId tanh = value(p, kTanh), x = value(p, kX);
  std::rotate(p.nodes.begin() + kExp, p.nodes.begin() + kTanh, p.nodes.end());
  p.renumber();
  CHECK(p.producer(tanh) == &p.nodes[kExp]);
  CHECK(readings(p, x) == Readings{{kExp, 0}, {kAdd, 0}});
  p.verify("moving");
}

TEST_CASE("program: what passes break is reported with the node") {
  struct Fault {
    const char* reported;
    std::function<void(Program&)> plant;
  };
  const auto at = [](Program& p, size_t node) -> ProgramNode& { return p.nodes[node]; };
  const Fault faults[] = {
      {"node 1, a Exp, is dead, but input 0 of node 2 reads it", [&](Program& p) { p.remove(at(p, kExp)); }},
      {"node 3, a Mul, is dead, but fetch 0 reads it", [&](Program& p) { p.remove(at(p, kMul)); }},
      {"node 4, a Tanh, is a root, but dead", [&](Program& p) { p.remove(at(p, kTanh)); }},
      {"node 1, a Add, reads value 1 before node 2 makes it",
       [&](Program& p) { std::swap(at(p, kExp), at(p, kAdd)), p.renumber(); }},
      {"node 1, a Exp, has output 0, whose maker is said to be node -1",
       [&](Program& p) { p.values[value(p, kExp)].producer = -1; }},
      {"node 4, a Tanh, is said to make value 1, but does not",
       [&](Program& p) { p.values[value(p, kExp)].producer = kTanh; }},
      {"value 1 is of no node", [&](Program& p) { p.values[value(p, kExp)].producer = 5; }},
      {"node 4, a Tanh, has outputs that are no values", [&](Program& p) { at(p, kTanh).num_outputs = 2; }},
      {"node 4, a Tanh, reads value 77, which there is not", [&](Program& p) { at(p, kTanh).inputs[0] = 77; }},
      {"node 4, a Tanh, input 0 of node 4 reads value 5, which nobody gives",
       [&](Program& p) {
         p.values.push_back({.spec = p.spec(0)});
         at(p, kTanh).inputs[0] = 5;
       }},
      {"fetch 1 reads value 99, which there is not", [&](Program& p) { p.fetches[1] = 99; }},
      {"feed 0 gives no value, or another feed's", [&](Program& p) { p.feeds.push_back(value(p, kX)); }},
      {"node 2, a Add, is not dynamic, but makes a value of unknown shape",
       [&](Program& p) { p.values[value(p, kAdd)].spec.shape = {-1}; }},
      {"node 1, a Exp, value 1 is a float32 of shape (4,), but known to be a int32 of shape (4,)",
       [&](Program& p) { p.values[value(p, kExp)].constant = tf::eagerly([] {
                           return tf::tensor({1, 2, 3, 4});
                         }); }},
      {"node 1, a Exp, value 1 is a float32 of shape (4,), but known to be a float32 of shape ()",
       [&](Program& p) { p.values[value(p, kExp)].constant = tf::eagerly([] { return tf::tensor(1.f); }); }},
      {"node 2, a Add, runs on /gpu:0, but its output 0 lies on /cpu:0",
       [&](Program& p) { p.placed = true, at(p, kAdd).device = {1}; }},
      {"node 1, a Exp, reads input 0 on /gpu:0, but it lies on /cpu:0",
       [&](Program& p) { p.placed = true, at(p, kExp).device = p.values[value(p, kExp)].device = {1}; }},
      {"is of no op, or of no node of the graph", [&](Program& p) { at(p, kAdd).op = nullptr; }},
      {"is of no op, or of no node of the graph", [&](Program& p) { at(p, kAdd).graph_node = 1000; }},
      {"who reads value 0 is not known",
       [&](Program& p) {
         (void)p.readers(0);
         at(p, kAdd).inputs[1] = value(p, kX);
       }},
      {"who reads value 0 is not known",
       [&](Program& p) {
         (void)p.readers(0);
         at(p, kTanh).dead = true, at(p, kTanh).root = false;
         at(p, kMul).inputs[1] = value(p, kX);
       }},
      {"who reads value 2 is not known",
       [&](Program& p) {
         (void)p.readers(0);
         p.fetches[1] = value(p, kMul);
       }},
  };
  for (const Fault& fault : faults) {
    Program p = sample();
    p.verify("nothing");
    fault.plant(p);
    CHECK_ERROR(p.verify("a test"), Internal, "After a test the program is broken: ");
    CHECK_ERROR(p.verify("a test"), Internal, fault.reported);
  }
  Program p = sample();
  p.remove(p.nodes[kExp]);
  CHECK_ERROR(p.verify("a test"), Internal, "node 'Exp', ");
}

TEST_CASE("program: effects, and the order of what is done to a variable, are held to") {
  const auto made = [] {
    const FreshGraph fresh;
    const auto v = tf::Variable(1.f, {.name = "v"});
    const auto before = tf::identity(v.read());
    const auto assigned = v.assign(2.f);
    const auto after = tf::identity(v.read());
    return program_of(fresh.graph, {node_of(before), node_of(after)}, {node_of(assigned)});
  };
  Program p = made();
  std::string nodes;
  for (const ProgramNode& n : p.nodes) nodes += std::string(n.op->name) + ' ';
  REQUIRE(nodes == "ReadVariable Identity Assign ReadVariable Identity ");
  p.verify("nothing");
  std::swap(p.nodes[2], p.nodes[3]);
  p.renumber();
  CHECK_ERROR(p.verify("a test"), Internal, "writes the variable 'v' later than what the graph has behind it");
  p = made();
  std::rotate(p.nodes.begin(), p.nodes.begin() + 2, p.nodes.begin() + 3);
  p.renumber();
  CHECK_ERROR(p.verify("a test"), Internal, "reads the variable 'v' later than what the graph has behind it");
  p = made();
  p.remove(p.nodes[2], &p.nodes[0]);
  CHECK_ERROR(p.verify("a test"), Internal, "has an effect, but is dead");
}

TEST_CASE("program: an update is lowered to a read, an op and an assignment, where it stands") {
  const FreshGraph fresh;
  const auto v = tf::Variable(tf::zeros({2}), {.name = "v"});
  const auto x = tf::placeholder(tf::float32, {2});
  const auto added = v.assign_add(x), subtracted = v.assign_sub(1.f);
  Program p = program_of(fresh.graph, {node_of(added), node_of(subtracted)});
  std::string nodes;
  for (const ProgramNode& n : p.nodes) nodes += std::string(n.op->name) + ' ';
  REQUIRE(nodes == "Placeholder ReadVariable Add Assign ReadVariable Sub Assign ");
  for (const size_t read : {1, 4}) {
    CHECK(p.nodes[read + 1].inputs[0] == value(p, read));
    CHECK(p.nodes[read + 2].inputs[0] == value(p, read + 1));
    for (size_t i = read; i < read + 3; ++i) CHECK(p.nodes[i].graph_node == p.nodes[read].graph_node);
    CHECK_FALSE(p.nodes[read + 1].dynamic);
  }
  CHECK(p.nodes[2].inputs[1] == value(p, 0));
  CHECK(p.fetches == std::vector<ValueId>{value(p, 3), value(p, 6)});
}

TEST_CASE("program: updates read what is stored, whatever the variable is fed as, and fit or say so") {
  for (const bool optimize : {true, false}) {
    const FreshGraph fresh;
    const auto v = tf::Variable(tf::ones({2}), {.shape = tf::Shape{-1}});
    const auto w = tf::Variable(5.f);
    const auto x = tf::placeholder(tf::float32, tf::unknown_shape);
    const auto before = v * 10.f, added = v.assign_add(x), after = v * 10.f;
    const auto lower = w.assign_sub(2.f);
    tf::Session session({.optimize = optimize});
    session.run(tf::global_variables_initializer());
    const auto [b, a, c] = session.run({before, added, after}, {{x, {1.f, 2.f}}});
    CHECK(elements<float>(b) == std::vector<float>{10, 10});
    CHECK(elements<float>(a) == std::vector<float>{2, 3});
    CHECK(elements<float>(c) == std::vector<float>{20, 30});
    CHECK_ERROR(session.run(added, {{x, tf::eagerly([] {
                                       return tf::ones({2, 2});
                                     })}}),
                InvalidArgument, "A value of shape (2, 2) cannot be assigned to variable");
    CHECK(elements<float>(session.run(v)) == std::vector<float>{2, 3});
    CHECK(session.run(lower, {{w, 100.f}}).item<float>() == 3.f);
  }
}

TEST_CASE("program: control flow whose gradient is wanted leaves a trace") {
  const FreshGraph fresh;
  const auto x = tf::placeholder(tf::float32, tf::Shape{});
  const auto y = tf::cond(
      x > 0.f, [&] { return x * x; }, [&] { return -x; });
  const auto dx = tf::gradients(y, {x})[0];
  Program p = program_of(fresh.graph, {node_of(dx)});
  p.verify("nothing");
  for (ProgramNode& n : p.nodes) n.kept = nullptr;
  CHECK_ERROR(p.verify("a test"), Internal, "follows no trace");
}
