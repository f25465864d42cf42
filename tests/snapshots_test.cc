// What was fetched stays as it was, whatever is run later.
#include <functional>
#include <vector>

#include <twofold/twofold.h>

#include "catch.h"
#include "fresh_graph.h"

namespace tf = twofold;
using tf::Tensor;

TEST_CASE("A fetched value is a snapshot: read at once, or at the end, it is the same") {
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {3});
  const tf::Variable v({0.f, 10.f, 20.f});
  const Tensor same = tf::identity(v), flat = tf::reshape(v, {3, 1}), part = tf::strided_slice(v, {1}, {3});
  const Tensor added = v.assign_add({1.f, 1.f, 1.f}), fed = tf::identity(x);
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize});
    session.run(tf::global_variables_initializer());
    struct Kept {
      Tensor value;
      std::vector<float> read;  // at once
    };
    std::vector<Kept> kept;
    std::vector<float> buffer{1, 2, 3};
    float n = 0;
    const auto read_all = [&] {
      const auto values = session.run(std::vector<Tensor>{same, flat, part, fed}, {{x, buffer}});
      CHECK(elements<float>(values[0]) == std::vector<float>{n, 10 + n, 20 + n});
      CHECK(elements<float>(values[1]) == std::vector<float>{n, 10 + n, 20 + n});
      CHECK(elements<float>(values[2]) == std::vector<float>{10 + n, 20 + n});
      for (const Tensor& t : values) kept.push_back({t, elements<float>(t)});
      const Tensor variable = session.run(v);
      CHECK(elements<float>(variable) == std::vector<float>{n, 10 + n, 20 + n});
      kept.push_back({variable, elements<float>(variable)});
      for (float& f : buffer) f += 100;  // the caller's memory is the caller's
    };
    for (int round = 0; round < 6; ++round) {
      read_all();
      const Tensor after = session.run(added);
      ++n;
      CHECK(elements<float>(after) == std::vector<float>{n, 10 + n, 20 + n});
      kept.push_back({after, elements<float>(after)});
      session.run(added), ++n;
    }
    session.set({{v, tf::tensor({7.f, 7.f, 7.f})}});
    for (const Kept& k : kept) CHECK(elements<float>(k.value) == k.read);
  }
}
