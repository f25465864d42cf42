#include <twofold/session/run/capture_order.h>

#include <algorithm>

#include <twofold/lib/op/late_errors.h>
#include <twofold/lib/runtime/plugin.h>

namespace twofold {

void CaptureOrder::begin_launch(std::span<const Access> accesses) {
  const std::vector<uint32_t> before = order_.add(accesses);
  for (const uint32_t launch : before) launches_[launch].followed = true;
  come_after(before);
}

void CaptureOrder::end_launch() {
  void* const* nodes = nullptr;
  size_t n = 0;
  check_gpu(gpu_runtime()->captured_ends(stream_, &nodes, &n), "the ends of what is captured");
  launches_.push_back({.ends = {nodes, nodes + n}});
}

void CaptureOrder::join() {
  std::vector<uint32_t> last;
  for (uint32_t launch = 0; launch < launches_.size(); ++launch)
    if (!launches_[launch].followed) last.push_back(launch);
  come_after(last);
}

void CaptureOrder::come_after(std::span<const uint32_t> launches) {
  std::vector<void*> nodes;
  for (const uint32_t launch : launches)
    nodes.insert(nodes.end(), launches_[launch].ends.begin(), launches_[launch].ends.end());
  std::ranges::sort(nodes);
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  check_gpu(gpu_runtime()->capture_after(stream_, nodes.data(), nodes.size()), "what is captured comes after");
}

}  // namespace twofold
