// What an op is called: by its OpDef, and by the kernels in plugins, which see no OpDef.
#pragma once

#include <cstring>

namespace twofold {

/// What an op goes by. Kernels are registered by an OpName, not by any key.
class OpKey {
 public:
  /// Of no op.
  constexpr OpKey() = default;
  /// Of an op that has no kernels, for its OpDef. `text` lives as long as the process.
  static constexpr OpKey without_kernels(const char* text) { return OpKey(text); }
  /// As it is written.
  constexpr const char* text() const { return text_; }
  // The library and each plugin have a copy of the text.
  friend bool operator==(OpKey a, OpKey b) { return a.text_ == b.text_ || std::strcmp(a.text_, b.text_) == 0; }

 protected:
  explicit constexpr OpKey(const char* text) : text_(text) {}

 private:
  const char* text_ = "";
};

namespace internal {
struct DeclaredOps;
}

/// The name of an op that has kernels: a constant of the namespace `op_name`, declared by TWOFOLD_OP_NAME in the header
/// of the op's folder. The OpDef and the kernels are both made from that constant, and nothing else is an OpName, so
/// that a kernel of no op does not compile. tests/sources_test.py sees to it that each is declared in such a header
/// alone, and that an OpDef is made from it.
class OpName : public OpKey {
  friend struct internal::DeclaredOps;
  explicit constexpr OpName(const char* text) : OpKey(text) {}
};

namespace internal {
struct DeclaredOps {
  static constexpr OpName name(const char* text) { return OpName(text); }
};
}  // namespace internal

}  // namespace twofold

/// Declares op_name::Op, within that namespace of the header of Op's folder.
#define TWOFOLD_OP_NAME(Op) inline constexpr ::twofold::OpName Op = ::twofold::internal::DeclaredOps::name(#Op)
