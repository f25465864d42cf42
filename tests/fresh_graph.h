// What most tests begin with.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include <twofold/twofold.h>

/// An empty graph, the default one of this thread for the test's duration.
struct FreshGraph {
  twofold::Graph graph;
  twofold::Graph::Scope scope{graph};
};

template <class T>
std::string printed(const T& t) {
  std::ostringstream out;
  out << t;
  return out.str();
}

template <class T>
std::vector<T> elements(const twofold::Tensor& t) {
  const auto data = t.data<T>();
  return {data.begin(), data.end()};
}
