#include <twofold/lib/saved/onnx.h>

#include <fmt/format.h>

#include <algorithm>

#include <twofold/lib/core/error.h>
#include <twofold/lib/io/file.h>
#include <twofold/lib/runtime/thread_state.h>
#include <twofold/lib/saved/collect.h>
#include <twofold/lib/saved/onnx_model.h>

namespace twofold::internal {

void save_onnx(const std::string& path, const ToSave& f, const OnnxOptions& options, std::source_location where) {
  const SourceScope source_scope(where);
  Collecting all(where);
  all.add(f);
  const saved::ProgramRecord program = all.finish();
  const auto n = static_cast<int64_t>(program.functions.size());
  if (options.trace >= n)
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("There is no trace {}: the function was traced {} times", options.trace, n), "f.traces()");
  if (options.trace < 0 && n > 1)
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("The function was traced for {} signatures, and an ONNX model has one", n),
            "tf::save_onnx(path, f, {.trace = 0}), the first of f.traces()");
  const auto& chosen = program.functions[static_cast<size_t>(std::max<int64_t>(options.trace, 0))];
  const std::string& given = SavedParts::state(f).options.name;
  const std::string model = saved::onnx_model(program, chosen, given.empty() ? "main" : given, options, where);
  io::AtomicFile file(path, where);
  file.write(model.data(), model.size());
  file.commit();
}

}  // namespace twofold::internal
