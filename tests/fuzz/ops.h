// What programs are made of.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "machine.h"

namespace fuzz {

class Generator;

/// One kind of instruction.
struct OpEntry {
  std::string name;
  int weight;  ///< how often the generator takes it
  /// Its C++ text: $0 $1 .. are inputs, $all all of them, $axes $sizes $strides $paddings $shape $dtype $n $x $y $f $g the attributes, $v
  /// the variable; see expand in program.cc.
  std::string text;
  /// Chooses inputs and attributes; false if nothing there fits.
  std::function<bool(Generator& g, Instruction& i)> propose;
  std::function<std::vector<tf::Tensor>(State& s, const Instruction& i)> evaluate;
};

std::span<const OpEntry> op_entries();
/// The parts of it, by file.
void add_pointwise_entries(std::vector<OpEntry>& all);
void add_array_entries(std::vector<OpEntry>& all);
void add_conv_entries(std::vector<OpEntry>& all);
void add_random_entries(std::vector<OpEntry>& all);
void add_slicing_entries(std::vector<OpEntry>& all);
void add_einsum_entries(std::vector<OpEntry>& all);
void add_nn_entries(std::vector<OpEntry>& all);
void add_state_entries(std::vector<OpEntry>& all);
void add_control_entries(std::vector<OpEntry>& all);
void add_loop_entries(std::vector<OpEntry>& all);

const OpEntry& op_entry(const std::string& name);

/// True for branches and loops.
bool is_control_flow(const Instruction& i);
/// True for instructions that change something beyond their values.
bool is_effect(const Instruction& i);

}  // namespace fuzz
