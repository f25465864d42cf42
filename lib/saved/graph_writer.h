// Graphs written for people. Not installed.
#pragma once

#include <string>
#include <vector>

#include <twofold/graph/body.h>

namespace twofold::saved {

/// What the parts of a function's body are called outside.
struct FunctionNames {
  std::string function;
  std::vector<std::string> arguments;  ///< by parameter of the body
  std::vector<std::string> results;    ///< by output of the body
};

/// A line for each node, `name = Op(inputs) {attributes} -> float32 (?, 10)  # net.cc:12`; bodies are indented behind
/// theirs.
std::string text_of(const Body& body, const FunctionNames& names);
/// Graphviz's language: bodies are clusters that a dashed edge leads to.
std::string dot_of(const Body& body, const FunctionNames& names);

}  // namespace twofold::saved
