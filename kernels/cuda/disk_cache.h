// What is found out at run time and worth keeping for later processes: choices by timing, compiled kernels.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace twofold::cuda {

// Files lie in $TWOFOLD_CACHE, else in $XDG_CACHE_HOME/twofold, else in $HOME/.cache/twofold, one for each kind and
// key. A file that is damaged, or another key's with the same hash, counts as none and is written again. A folder that
// cannot be read or written is no error: nothing is kept.

/// What was written last for this kind, a word, and key.
std::optional<std::string> read_cached(std::string_view kind, std::string_view key);

/// Replaces it, all at once for whoever reads.
void write_cached(std::string_view kind, std::string_view key, std::string_view bytes);

}  // namespace twofold::cuda
