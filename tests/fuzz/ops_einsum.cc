// Einstein sums, one kind of instruction for each equation.
#include <map>

#include "generator.h"
#include "ops.h"

namespace fuzz {
namespace {

constexpr const char* kEquations[] = {"ij,jk->ik",   "ij,kj->ki", "bij,bkj->bik", "abc,cbd->ad",
                                      "ab,cd->acbd", "i,i->",     "ij,j->i",      "...ij,...jk->...ik",
                                      "ii->i",       "ijk->ki",   "ab,bc,b->a",   "ab...,b...->a..."};

/// Values whose extents fit under the letters; "..." stands for one axis.
bool propose_einsum(const std::string& equation, Generator& g, Instruction& i) {
  const tf::DType dtype = g.rng().one_in(3) ? tf::float64 : tf::float32;
  std::map<char, int64_t> extents;
  i.inputs.clear();
  tf::Shape s;
  int dots = 0;
  for (char c : equation.substr(0, equation.find('-')) + ",") {
    if (c == ',') {
      i.inputs.push_back(g.rng().one_in(4) && equation.find('.') == std::string::npos ? g.vague_leaf(dtype, s)
                                                                                      : g.value_of(dtype, s));
      if (equation.find('.') != std::string::npos && !g.rank_known(i.inputs.back())) return false;
      s = {};
    } else if (c == '.') {
      if (++dots % 3 == 0) s.push_back(2);
    } else {
      if (!extents.contains(c)) extents[c] = g.rng().one_in(12) ? 0 : 1 + g.rng().below(5);
      s.push_back(extents[c]);
    }
  }
  return true;
}

}  // namespace

void add_einsum_entries(std::vector<OpEntry>& all) {
  for (const std::string equation : kEquations)
    all.push_back({"einsum " + equation, 1, "tf::einsum(\"" + equation + "\", {$all})",
                   [equation](Generator& g, Instruction& i) { return propose_einsum(equation, g, i); },
                   [equation](State& s, const Instruction& i) {
                     std::vector<tf::Tensor> operands;
                     for (int v : i.inputs) operands.push_back(s.value(v));
                     return std::vector{tf::einsum(equation, std::span<const tf::Tensor>(operands))};
                   }});
}

}  // namespace fuzz
