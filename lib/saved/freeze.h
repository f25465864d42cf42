// Programs whose variables are constants.
#pragma once

#include <initializer_list>
#include <source_location>
#include <string>
#include <vector>

#include <twofold/lib/saved/saved_program.h>

namespace twofold {

/// @{
/// Functions under names as a program of their own in which variables are constants, of the values that they have now,
/// and of which only what the results need is left:
///
///     tf::save("frozen.safetensors", tf::freeze({{"predict", predict}}));
///
/// Names of functions, of arguments (those that no result needs, too) and of results stay, and so do nodes' names:
/// where a node read a variable a constant of the same name stands. Prints, checks and writes that no result needs go;
/// so a step freezes to what it returns, if that is found before its update. Of a program that was loaded it is the
/// functions named, all where none is.
///
/// Throws FailedPrecondition, with the op and its line, where a result needs a variable's write; InvalidArgument for a
/// function without results; Unimplemented for a gradient through control flow whose bodies read variables; NotFound,
/// with a list, for a name that there is not; and as `save` does.
/// (TensorFlow: freeze_graph, convert_variables_to_constants; PyTorch: torch.jit.freeze)
[[nodiscard]] SavedProgram freeze(std::initializer_list<internal::ToSave> functions,
                                  std::source_location where = std::source_location::current());
[[nodiscard]] SavedProgram freeze(const SavedProgram& program, const std::vector<std::string>& functions = {},
                                  std::source_location where = std::source_location::current());
/// @}

}  // namespace twofold
