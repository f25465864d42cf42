// What an op is called: by its OpDef, and by the kernels in plugins, which see no OpDef.
#pragma once

#include <cstring>

namespace twofold {

/// The name of an op that has kernels is a constant of the namespace `op_name`, declared in the header of the op's
/// folder. The OpDef and the kernels are both made from that constant, so that a kernel of no op does not compile.
class OpName {
 public:
  /// `text` lives as long as the process.
  explicit constexpr OpName(const char* text) : text_(text) {}
  /// As it is written.
  constexpr const char* text() const { return text_; }
  // The library and each plugin have a copy of the text.
  friend bool operator==(OpName a, OpName b) { return a.text_ == b.text_ || std::strcmp(a.text_, b.text_) == 0; }

 private:
  const char* text_;
};

}  // namespace twofold
