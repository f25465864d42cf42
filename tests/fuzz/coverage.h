// Which ops random programs have reached, with which dtypes.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include <twofold/twofold.h>

namespace fuzz {

namespace tf = twofold;

class Coverage {
 public:
  /// Counts every node of the graph, by the dtype of its first output; gradients' nodes too.
  void add(const tf::Graph& graph);
  /// Ops of the registry that programs can reach and none has.
  std::vector<std::string> missing() const;
  /// One line an op, one column a dtype.
  std::string table() const;

 private:
  std::map<std::string, std::array<int64_t, tf::kDTypeCount + 1>> counts_;
};

}  // namespace fuzz
