// Running one program in every way it can run.
#pragma once

#include <twofold/twofold.h>

#include <functional>
#include <vector>

#include "catch.h"
#include "same_bits.h"

namespace testing {

/// The elements, whatever the dtype.
inline std::vector<double> doubles(const twofold::Tensor& t) {
  return twofold::dispatch(t.dtype(), [&](auto zero) {
    const auto data = t.data<decltype(zero)>();
    return std::vector<double>(data.begin(), data.end());
  });
}

/// What `program` computes eagerly, once it has been checked that a session gives the same bits from it, optimising or
/// not.
inline std::vector<twofold::Tensor> in_both_modes(const std::function<std::vector<twofold::Tensor>()>& program) {
  const std::vector<twofold::Tensor> eager = twofold::eagerly([&] {
    twofold::set_random_seed(0);  // the sequences of a graph begin with it, the eager ones with the process
    return program();
  });
  const twofold::Graph graph;
  const auto scope = graph.as_default();
  const std::vector<twofold::Tensor> symbols = program();
  const auto initialize = twofold::global_variables_initializer();
  for (const bool optimize : {false, true}) {
    const twofold::Session session(graph, {.optimize = optimize});
    session.run(initialize);
    const auto values = session.run(symbols);
    REQUIRE(values.size() == eager.size());
    for (size_t i = 0; i < eager.size(); ++i) {
      INFO("result " << i << ", optimize " << optimize << ": session " << values[i] << ", eager " << eager[i]);
      CHECK(same_bits(values[i], eager[i]));
    }
  }
  return eager;
}

}  // namespace testing
