// Running a program, in one mode or the other: the same code for both.
#pragma once

#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <twofold/lib/op/random_key.h>

#include "coverage.h"
#include "program.h"

namespace fuzz {

/// A program that is being executed: eagerly, or into a graph.
struct State {
  const Program* program = nullptr;
  std::vector<tf::Tensor> values;         ///< by number; undefined: not there, or None
  std::vector<tf::Operation> operations;  ///< by the number of the value an Operation stands for
  std::vector<tf::Variable> variables;
  tf::GradientTape* tape = nullptr;
  int run = 0;                                         ///< eager: which feeds the placeholders yield
  const std::vector<tf::Tensor>* arguments = nullptr;  ///< as a function: what they yield instead
  size_t next_argument = 0;

  /// Value number `v`; throws Unusable if it is not there.
  const tf::Tensor& value(int v) const;
  const tf::Variable& variable(const Instruction& i) const;
  /// To run before something, or to tie to it.
  std::vector<tf::Fetch> fetches(const std::vector<int>& values) const;
};

/// A program that says nothing: an instruction lacks a value it needs. Shrinking makes such programs.
struct Unusable {};

void make_variables(const Program& p, State& s);
void execute(const Instruction& i, State& s);
/// One execution of the body.
void run_body(const Program& p, const tf::BodyKey& random, State& s);

/// What is written to standard output during its lifetime.
class Captured {
 public:
  Captured() : outer_(std::cout.rdbuf(text_.rdbuf())) {}
  ~Captured() { std::cout.rdbuf(outer_); }
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::streambuf* outer_;
};

/// What one run of a program gives. Its tensors are read on the host as soon as they are there, are kept, and are read
/// again when the program has ended: a value is a snapshot, whatever runs after it.
struct Results {
  std::vector<tf::Tensor> values;     ///< by number
  std::vector<tf::Tensor> variables;  ///< after the run
  std::string printed;
  std::string changed = {};  ///< what later runs made of these tensors; empty if they left them alone
};

/// How a program is executed deferred.
struct Config {
  bool optimize = false;
  std::string disabled_pass;  ///< "": none
  bool everything =
      true;  ///< fetches every value; else only some, and of the effects those that nothing fetched brings
  int threads = 1;
  std::string name() const;
};
std::vector<Config> all_configs(bool gpu = false);

/// One for each run, fewer if a later one needs a value that is None in it.
std::vector<Results> run_eagerly(const Program& p, int threads);

/// The program's graph, built once.
class Deferred {
 public:
  explicit Deferred(const Program& p);
  ~Deferred();
  /// Values that are not fetched are undefined in the result; `fetched` tells which are.
  std::vector<Results> run(const Config& config, std::vector<bool>& fetched) const;
  const tf::Graph& graph() const { return graph_; }

 private:
  const Program& program_;
  tf::Graph graph_;
  State state_;
};

/// What a program makes is made on its device.
class OnDeviceOf {
 public:
  explicit OnDeviceOf(const Program& p) {
    if (p.on_gpu()) guard_.emplace(p.device);
  }

 private:
  std::optional<tf::DeviceScope> guard_;
};

/// Where two executions part.
struct Difference {
  std::string config;
  std::string what;  ///< "value 7 in run 2: 3. and 4."
};

/// Runs `p` on its device, in both modes and in every way; nothing if all agree. With `only`, in that way alone. What
/// its graph has in it is added to `coverage`.
std::optional<Difference> find_difference(const Program& p, const std::string* only = nullptr,
                                          Coverage* coverage = nullptr);

/// The smallest program found that differs as `p` does.
Program shrink_difference(const Program& p, const Difference& difference);

}  // namespace fuzz
