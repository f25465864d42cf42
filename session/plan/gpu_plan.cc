#include <twofold/session/plan/gpu_plan.h>

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include <twofold/graph/graph_ops.h>
#include <twofold/session/program/node_kinds.h>

namespace twofold {
namespace {

// Of the memory for values, what more than one workspace may take: one part in so many. A step of training gains
// nothing from more.
constexpr size_t kShareForWorkspaces = 16;

// What a variable is to a program.
struct Uses {
  uint32_t last_read = 0;  // the node
  int assignments = 0;
  ValueId assigned = 0;
};

std::unordered_map<const VariableState*, Uses> uses_of_variables(const Program& p, MemoryPlan& memory) {
  std::unordered_map<const VariableState*, Uses> all;
  for (const ProgramNode& n : p.nodes) {
    if (is_skipped(p, n) || !(is_read(n) || is_assignment(n))) continue;
    Uses& uses = all[variable_of(n).get()];
    if (is_assignment(n)) {
      ++uses.assignments;
      uses.assigned = memory.root(n.inputs[0]);
    } else {
      const ValueId read = memory.root(n.first_output);
      const bool fetched = std::ranges::any_of(p.fetches, [&](ValueId v) { return memory.root(v) == read; });
      uses.last_read = std::max(uses.last_read, fetched ? ~uint32_t{0} : memory.home(read).last_use);
    }
  }
  return all;
}

uint32_t behind_the_last_that_may_fail(const Program& p) {
  for (auto i = static_cast<uint32_t>(p.nodes.size()); i > 0; --i)
    if (!is_skipped(p, p.nodes[i - 1]) && p.nodes[i - 1].op->flags.can_fail) return i;
  return 0;
}

std::string why_not_captured(const Plan& plan) {
  for (const Instruction& i : plan.code) {
    using Do = Instruction::Do;
    const bool on_gpu = !i.device.is_cpu();
    const bool fed = i.what == Do::transfer && plan.transferred[i.aux].fed && on_gpu;
    const bool captures = i.what == Do::read || i.what == Do::assign || i.what == Do::make ||
                          i.what == Do::gpu_kernel || i.what == Do::gpu_random || fed;
    if (!captures || (on_gpu && i.device.gpu() != plan.gpu.gpu))
      return fmt::format("'{}' runs on {}{}", plan.graph->node_name(i.node),
                         i.what == Do::host ? "the host, beside " : "", i.device.name());
  }
  for (const auto& [slot, write] : plan.slots) {
    if (slot->is_eager)
      return fmt::format("eager code may put another value into the variable '{}'", slot->variable->name);
    if (slot->device.gpu() != plan.gpu.gpu)
      return fmt::format("the variable '{}' lies on {}", slot->variable->name, slot->device.name());
  }
  return {};
}

}  // namespace

std::vector<std::pair<ValueId, Ref<VariableState>>> gpu_updates_in_place(const Program& p, MemoryPlan& memory) {
  std::vector<std::pair<ValueId, Ref<VariableState>>> found;
  const auto on_gpu = [](const ProgramNode& n) { return !n.device.is_cpu(); };
  if (std::ranges::none_of(p.nodes, on_gpu)) return found;
  const auto all = uses_of_variables(p, memory);
  for (uint32_t i = behind_the_last_that_may_fail(p); i < p.nodes.size(); ++i) {
    const ProgramNode& n = p.nodes[i];
    if (is_skipped(p, n) || n.device.is_cpu()) continue;
    for (uint32_t k = 0; k < std::min<uint32_t>(n.num_outputs, std::size(n.op->in_place)); ++k) {
      if (n.op->in_place[k] < 0) continue;
      const int32_t reader = p.values[memory.root(n.inputs[static_cast<size_t>(n.op->in_place[k])])].producer;
      if (reader < 0 || !is_read(p.nodes[static_cast<size_t>(reader)])) continue;
      const Ref<VariableState>& v = variable_of(p.nodes[static_cast<size_t>(reader)]);
      const auto uses = all.find(v.get());
      if (uses != all.end() && uses->second.assignments == 1 &&
          uses->second.assigned == memory.root(n.first_output + k) && uses->second.last_read <= i)
        found.emplace_back(n.first_output + k, v);
    }
  }
  return found;
}

void GpuKernels::add(Instruction& i, const ProgramNode& n, std::span<const TensorSpec> inputs,
                     std::span<const TensorSpec> outputs, size_t workspace) {
  i.what = n.op->flags.random ? Instruction::Do::gpu_random : Instruction::Do::gpu_kernel;
  if (n.op->flags.can_fail) {
    i.aux = static_cast<uint32_t>(late_calls_.size());
    late_calls_.push_back({n.op, n.attrs, plan_.graph->node_name(n.graph_node), plan_.graph->node(n.graph_node).where});
    plan_.gpu.fails_late = true;
  }
  plan_.gpu.kernels.resize(plan_.code.size());
  plan_.gpu.kernels.emplace_back(*n.op, n.device, inputs, outputs, workspace);
}

void GpuKernels::finish(bool captures) {
  GpuPlan& gpu = plan_.gpu;
  gpu.late_calls = std::make_shared<const LateCalls>(std::move(late_calls_));
  for (const Instruction& i : plan_.code) {
    if (i.device.is_cpu()) continue;
    gpu.launches = true;
    if (gpu.gpu < 0) gpu.gpu = i.device.gpu();
  }
  if (!gpu.launches) gpu.obstacle = "nothing of it runs on a GPU";
  for (const auto& [slot, write] : plan_.slots)
    if (gpu.gpu < 0 && !slot->device.is_cpu()) gpu.gpu = slot->device.gpu();  // values of its are copied
  if (gpu.gpu < 0 || !gpu.obstacle.empty()) return;
  gpu.obstacle = captures ? why_not_captured(plan_) : "optimisation is off";
}

size_t GpuKernels::place_workspaces(Arena& arena, Device device, size_t largest) {
  const size_t more = plan_.gpu.obstacle.empty() ? arena.top() / kShareForWorkspaces : 0;
  const size_t bytes = twofold::place_workspaces(plan_.gpu.kernels, device, gpu_aligned(largest) + more);
  return gpu_aligned(arena.take_apart(bytes + kGpuAlignment));
}

}  // namespace twofold
