// What the library says without being asked, through spdlog's default logger. A file of its own: spdlog is slow to
// compile.
#pragma once

#include <string_view>

namespace twofold {

/// A warning: what is so, and what to do about it. Text is taken as it is.
void warn(std::string_view text);

}  // namespace twofold
