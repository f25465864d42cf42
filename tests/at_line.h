// Lines of a test, as the library names them.
#pragma once

#include <filesystem>
#include <source_location>
#include <string>

/// "trace_test.cc:12", of the file that calls it.
inline std::string at_line(int line, std::source_location where = std::source_location::current()) {
  return std::filesystem::path(where.file_name()).filename().string() + ":" + std::to_string(line);
}
