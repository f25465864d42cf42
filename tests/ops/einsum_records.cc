// Records of einsum, by its definition: a loop over all letters.
#include <map>

#include <twofold/kernels/einsum/einsum.h>

#include "record.h"

namespace op_test {
namespace {

using namespace twofold;

struct Case {
  const char* op;  ///< one that it is made of
  const char* equation;
  std::vector<std::vector<Shape>> shapes;
};

/// The letters' parts of an equation that has "->" and no "...".
std::vector<std::string> parts_of(std::string equation) {
  std::vector<std::string> parts(1);
  for (char c : equation) {
    if (c == ',' || c == '-')
      parts.emplace_back();
    else if (c != '>' && c != ' ')
      parts.back() += c;
  }
  return parts;
}

Array einsum_of(const std::string& equation, std::span<const Array> in) {
  const std::vector<std::string> parts = parts_of(equation);
  std::string letters = parts.back();  // those of the result first
  std::map<char, int64_t> extents;
  for (size_t k = 0; k < in.size(); ++k)
    for (size_t i = 0; i < parts[k].size(); ++i) {
      extents[parts[k][i]] = in[k].shape[static_cast<int>(i)];
      if (letters.find(parts[k][i]) == std::string::npos) letters += parts[k][i];
    }
  Shape result, summed;
  for (size_t i = 0; i < letters.size(); ++i)
    (i < parts.back().size() ? result : summed).push_back(extents[letters[i]]);
  std::vector<double> magnitude;
  Array y = generate(in[0].dtype, result, [&](const Index& at_result) {
    double sum = 0, size = 0;
    for_each_index(summed, [&](const Index& at_summed) {
      Index all = at_result;
      all.insert(all.end(), at_summed.begin(), at_summed.end());
      double product = 1;
      for (size_t k = 0; k < in.size(); ++k) {
        Index own;
        for (char c : parts[k]) own.push_back(all[letters.find(c)]);
        product *= at(in[k], own);
      }
      sum += product, size += std::abs(product);
    });
    magnitude.push_back(size);
    return sum;
  });
  y.magnitude = magnitude;
  return y;
}

const Case kCases[] = {
    {"MatMul",
     "ij,jk->ik",
     {{{2, 3}, {3, 2}}, {{1, 1}, {1, 1}}, {{2, 0}, {0, 3}}, {{0, 2}, {2, 3}}, {{33, 65}, {65, 17}}}},
    {"MatMul", "ij,kj->ik", {{{2, 3}, {2, 3}}, {{33, 17}, {9, 17}}}},
    {"MatMul", "ji,jk->ik", {{{3, 2}, {3, 4}}}},
    {"MatMul", "ij,jk->ki", {{{2, 3}, {3, 4}}}},
    {"MatMul", "bij,bjk->bik", {{{2, 2, 3}, {2, 3, 2}}, {{0, 2, 3}, {0, 3, 2}}}},
    {"MatMul", "bhqd,bhkd->bhqk", {{{2, 1, 2, 3}, {2, 1, 2, 3}}, {{2, 3, 9, 8}, {2, 3, 7, 8}}}},
    {"MatMul", "bqhd,bkhd->bhqk", {{{2, 2, 1, 3}, {2, 2, 1, 3}}, {{2, 9, 3, 8}, {2, 7, 3, 8}}}},
    {"MatMul", "abc,cbd->ad", {{{2, 3, 2}, {2, 3, 2}}, {{4, 3, 5}, {5, 3, 2}}}},
    {"MatMul", "abc,cd->abd", {{{2, 3, 2}, {2, 2}}, {{5, 0, 2}, {2, 3}}}},
    {"MatMul", "i,i->", {{{3}, {3}}, {{0}, {0}}, {{70001}, {70001}}}},
    {"MatMul", "ij,j->i", {{{2, 3}, {3}}, {{300, 129}, {129}}}},
    {"MatMul", "ab,bc,cd->ad", {{{2, 3}, {3, 2}, {2, 2}}, {{5, 7}, {7, 9}, {9, 4}}}},
    {"Mul", "i,j,k->kji", {{{2}, {3}, {2}}}},
    {"Mul", "ij,i,j->ij", {{{2, 3}, {2}, {3}}}},
    {"MatMul", "ab,b,b->a", {{{2, 3}, {3}, {3}}}},
    {"Transpose", "ijk->kij", {{{2, 3, 4}}}},
    {"Sum", "ijk->j", {{{2, 3, 4}}, {{2, 0, 4}}}},
    {"Sum", "ij->", {{{2, 3}}}},
    {"MatMul", "ijx,jky->ik", {{{2, 3, 2}, {3, 2, 2}}}},
    {"Gather", "ii->i", {{{3, 3}}, {{1, 1}}, {{0, 0}}, {{65, 65}}}},
    {"Gather", "ii->", {{{3, 3}}}},
    {"Gather", "iji->ji", {{{3, 2, 3}}}},
    {"Gather", "iii->i", {{{2, 2, 2}}}},
    {"MatMul", "iij,jk->ik", {{{3, 3, 2}, {2, 2}}}},
};

Record record_of(const Case& c) {
  Record r{.op = c.op, .label = std::string("einsum ") + c.equation};
  r.call = [c](auto in) { return Tensors{einsum(c.equation, in)}; };
  r.reference = [c](auto in) { return Arrays{einsum_of(c.equation, in)}; };
  r.shapes = c.shapes;
  r.dtypes = {float32, float64};
  r.tolerance32 = 2e-6;
  for (int i = 0; i < static_cast<int>(c.shapes[0].size()); ++i) r.gradient_of.push_back(i);
  return r;
}

}  // namespace

void add_einsum_records(std::vector<Record>& all) {
  for (const Case& c : kCases) all.push_back(record_of(c));
}

}  // namespace op_test
