// Things a run can be asked for, and things it can be given.
#pragma once

#include <string>
#include <utility>

#include <twofold/lib/op/handle_order.h>
#include <twofold/lib/op/operand.h>
#include <twofold/lib/op/variable.h>

namespace twofold {

/// A Tensor, a Variable, an Operation or the name of one ("add:0", "init").
class Fetch {
 public:
  /// What it names.
  enum class Kind : uint8_t { tensor, variable, operation, name };
  Fetch(Tensor t) : kind_(Kind::tensor), tensor_(std::move(t)) {}
  Fetch(const Variable& v);
  Fetch(Operation o) : kind_(Kind::operation), operation_(std::move(o)) {}
  Fetch(std::string name) : kind_(Kind::name), name_(std::move(name)) {}
  Fetch(const char* name) : Fetch(std::string(name)) {}

  /// Which of the following it has.
  Kind kind() const { return kind_; }
  /// @{
  /// What it names; empty for other kinds.
  const Tensor& tensor() const { return tensor_; }
  const Ref<internal::VariableState>& variable() const { return variable_; }
  const Operation& operation() const { return operation_; }
  const std::string& name() const { return name_; }
  /// @}

 private:
  Kind kind_;
  Tensor tensor_;
  Ref<internal::VariableState> variable_;
  Operation operation_;
  std::string name_;
};

}  // namespace twofold
