// Gradients of bodies within bodies: random programs of nested branches and loops, in both modes to the bit; what their
// nodes hold; how their work grows with the number of passes.
#include <twofold/twofold.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <string>

#include <twofold/graph/backprop.h>
#include <twofold/graph/graph_ops.h>

#include "both_modes.h"

namespace tf = twofold;
using testing::in_both_modes;
using tf::Tensor;

namespace {

constexpr int64_t kSize = 4;  // of every value

// One thing that a program does, with what came before it; a branch or loop holds programs.
struct Step;
using Program = std::vector<Step>;
struct Step {
  int kind = 0;
  size_t a = 0, b = 0;  // operands, counted back from the last value modulo how many there are
  int64_t number = 0;   // passes, or a place
  Program first, second;
};

enum Kind {
  mul,
  tanh_add,
  variable,
  slices,
  rows,
  table_row,
  place,
  noise,
  counted,
  root,
  branch,
  loop,
  descent,
  kKinds
};

Program random_program(std::mt19937& rng, int depth, size_t steps, bool places) {
  Program made;
  for (size_t i = 0; i < steps; ++i) {
    Step s;
    const int kinds = depth > 0 ? kKinds : static_cast<int>(branch);
    s.kind = static_cast<int>(rng() % static_cast<unsigned>(kinds));
    if (depth > 0 && rng() % 3 == 0) s.kind = branch + static_cast<int>(rng() % 2);
    if (s.kind == place && !places) s.kind = slices;
    s.a = rng() % 7, s.b = rng() % 7, s.number = rng() % 4;
    if (s.kind >= branch) s.first = random_program(rng, depth - 1, 1 + rng() % 3, places);
    if (s.kind == branch) s.second = random_program(rng, depth - 1, 1 + rng() % 3, places);
    made.push_back(std::move(s));
  }
  return made;
}

struct Variables {
  tf::Variable w, table, count;
};

// What it comes to, from what is in `known`: something of everything, as graphs do not run what nobody reads.
Tensor done(const Program& program, std::vector<Tensor> known, const Variables& v) {
  const size_t before = known.size();
  for (const Step& s : program) {
    const auto operand = [&](size_t i) { return known[known.size() - 1 - i % known.size()]; };
    const Tensor a = operand(s.a), b = operand(s.b);
    const auto number = static_cast<int>(s.number);
    switch (s.kind) {
      case mul: known.push_back(a * b); break;
      case tanh_add: known.push_back(tf::tanh(a) + b); break;
      case variable: known.push_back(a * v.w); break;
      case slices:
        known.push_back(tf::concat({tf::strided_slice(a, {1}, {3}), tf::strided_slice(b, {0}, {2}) * 0.5f}, 0));
        break;
      case rows: known.push_back(tf::gather(a, tf::constant({number, 1, 1, 3})) * b); break;
      case table_row: known.push_back(tf::gather(v.table, tf::constant({number, 2}))[0] + a); break;
      case place:
        known.push_back(tf::concat({tf::slice(a, {tf::cast(tf::sum(b) > 0, tf::int32)}, {3}),
                                    tf::strided_slice(b, {2}, {3}) * tf::slice(a, {number}, {1})},
                                   0));
        break;
      case noise: known.push_back(a * tf::random_uniform({kSize})); break;
      case counted: known.push_back(a + tf::cast(v.count.assign_add(1.f), tf::float32) * 0.01f); break;
      case root: known.push_back(tf::sqrt(a * a + 0.1f)); break;
      case branch:
        known.push_back(tf::cond(
            tf::sum(a) > tf::sum(b) * 0.7f, [&] { return done(s.first, known, v); },
            [&] { return done(s.second, known, v); }));
        break;
      case loop: {
        const auto [i, x, y] = tf::while_loop([&](Tensor i, Tensor, Tensor) { return i < number; },
                                              [&](Tensor i, Tensor x, Tensor y) {
                                                std::vector<Tensor> inside = known;
                                                inside.push_back(x);
                                                inside.push_back(y);
                                                return std::tuple{i + 1, tf::tanh(done(s.first, inside, v)), x};
                                              },
                                              std::tuple{0, a, b});
        known.push_back(x + y * 0.5f);
        break;
      }
      case descent: {
        tf::GradientTape tape;
        tape.watch(a);
        const Tensor cost = tf::sum(tf::cond(
            tf::sum(a) > number - 2.f, [&] { return a * a * b; }, [&] { return tf::tanh(a); }));
        const Tensor da = tape.gradient(cost, a);
        known.push_back(a - (da.defined() ? da : tf::zeros_like(a)) * 0.1f);
        break;
      }
    }
    known.back() = tf::tanh(known.back()) * 1.5f;
  }
  Tensor all = known.back();
  for (size_t i = before; i + 1 < known.size(); ++i) all = all + known[i] * 0.3f;
  return all;
}

Tensor zero_if_none(const Tensor& t, const Tensor& like) { return t.defined() ? t : tf::zeros_like(like); }

// What it gives and, one order after another, the gradients of the sum of all squares of what came before.
std::vector<Tensor> derivatives(const Program& program, int orders) {
  const Tensor x = tf::constant({0.5f, -0.25f, 1.25f, 0.75f}), y = tf::constant({-0.5f, 0.4f, 0.3f, 1.f});
  const Variables v{
      tf::Variable({0.9f, -0.7f, 1.1f, 0.6f}),
      tf::Variable({{0.1f, 0.2f, 0.3f, 0.4f}, {-1.f, 1.f, -1.f, 1.f}, {0.7f, 0.f, 0.2f, -0.4f}, {1.f, 2.f, 3.f, 4.f}}),
      tf::Variable(0.f, {.trainable = false})};
  std::vector<std::unique_ptr<tf::GradientTape>> tapes;
  for (int k = 0; k < orders; ++k) {
    tapes.push_back(std::make_unique<tf::GradientTape>());
    tapes.back()->watch(x);
    tapes.back()->watch(y);
  }
  std::vector<Tensor> all{done(program, {x, y}, v) + x * 0.1f}, last = all;
  for (; !tapes.empty(); tapes.pop_back()) {
    Tensor cost = tf::constant(0.f);
    for (const Tensor& t : last) cost = cost + tf::sum(t * t) * 0.1f;
    last = tapes.back()->gradient(cost, {x, y, v.w, v.table});
    const std::vector<Tensor> like{x, y, v.w, v.table};
    for (size_t i = 0; i < last.size(); ++i) {
      last[i] = zero_if_none(last[i], like[i]);
      all.push_back(last[i]);
    }
  }
  all.push_back(v.count + 0.f);
  return all;
}

}  // namespace

