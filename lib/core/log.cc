#include <twofold/lib/core/log.h>

#include <spdlog/spdlog.h>

namespace twofold {

void warn(std::string_view text) { spdlog::warn("{}", text); }

}  // namespace twofold
