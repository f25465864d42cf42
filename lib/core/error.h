// The one family of errors.
#pragma once

#include <cstdint>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

namespace twofold {

/// What kind of failure it is; the kinds are those of TensorFlow and gRPC.
enum class Code : uint8_t {
  InvalidArgument,
  FailedPrecondition,
  NotFound,
  OutOfRange,
  Unimplemented,
  ResourceExhausted,
  DataLoss,
  Cancelled,
  Internal,
};
/// "InvalidArgument".
std::string_view name_of(Code);

/// What a failure was about, as far as it is known. `what()` is made from these.
struct ErrorFacts {
  std::string message;           ///< what was expected and what came
  std::string op;                ///< op type, "MatMul"
  std::string node;              ///< node name, "layer/MatMul_1"; empty in eager mode
  std::source_location where{};  ///< the user's line; line() == 0 if unknown
  std::string hint;              ///< the next line to type, where one exists
  std::string layer;             ///< the module that it happened in, "encoder.0 Linear(in_features=4, ...)"
};

/// "model.cc:12". A line of the standard library's is nobody's: where a container makes an op's argument itself, as
/// `emplace_back(1.f)` does a Variable's, it says "a line of the standard library".
std::string line_of(std::source_location where);

/// Every failure that the library reports. `what()` reads
/// `InvalidArgument: <message> [op MatMul, node 'MatMul_1', layer hidden Linear(...), model.cc:12] Try: <hint>`.
class Error : public std::runtime_error {
 public:
  Error(Code code, ErrorFacts facts);
  /// What kind of failure it is.
  Code code() const noexcept { return code_; }
  /// What it was about.
  const ErrorFacts& facts() const noexcept { return facts_; }
  /// What was expected and what came, without op and line: `what()` has them.
  const std::string& message() const noexcept { return facts_.message; }

 private:
  Code code_;
  ErrorFacts facts_;
};

/// An extent was asked for that only a run knows: code that is traced for values can be traced for these extents.
class UnknownExtent final : public Error {
 public:
  using Error::Error;
};

/// Throws an Error whose location is that of the innermost op call or toolkit function under way on this thread, if
/// any.
[[noreturn]] void fail(Code code, std::string message, std::string hint = {});
/// Throws an Error about an op that is not under way yet, called at the user's line `where`.
[[noreturn]] void fail_at(std::source_location where, std::string_view op, Code code, std::string message,
                          std::string hint = {});

}  // namespace twofold
