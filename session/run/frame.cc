#include <twofold/session/run/frame.h>

#include <twofold/lib/runtime/allocator.h>

namespace twofold {

Frame::Frame(const Plan& p, WithoutArenas)
    : plan(p), arenas(p.arenas.size()), args(p.args.size()), externals(p.externals.size()), pools(p.arenas.size()) {}
Frame::Frame(const Plan& p, GpuPools& from)
    : Frame(p, WithoutArenas()) {  // the destructor frees those that are there if one fails
  for (size_t d = 0; d < arenas.size(); ++d) {
    const size_t bytes = p.arenas[d].bytes;
    if (!bytes) continue;
    if (d) pools[d] = Ref<GpuPool>(&from.of(static_cast<int>(d) - 1));
    arenas[d] = static_cast<std::byte*>(d ? pools[d]->allocate(bytes) : allocate(bytes));
  }
  for (size_t i = 0; i < args.size(); ++i) {
    const PlannedArg& a = plan.args[i];
    args[i] = a.from == PlannedArg::From::arena      ? arenas[static_cast<size_t>(a.device.index)] + a.offset
              : a.from == PlannedArg::From::constant ? a.constant
                                                     : nullptr;
  }
}
Frame::~Frame() {
  if (counted) counted->count(frame_bytes(plan, -1));
  for (size_t d = 0; d < arenas.size(); ++d) {
    const size_t bytes = plan.arenas[d].bytes;
    if (arenas[d]) d ? pools[d]->deallocate(arenas[d], bytes) : deallocate(arenas[d], bytes);
  }
}

Tensor Frame::other_tensor_of(const Source& s) const {
  if (s.from == Source::From::constant) return s.constant;
  if (s.from == Source::From::arena) {
    std::byte* data = arenas[static_cast<size_t>(s.device.index)] + s.offset;
    return Tensor::adopt(Value::borrow(s.spec.dtype, s.spec.shape, data, s.device).detach());
  }
  const Tensor& t = externals[s.external];
  if (!s.spec.shape.is_known() || t.value()->shape() == s.spec.shape) return t;
  return Tensor::adopt(Value::view(Ref<Value>(t.value()), s.spec.shape, 0).detach());
}

DeviceBytes frame_bytes(const Plan& plan, int64_t count) {
  DeviceBytes bytes;
  for (size_t d = 0; d < plan.arenas.size(); ++d)
    if (plan.arenas[d].bytes)
      bytes.emplace_back(Device{static_cast<int8_t>(d)}, count * static_cast<int64_t>(plan.arenas[d].bytes));
  return bytes;
}

std::unique_ptr<Frame> Frames::take_other() {
  {
    std::lock_guard lock(mutex_);
    if (!others_.empty()) {
      auto frame = std::move(others_.back());
      others_.pop_back();
      return frame;
    }
  }
  const DeviceBytes bytes = frame_bytes(plan_, 1);
  memory_.make_room(&holder_, bytes);
  auto frame = std::make_unique<Frame>(plan_, pools_);
  memory_.hold(holder_, bytes);
  frame->counted = this;
  holder_.use_before_others();
  return frame;
}

void Frames::give_other(std::unique_ptr<Frame> frame) {
  if (memory_.is_over(frame_bytes(plan_, 1))) return;  // of several runs at once: one frame is enough
  std::lock_guard lock(mutex_);
  others_.push_back(std::move(frame));
}

std::vector<std::unique_ptr<Frame>> Frames::take_idle() {
  std::vector<std::unique_ptr<Frame>> idle;
  if (Frame* spare = spare_.exchange(nullptr, std::memory_order_acquire)) idle.emplace_back(spare);
  {
    std::lock_guard lock(mutex_);
    for (auto& frame : others_) idle.push_back(std::move(frame));
    others_.clear();
  }
  for (const auto& frame : idle) frame->counted = nullptr;
  return idle;
}

}  // namespace twofold
