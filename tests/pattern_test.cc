// A pass that rewrites a tree of ops is its rule: -(-x) is x, wherever nobody else reads what lies between.
#include <twofold/kernels/pointwise/ops.h>
#include <twofold/session/program/passes.h>
#include <twofold/session/program/pattern.h>
#include <twofold/twofold.h>

#include "both_modes.h"
#include "fresh_graph.h"

namespace tf = twofold;

namespace {

bool is_no_root(const tf::ProgramNode& n) { return !n.root; }

void drop_outer(tf::Program& p, const tf::Match& m) {
  const auto [outer, inner] = m.nodes<2>();
  p.replace(outer->first_output, inner->inputs[0]);
  p.remove(*outer);  // the inner one, which nobody reads any more, goes with dead code
}

int64_t drop_double_negations(tf::Program& p) {
  static const tf::Pattern inner = {.op = &tf::negative_op, .only_reader = true, .through_aliases = true};
  static const tf::Rule rules[] = {
      {.pattern = {.op = &tf::negative_op, .inputs = {inner}, .when = is_no_root}, .rewrite = drop_outer},
  };
  return tf::rewrite(p, rules);
}

// Up to here, with its includes, and a line in passes.cc's table, it would be a pass of the library.

struct Outcome {
  std::vector<tf::Tensor> values;
  int64_t changes = 0;
};

Outcome run(const std::vector<tf::Tensor>& fetches, const tf::Tensor& x, tf::SessionOptions options = {}) {
  static const bool added = (tf::add_first_pass({"double_negation", "-(-x) is x", drop_double_negations}), true);
  REQUIRE(added);
  tf::Session session(options);
  tf::Ledger ledger;
  const auto recording = ledger.record();
  Outcome o{session.run(fetches, {{x, {1.f, -0.f, 3.f}}}), 0};
  const auto passes = ledger.passes();
  if (const auto it = passes.find("double_negation"); it != passes.end()) o.changes = it->second;
  return o;
}

/// How many pairs the pass drops; what is fetched is the same to the bit without it.
int64_t changes(const std::vector<tf::Tensor>& fetches, const tf::Tensor& x) {
  const Outcome plain = run(fetches, x, {.optimize = false}),
                without = run(fetches, x, {.disabled_passes = {"double_negation"}});
  const Outcome with = run(fetches, x);
  CHECK(plain.changes == 0);
  CHECK(without.changes == 0);
  for (size_t i = 0; i < fetches.size(); ++i) {
    CHECK(testing::same_bits(plain.values[i], with.values[i]));
    CHECK(testing::same_bits(plain.values[i], without.values[i]));
  }
  return with.changes;
}

}  // namespace

TEST_CASE("passes: one of a pattern is a rule, with a name, a switch and a count") {
  const FreshGraph graph;
  const auto x = tf::placeholder(tf::float32, {3});
  const auto once = -x;
  CHECK(changes({-once}, x) == 1);
  CHECK(changes({tf::exp(-once) * 2.f}, x) == 1);
  CHECK(changes({-(-(-(-x)))}, x) == 2);
  CHECK(changes({-(-(-x))}, x) == 1);
}

TEST_CASE("passes: a pattern is found only where its words hold") {
  const FreshGraph graph;
  const auto x = tf::placeholder(tf::float32, {3});
  const auto once = -x;
  CHECK(changes({-once, once}, x) == 0);      // fetched
  CHECK(changes({-once, once + x}, x) == 0);  // read by another
  CHECK(changes({-once, -once}, x) == 0);     // by two
  CHECK(changes({-tf::abs(once)}, x) == 0);
  CHECK(changes({-tf::identity(once)}, x) == 1);
  CHECK(changes({-tf::identity(tf::identity(once))}, x) == 1);
  const auto handed = tf::identity(once);
  CHECK(changes({-handed, handed}, x) == 0);
  CHECK(changes({-tf::reshape(once, {3, 1})}, x) == 0);  // other shapes are other values
  CHECK(changes({-tf::constant({1.f, 2.f}), once}, x) == 0);
}
