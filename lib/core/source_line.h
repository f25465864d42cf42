// Lines of programs that are not compiled here.
#pragma once

#include <cstdint>
#include <source_location>
#include <string>

namespace twofold {

/// The location of a line that is known from elsewhere, such as a saved program. It lives as long as the process, and
/// equal lines share one. No file: a location that is not known.
std::source_location source_line(const std::string& file, uint32_t line, uint32_t column);

}  // namespace twofold