// Set TWOFOLD_BODIES to a number to try 300 programs from it on.
TEST_CASE("gradients of random nested bodies are the same to the bit in both modes") {
  const char* from = std::getenv("TWOFOLD_BODIES");
  const int first = from ? std::atoi(from) : 0, count = from ? 300 : 40;
  for (int seed = first; seed < first + count; ++seed) {
    std::mt19937 rng(static_cast<unsigned>(seed));
    const bool third = seed % 4 == 0;
    const Program program = third ? random_program(rng, 2, 2, false) : random_program(rng, 3, 1 + rng() % 4, true);
    INFO("seed " << seed);
    in_both_modes([&] { return derivatives(program, third ? 3 : 2); });
  }
}

namespace {

// The state of a small recurrent net after `passes` steps over `inputs`, summed up.
Tensor recurrent(int64_t passes, const tf::Variable& w, const Tensor& inputs) {
  const auto [i, h, cost] =
      tf::while_loop([&](Tensor i, Tensor, Tensor) { return i < passes; },
                     [&](Tensor i, Tensor h, Tensor cost) {
                       const Tensor next = tf::tanh(tf::matmul(h, w) + tf::gather(inputs, i));
                       const Tensor more = tf::cond(
                           i % 2 < 1, [&] { return tf::sum(next * next); }, [&] { return tf::sum(next * inputs[0]); });
                       return std::tuple{i + 1, next, cost + more};
                     },
                     std::tuple{tf::constant(int64_t{0}), tf::zeros({1, 3}), 0.f});
  return cost + tf::sum(h);
}

// How often kernels are called for the first and second derivatives of `recurrent`.
int64_t kernel_calls(int64_t passes) {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const tf::Variable w({{0.3f, -0.2f, 0.5f}, {0.1f, 0.4f, -0.6f}, {-0.3f, 0.2f, 0.1f}});
  const Tensor inputs = tf::reshape(tf::sin(tf::cast(tf::range(100 * 3), tf::float32) * 0.1f), {100, 3});
  const Tensor first = tf::gradients(recurrent(passes, w, inputs), {w})[0];
  const Tensor second = tf::gradients(tf::sum(first * first), {w})[0];
  const tf::Session session(graph);
  session.run(tf::global_variables_initializer());
  session.run({first, second});  // plans
  tf::Ledger ledger;
  {
    const auto recording = ledger.record();
    session.run({first, second});
  }
  int64_t calls = 0;
  for (const auto& [op, time] : ledger.ops()) calls += time.calls;
  return calls;
}

// All nodes of a graph, of its bodies, backward ones too, and of theirs.
void for_each_node(const tf::GraphData& g, const std::function<void(const tf::Node&)>& f) {
  for (uint32_t id = 0; id < g.size(); ++id) {
    const tf::Node& n = g.node(id);
    f(n);
    for (const tf::Body* b : tf::bodies_of(*n.op, n.attrs_view())) for_each_node(*b->graph, f);
    if (n.op != &tf::backprop_op) continue;
    for (const tf::BodyGradient& b : n.attrs_view().as<tf::BackpropAttrs>().gradients)
      if (b.body.graph) for_each_node(*b.body.graph, f);
  }
}

}  // namespace

