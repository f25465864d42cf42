// Running a training program eager, deferred, and deferred with optimisation.
#pragma once

#include <twofold/twofold.h>

#include <cstring>
#include <vector>

#include "catch.h"

namespace training {

namespace tf = twofold;
using tf::Tensor;

inline std::vector<float> floats(const Tensor& t) {
  const auto data = t.data<float>();
  return {data.begin(), data.end()};
}

inline bool same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const std::vector<float> x = floats(a[i]), y = floats(b[i]);
    if (a[i].shape() != b[i].shape() || std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) != 0) return false;
  }
  return true;
}

inline float number(const Tensor& t) { return t.item<float>(); }

enum class How { eager, deferred, optimized };
inline constexpr How kWays[] = {How::eager, How::deferred, How::optimized};

/// Runs `program` eager or in a graph of its own; programs that take a session step through it.
template <class Program>
auto in_mode(How how, Program program) {
  if (how == How::eager) {
    tf::EagerMode eager;
    tf::set_random_seed(7);
    tf::Session unused;
    return program(unused);
  }
  tf::Graph graph;
  const auto scope = graph.as_default();
  tf::set_random_seed(7);
  tf::Session session({.optimize = how == How::optimized});
  return program(session);
}

/// Runs `program` in every mode, on a session for steps that are made with it.
template <class Program>
void in_each_mode(Program program) {
  for (const How how : kWays) {
    INFO("mode " << static_cast<int>(how));
    in_mode(how, [&](tf::Session& session) {
      program(session);
      return 0;
    });
  }
}

/// What `program` gives in eager mode; checks that both ways of deferred mode give the same bits.
template <class Program>
std::vector<Tensor> in_all_modes(Program program) {
  const auto eager = in_mode(How::eager, program);
  CHECK(same_bits(in_mode(How::deferred, program), eager));
  CHECK(same_bits(in_mode(How::optimized, program), eager));
  return eager;
}

}  // namespace training
