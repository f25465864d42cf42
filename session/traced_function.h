// One trace of a function's body, and running it.
#pragma once

#include <any>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <twofold/graph/build_body.h>
#include <twofold/graph/guard.h>
#include <twofold/lib/op/switch.h>
#include <twofold/session/function_runner.h>

namespace twofold::internal {

/// Which trace serves a call: how the arguments are nested, the device that a guard chooses, then dtypes and ranks.
struct Signature {
  std::string structure;
  int8_t device = -1;
  std::vector<std::pair<DType, int>> arguments;  ///< rank -1: unknown
  friend auto operator<=>(const Signature&, const Signature&) = default;
};

/// A function's body, traced for arguments of one signature, with settings as they stood.
struct TracedFunction {
  Signature signature;
  SwitchReads::List settings;
  std::shared_ptr<const std::any> nest;
  std::vector<Tensor> values;  ///< results that are values already; undefined where the body's outputs give them
  std::vector<size_t> places;  ///< output i of the body is values[places[i]]
  Body body;                   ///< captures follow the arguments among the inputs of its node
  std::vector<Tensor> captured;
  std::vector<uint32_t> follows;
  std::vector<std::string> argument_names, result_names;  ///< in a saved program, as far as they are given
  TraceInfo info;                                         ///< without its constants, which `used` has
  std::vector<BodySymbols::Used> used;                    ///< values that the program held beside the body
  std::vector<Guard> guards;                              ///< what it holds for, in the order of the reads
  std::vector<uint32_t> held;                             ///< nodes of whose symbols somebody has kept a handle
};

/// The values that a body is traced for, where the host may read symbols.
struct Examples {
  const Session& session;        ///< what sees the variables
  std::vector<Tensor> values;    ///< of the arguments
  int64_t trace;                 ///< tells the trace from others
  bool known_shapes = false;     ///< arguments have the shapes of the examples
  std::source_location where{};  ///< the line that asked for that
};
/// How a body is traced.
struct Tracing {
  FunctionRunner::Kind kind;
  GraphData& home;  ///< the graph around
  const BodyKey& key;
  std::span<const Shape> shapes;  ///< declared
  std::source_location where;     ///< of the function
  const Examples* examples = nullptr;
};
/// Runs the body, once, in deferred mode. Throws as it does.
TracedFunction trace(const Tracing& tracing, const Signature& signature, const FunctionRunner::Body& body);

/// Where two traces of one signature differ, with lines; empty if nowhere.
std::string difference(const Body& a, const Body& b);

/// How a signature's arguments are written: "float32 (?, ?), int64 ()".
std::string to_string(const Signature& signature, std::span<const Shape> shapes);
/// What is known of argument `i`.
TensorSpec argument_spec(const Signature& signature, std::span<const Shape> shapes, size_t i);

}  // namespace twofold::internal
