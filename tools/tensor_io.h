// Values on the command line and in files, in and out.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <twofold/twofold.h>

#include "model.h"

namespace command {

using NamedValues = std::vector<std::pair<std::string, twofold::Tensor>>;

/// A text as a value: a number, true, false, nan, inf, or a JSON list of them; of that dtype. Throws UsageError for
/// what is none, or is not exactly of the dtype.
twofold::Tensor parse_value(const std::string& text, twofold::DType dtype);
/// Whether it looks like one rather than a file's name.
bool is_value(const std::string& text);

/// What `--feed` was given, "x=x.npy", "k=data.npz:name", "lr=0.1", as values for a signature's arguments. Throws
/// UsageError for names that it does not have or that are missing, InvalidArgument for values that do not fit.
Values read_feeds(const Model& model, const std::vector<std::string>& feeds);
/// Throws UsageError that lists them if arguments are missing.
void check_complete(const Model& model, const Values& feeds);

/// Writes results as text, "y = float32 (2, 3)" and elements.
void print_values(const NamedValues& values);
/// Writes them to a .npy file, of one, a .npz or a .safetensors file.
void write_values(const NamedValues& values, const std::string& path);
/// Throws UsageError for a path of another kind, or for .npy and several values.
void check_output(const std::string& path, size_t values);

}  // namespace command
