#include <twofold/lib/runtime/plugin.h>

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <twofold/lib/core/error.h>
#include <twofold/lib/core/log.h>
#include <twofold/lib/runtime/gpu_memory.h>

namespace twofold {
namespace {

// Beside the library itself: in the build tree, `kernels/`; installed, `twofold/`.
std::vector<std::filesystem::path> plugin_folders() {
  Dl_info info{};
  dladdr(reinterpret_cast<const void*>(&cpu_isa), &info);
  const auto here = std::filesystem::absolute(info.dli_fname ? info.dli_fname : "").parent_path();
  std::vector<std::filesystem::path> folders;
  if (const char* set = std::getenv("TWOFOLD_PLUGINS")) folders.emplace_back(set);
  folders.insert(folders.end(), {here / "kernels", here / "twofold", here});
  return folders;
}

// The plugin's table, or null with the reason in `why`.
const PluginTable* load(const std::string& name, std::string& why) {
  why = fmt::format("no file {}.so", name);
  for (const auto& folder : plugin_folders()) {
    const auto path = folder / (name + ".so");
    if (std::error_code e; !std::filesystem::exists(path, e)) continue;
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      why = dlerror();
      continue;
    }
    auto entry = reinterpret_cast<const PluginTable* (*)()>(dlsym(handle, "twofold_plugin"));
    const PluginTable* table = entry ? entry() : nullptr;
    if (table && table->abi == plugin_abi()) return table;
    why = fmt::format("{} was built from other sources than the library, whose kernels it cannot be; build it again",
                      path.string());
    warn(why);
  }
  return nullptr;
}

// Names of ops, by number. Leaked on purpose, as Kernels are.
std::vector<OpKey>& op_names() {
  static auto* names = new std::vector<OpKey>;
  return *names;
}

struct Kernels {
  const PluginTable* table = nullptr;
  std::string why;
  std::vector<PrepareFn> prepare;  // by op id
  std::vector<TileFn> tiles;       // by (op id, dtype, to)

  static constexpr size_t kDTypes = kDTypeCount + 1;  // no op has a tile of lists
  static size_t tile_index(int op, DType dtype, DType to) {
    return (static_cast<size_t>(op) * kDTypes + static_cast<size_t>(dtype)) * kDTypes + static_cast<size_t>(to);
  }
  void index() {
    const size_t ops = op_names().size();
    prepare.assign(ops, nullptr);
    tiles.assign(ops * kDTypes * kDTypes, nullptr);
    if (!table) return;
    std::unordered_map<std::string_view, int> numbers;
    for (const OpKey& name : op_names()) numbers.emplace(name.text(), static_cast<int>(numbers.size()));
    const auto number = [&](OpName op) {
      const auto found = numbers.find(op.text());
      if (found == numbers.end())
        fail(Code::Internal,
             fmt::format("The {} kernels have one for the op '{}', of which there is none", table->isa, op.text()));
      return found->second;
    };
    for (const KernelEntry& k : table->kernels) prepare[static_cast<size_t>(number(k.op))] = k.prepare;
    for (const TileEntry& t : table->tiles) tiles[tile_index(number(t.op), t.dtype, t.to)] = t.fn;
  }
};

constexpr const char* kLevels[] = {"v4", "v3", "v2"};  // best first

bool runs_here(std::string_view level) {
  __builtin_cpu_init();
  if (level == "v4")
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  if (level == "v3")
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
}

// The levels whose kernels may be loaded, best first: what the environment asks for, or all that run here.
std::vector<std::string> levels_to_try() {
  if (const char* forced = std::getenv("TWOFOLD_ISA"); forced && *forced) {
    if (std::ranges::find(kLevels, std::string_view(forced)) == std::end(kLevels))
      fail(Code::InvalidArgument, fmt::format("TWOFOLD_ISA is '{}'; it must be one of v2, v3, v4", forced),
           "TWOFOLD_ISA=v3");
    if (!runs_here(forced))
      fail(Code::FailedPrecondition, fmt::format("TWOFOLD_ISA is '{}', which this processor does not run", forced),
           "unset TWOFOLD_ISA");
    return {forced};
  }
  std::vector<std::string> levels;
  for (const char* level : kLevels)
    if (runs_here(level)) levels.emplace_back(level);
  return levels;
}

Kernels load_cpu() {
  Kernels k;
  std::vector<std::string> reasons;
  for (const auto& level : levels_to_try()) {
    k.table = load("twofold_cpu_" + level, k.why);
    if (k.table) break;
    reasons.push_back(k.why);
  }
  if (!k.table) {
    std::vector<std::string> folders;
    for (const auto& folder : plugin_folders()) folders.push_back(folder.string());
    fail(Code::FailedPrecondition,
         fmt::format("No CPU kernels could be loaded: {}. Folders: {}", fmt::join(reasons, "; "),
                     fmt::join(folders, ", ")),
         "set TWOFOLD_PLUGINS to the folder that has twofold_cpu_*.so, TWOFOLD_ISA to one of v2, v3, v4");
  }
  k.index();
  return k;
}

Kernels load_gpu() {
  Kernels k;
  k.table = load("twofold_cuda", k.why);
  if (!k.table) {
    k.why = "this build has no CUDA kernels, or the CUDA libraries are missing (" + k.why + ")";
  } else if (k.table->gpu->device_count() <= 0) {
    k.table = nullptr;
    k.why = "the CUDA driver reports no GPU";
  } else {
    k.table->gpu->on_exhausted([](int gpu) { return GpuPool::give_up_memory(gpu); });
  }
  k.index();
  return k;
}

// Leaked on purpose: kernels may run while the process's statics are being destroyed.
Kernels& cpu() {
  static auto* k = new Kernels(load_cpu());
  return *k;
}
Kernels& gpu() {
  static auto* k = new Kernels(load_gpu());
  return *k;
}

}  // namespace

