// A program as what a file holds of it. Not installed.
#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <twofold/graph/body.h>
#include <twofold/lib/io/safetensors.h>
#include <twofold/lib/op/body_execution.h>
#include <twofold/lib/saved/saved_program.h>

namespace twofold::saved {

inline constexpr uint32_t kFormatVersion = 1;
inline constexpr std::string_view kGraphTensor = "twofold.graph";  ///< the tensor that holds the graphs
inline constexpr std::string_view kFormatKey = "twofold";          ///< the note that holds the version
inline constexpr std::string_view kConstantPrefix = "twofold.constant.";
inline constexpr size_t kMostInline = 4096;  ///< bytes of a constant beyond which it is a tensor of the file

/// One trace of a function.
struct FunctionRecord {
  std::string name;
  std::vector<std::string> arguments;
  struct Result {
    std::string name;
    int64_t output = -1;  ///< of the body
    Tensor constant;      ///< else; undefined: it only does something
  };
  std::vector<Result> results;
  Body body;
  int8_t device = -1;  ///< that a guard chose for all of it, which a file leaves open
  std::source_location where;
};

/// All that a file holds.
struct ProgramRecord {
  std::vector<FunctionRecord> functions;
  std::vector<std::pair<Ref<VariableState>, Tensor>> variables;  ///< with their values
  struct Draws {
    uint64_t key = 0;
    uint32_t generation = 0;
    uint64_t count = 0;
  };
  std::vector<Draws> draws;
  SavedInfo info;                            ///< of a program that was read
  std::shared_ptr<RandomCounters> counters;  ///< of a program that was read: where its random ops count
};

/// What `save` would write, with the values of variables now. Throws as it does.
ProgramRecord record_of(std::initializer_list<internal::ToSave> functions, std::source_location where);
ProgramRecord record_of(const SavedProgram& program, std::source_location where);
/// What `load` gives for a record that was read.
SavedProgram program_of(ProgramRecord record, const LoadOptions& options, std::source_location where);

/// The tensors of the file and its notes.
std::pair<io::NamedTensors, io::Metadata> write_program(const ProgramRecord& program, const SaveOptions& options);
/// From a file's. `source` is what errors call it. Throws as `load` does.
ProgramRecord read_program(const io::Safetensors& file, const std::string& source);

/// How deep bodies may lie in each other in a file.
inline constexpr int kMostNested = 200;

/// What is wrong with a node that `g` would get: the op's own rules, and check_bodies; empty: nothing.
std::string check_node(GraphData& g, const NodeRecord& node);
/// All bodies that a node holds, those of gradients too.
std::vector<const Body*> all_bodies_of(const OpDef& op, AttrsView attrs);
/// What is wrong with the bodies that a node of `g` would hold, and how they are wired; empty: nothing.
std::string check_bodies(const GraphData& g, const NodeRecord& node);

}  // namespace twofold::saved