TEST_CASE("a loop's gradient does as much in each pass") {
  const int64_t few = kernel_calls(10), more = kernel_calls(20), most = kernel_calls(40);
  INFO(few << " calls, " << more << ", " << most);
  CHECK(few > 10 * 20);
  CHECK(most - more == 2 * (more - few));
}

TEST_CASE("gradients of bodies are bodies of the ops that there are") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const tf::Variable w({{0.3f, -0.2f, 0.5f}, {0.1f, 0.4f, -0.6f}, {-0.3f, 0.2f, 0.1f}});
  const Tensor inputs = tf::constant({{1.f, 0.5f, 2.f}, {0.1f, 0.2f, 0.3f}});
  const Tensor first = tf::gradients(recurrent(2, w, inputs), {w})[0];
  tf::gradients(tf::sum(first * first), {w});
  std::map<std::string, int> count;
  int objects = 0;
  for_each_node(*first.graph(), [&](const tf::Node& n) {
    ++count[n.op->name];
    CHECK(tf::find_op(n.op->name) == n.op);
    if (n.op == &tf::constant_op)
      objects += n.attrs_view().as<tf::ConstantAttrs>().value.tensor.value()->object() != nullptr;
  });
  CHECK(objects == 0);
  // Of the loop and, within its backward bodies, of the branch.
  CHECK(count["Backprop"] >= 4);
  CHECK(count["TanhGrad"] >= 2);
  CHECK(count["MatMul"] >= 4);
}

TEST_CASE("a backward body reads of the forward one what its rules need") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::float32, {3}), p = tf::placeholder(tf::bool_, {});
  const Tensor y = tf::cond(
      p, [&] { return tf::exp(x) * tf::random_uniform({3}) + x; }, [&] { return x; });
  const tf::Body& body = y.graph()->node(y.node()).attrs_view().as<tf::IfAttrs>().then_body;
  const tf::Dy given[] = {tf::Dy::conditional};
  const uint32_t wanted[] = {0};
  const tf::BodyGradient made = tf::differentiate_body(body, given, wanted, {});
  CHECK(made.forward == body.graph->size());
  for (uint32_t id = 0; id < made.forward; ++id) CHECK(made.body.graph->node(id).op == body.graph->node(id).op);
  // d(exp(x) * u + x) = exp(x) * u * dy + dy reads exp(x) and u, whose op is not run again.
  std::vector<std::string> reads;
  for (const tf::ForwardRead& r : made.reads) {
    CHECK(r.edge.node < made.forward);
    if (!r.shape_only) reads.push_back(body.graph->node(r.edge.node).op->name);
  }
  std::ranges::sort(reads);
  CHECK(reads == std::vector<std::string>{"Exp", "RandomUniform"});
  CHECK(made.body.parameters.size() == 2);  // dy, and whether it has arrived
  REQUIRE(made.inputs.size() == 1);
  REQUIRE(made.inputs[0].parts.size() == 1);
  CHECK(made.inputs[0].parts[0].kind == tf::Contribution::Kind::whole);
  CHECK(made.inputs[0].parts[0].arrived >= 0);
  CHECK(made.body.effects.empty());
  CHECK(made.body.reads.empty());
}