int number_op(OpKey op) {
  op_names().push_back(op);
  return static_cast<int>(op_names().size()) - 1;
}

PrepareFn find_kernel(int op_id, Device device) {
  return (device.is_cpu() ? cpu() : gpu()).prepare[static_cast<size_t>(op_id)];
}

TileFn find_tile(int op_id, DType dtype, DType to) { return cpu().tiles[Kernels::tile_index(op_id, dtype, to)]; }

const std::string& cpu_isa() {
  static const auto* isa = new std::string(cpu().table->isa);
  return *isa;
}

const GpuRuntime* gpu_runtime(std::string* why) {
  const Kernels& k = gpu();
  if (why) *why = k.why;
  return k.table ? k.table->gpu : nullptr;
}

void check_gpu(int error, const char* what) {
  if (error == 0) return;
  const GpuRuntime& gpu = *gpu_runtime();
  fail(Code::Internal,
       fmt::format("{}: {}{}", what, gpu.error_text(error),
                   gpu.is_fatal(error) ? ". This is final: the process can no longer use the GPU" : ""));
}

std::string Device::name() const { return is_cpu() ? "/cpu:0" : fmt::format("/gpu:{}", index - 1); }

std::vector<std::string> list_devices() {
  std::vector<std::string> names{"/cpu:0"};
  if (const GpuRuntime* runtime = gpu_runtime())
    for (int i = 0; i < runtime->device_count(); ++i) names.push_back(fmt::format("/gpu:{}", i));
  return names;
}

namespace {

std::atomic<bool> g_soft_placement{false};

// The device of that name. Null, with the reason in `why`, if it is absent.
std::optional<Device> find_device(std::string_view name, std::string& why) {
  std::string_view rest = name;
  if (rest.starts_with('/')) rest.remove_prefix(1);
  const bool gpu_wanted = rest.starts_with("gpu");
  if (!gpu_wanted && !rest.starts_with("cpu"))
    fail(Code::InvalidArgument, fmt::format("'{}' is no device name", name), "\"/cpu:0\" or \"/gpu:0\"");
  rest.remove_prefix(3);
  int index = 0;
  if (!rest.empty()) {
    if (rest.size() < 2 || rest.size() > 4 || rest[0] != ':' ||
        rest.substr(1).find_first_not_of("0123456789") != rest.npos)
      fail(Code::InvalidArgument, fmt::format("'{}' is no device name", name), "\"/cpu:0\" or \"/gpu:0\"");
    index = std::atoi(std::string(rest.substr(1)).c_str());
  }
  why = "one processor is one device";
  const GpuRuntime* runtime = gpu_wanted ? gpu_runtime(&why) : nullptr;
  const int count = gpu_wanted ? (runtime ? runtime->device_count() : 0) : 1;
  if (index >= count) {
    if (runtime) why = fmt::format("the CUDA driver reports {} GPU(s)", count);
    return std::nullopt;
  }
  return Device{static_cast<int8_t>(gpu_wanted ? index + 1 : 0)};
}

}  // namespace

void set_soft_placement(bool on) { g_soft_placement = on; }
bool soft_placement() { return g_soft_placement; }

Device parse_device(std::string_view name) { return parse_device(name, soft_placement()); }

Device parse_device(std::string_view name, bool soft) {
  std::string why;
  if (const auto found = find_device(name, why)) return *found;
  const auto message = fmt::format("There is no device '{}': {}.", name, why);
  if (!soft)
    fail(Code::NotFound, fmt::format("{} Devices: {}", message, fmt::join(list_devices(), ", ")),
         "tf::device(\"/cpu:0\")");
  warn(message + " The CPU takes its place.");
  return {};
}

}  // namespace twofold
