#include <twofold/graph/cases.h>

#include <fmt/format.h>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/apply.h>

namespace twofold::internal {

void fail_no_case() {
  fail(Code::InvalidArgument, "case_of() was given no case", "tf::case_of({{x > 0, f}, {x < 0, g}}, otherwise)");
}

Tensor branch_number(const Operand& index, size_t count) {
  const SourceScope source_scope(index.where());
  const Tensor& i = index.resolve();
  check_input("switch_case", 0, i, index.where());
  if (i.dtype() != int32 && i.dtype() != int64)
    fail(Code::InvalidArgument,
         fmt::format("switch_case() picks a function by an int32 or int64 number, not by {}", name_of(i.dtype())),
         "tf::cast(i, tf::int32)");
  if (i.shape().has_rank() && i.rank() != 0)
    fail(Code::InvalidArgument,
         fmt::format("switch_case() picks a function by a scalar, not by a tensor of shape {}", i.shape().str()));
  const auto last = static_cast<int32_t>(count) - 1;
  return where(logical_and(greater_equal(i, 0), less(i, last)), i, last);
}

}  // namespace twofold::internal
