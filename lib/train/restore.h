// Setting variables from the files of checkpoints. Not installed.
#pragma once

#include <map>
#include <source_location>
#include <string>
#include <vector>

#include <twofold/lib/io/file.h>
#include <twofold/lib/io/safetensors.h>
#include <twofold/lib/op/variable.h>

namespace twofold {
class Session;
}

namespace twofold::train {

using Variables = std::map<std::string, Variable>;
/// From names in a file to names of variables, or from what such names begin with.
using Names = std::map<std::string, std::string>;

/// A file that is whole and a checkpoint of a Saver's.
io::Safetensors read_checkpoint(const std::string& path, std::source_location where);
/// What Saver::restore promises. `random_state`: that too, if the file has it.
void restore_all(const Session& session, const Variables& variables, const io::Safetensors& file, bool random_state,
                 const io::Source& source);
/// What Saver::restore_part promises.
std::vector<std::string> restore_part(const Session& session, const Variables& variables, const std::string& path,
                                      const Names& names, std::source_location where);

}  // namespace twofold::train
