#include "coverage.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include <twofold/lib/op/opdef.h>

namespace fuzz {
namespace {

// Ops that no program names: made by the optimiser, inside the bodies of control flow, or in gradients that few
// programs take (extents_test and tensor_array_test take them), or where values are read (fuzz_saved reads some).
constexpr std::string_view kInternal[] = {"Fused",
                                          "Guard",
                                          "Capture",
                                          "Parameter",
                                          "PadAt",
                                          "TensorListAdd",
                                          "TensorListErase",
                                          "TensorListItem",
                                          "TensorListItemLike",
                                          "TensorListStackLike",
                                          "TensorListIfArrived"};

}  // namespace

void Coverage::add(const tf::Graph& graph) {
  for (const tf::Operation& op : graph.operations()) {
    auto& counts = counts_[op.type()];
    ++counts[op.num_outputs() ? static_cast<size_t>(op.output(0).dtype()) : tf::kDTypeCount];
  }
}

std::vector<std::string> Coverage::missing() const {
  std::vector<std::string> names;
  for (const tf::OpDef* op : tf::all_ops())
    if (!counts_.contains(op->name) && std::ranges::find(kInternal, op->name) == std::end(kInternal))
      names.push_back(op->name);
  return names;
}

std::string Coverage::table() const {
  std::ostringstream s;
  s << std::left << std::setw(18) << "op" << std::right;
  for (int t = 0; t < tf::kDTypeCount; ++t) s << std::setw(9) << tf::name_of(static_cast<tf::DType>(t));
  s << std::setw(9) << "none" << '\n';
  for (const auto& [name, counts] : counts_) {
    s << std::left << std::setw(18) << name << std::right;
    for (int64_t n : counts) s << std::setw(9) << n;
    s << '\n';
  }
  return s.str();
}

}  // namespace fuzz
