// What is found out at run time and worth keeping for later processes: choices by timing, compiled kernels.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace twofold::cuda {

// Files lie in $TWOFOLD_CACHE, else in $XDG_CACHE_HOME/twofold, else in $HOME/.cache/twofold, one for each kind and
// key. A file that is damaged, or another key's with the same hash, counts as none and is written again. A folder that
// cannot be read or written is no error: nothing is kept.

/// What was last written for this key; `kind` is one word. None if nothing was.
std::optional<std::string> read_cached(std::string_view kind, std::string_view key);

/// Replaces it atomically: a reader gets the old bytes or the new ones.
void write_cached(std::string_view kind, std::string_view key, std::string_view bytes);

}  // namespace twofold::cuda