TEST_CASE("a loop keeps of each pass what its backward body reads, and nothing where no gradient is run") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::float32, {3});
  const Tensor y = tf::while_loop([](Tensor s) { return tf::sum(s) < 4.f; },
                                  [&](Tensor s) { return tf::tanh(s * 2.f) * 0.5f + tf::abs(x) + 1.f; }, x);
  const Tensor dx = tf::gradients(y, {x})[0];
  const tf::GraphData& g = *y.graph();
  std::vector<uint32_t> nodes(g.size());
  std::iota(nodes.begin(), nodes.end(), 0u);
  const tf::KeptByNode kept = tf::kept_for_gradients(g, nodes);
  REQUIRE(kept.size() == 1);
  CHECK(kept.begin()->first == y.node());
  REQUIRE(kept.begin()->second.size() == 1);
  // The slopes of tanh and abs read what they are taken of: a product, and x, which is the same in each pass.
  const tf::Body& body = g.node(y.node()).attrs_view().as<tf::WhileAttrs>().body;
  std::vector<std::string> ops;
  for (const tf::ForwardRead& r : kept.begin()->second[0].edges) ops.push_back(body.graph->node(r.edge.node).op->name);
  std::ranges::sort(ops);
  CHECK(ops == std::vector<std::string>{"Capture", "Mul"});
  CHECK(tf::kept_for_gradients(g, std::span(nodes).first(y.node() + 1)).empty());
}

TEST_CASE("a run's gradients draw no numbers, and the next run draws on") {
  const auto program = [] {
    const Tensor x = tf::constant({0.5f, -0.25f, 3.f});
    tf::GradientTape tape;
    tape.watch(x);
    const auto [i, y] =
        tf::while_loop([](Tensor i, Tensor) { return i < 3; },
                       [&](Tensor i, Tensor y) {
                         return std::tuple{i + 1, tf::cond(
                                                      i < 2, [&] { return y * tf::random_uniform({3}); },
                                                      [&] { return y * x + tf::random_normal({3}); })};
                       },
                       std::tuple{0, x});
    return std::tuple{y, tape.gradient(y, x)};
  };
  const auto runs = [&] {
    auto step = tf::step(program);
    std::vector<Tensor> all;
    for (int i = 0; i < 2; ++i) {
      const auto [y, dx] = step();
      all.insert(all.end(), {y, dx});
    }
    return all;
  };
  const std::vector<Tensor> eager = tf::eagerly([&] {
    tf::set_random_seed(0);
    return runs();
  });
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const std::vector<Tensor> deferred = runs();
  for (size_t i = 0; i < eager.size(); ++i) CHECK(testing::same_bits(deferred[i], eager[i]));
  CHECK(!testing::same_bits(eager[1], eager[3]));
}

TEST_CASE("an error in a backward body names the op and its line") {
  const auto failure = [](bool eager) {
    const auto program = [] {
      const Tensor x = tf::constant({0.f, 4.f});
      tf::GradientTape tape;
      tape.watch(x);
      const Tensor y =
          tf::while_loop([](Tensor y) { return tf::sum(y) > 3.f; },
                         [&](Tensor y) { return tf::sqrt(tf::check_numerics(y, "the root's argument")); }, x);
      return tape.gradient(y, x);
    };
    try {
      if (eager) {
        tf::eagerly([&] { return program(); });
      } else {
        const tf::Graph graph;
        const auto scope = graph.as_default();
        const Tensor dx = program();
        tf::Session(graph).run(dx);
      }
    } catch (const tf::Error& e) {
      return fmt::format("{} {} {}", e.message(), e.facts().op, e.facts().where.line());
    }
    return std::string();
  };
  const std::string eager = failure(true);
  CHECK(eager.find("detected in gradient") != std::string::npos);
  CHECK(failure(false) == eager);
}
