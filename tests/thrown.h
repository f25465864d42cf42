// What code throws, as data.
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>

#include <twofold/lib/core/error.h>

namespace testing {

/// What a tf::Error says; nothing, if none came.
struct Thrown {
  std::string code, message, hint, op, node, file;
  uint32_t line = 0;
};
inline std::ostream& operator<<(std::ostream& out, const Thrown& t) {
  return out << (t.code.empty() ? "no error" : t.code + ": " + t.message) << " [line " << t.line << "] Try: " << t.hint;
}

inline Thrown thrown_by(const std::function<void()>& f) {
  try {
    f();
  } catch (const twofold::Error& e) {
    const twofold::ErrorFacts& facts = e.facts();
    return {std::string(name_of(e.code())), facts.message,     facts.hint, facts.op, facts.node,
            facts.where.file_name(),        facts.where.line()};
  }
  return {};
}

}  // namespace testing
