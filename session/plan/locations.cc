#include <twofold/session/plan/locations.h>

#include <twofold/graph/graph_ops.h>
#include <twofold/lib/op/value.h>
#include <twofold/session/program/node_kinds.h>

namespace twofold {

uint32_t Locations::external(ValueId v) {
  MemoryPlan::Home& h = memory_.home(v);
  if (h.external == MemoryPlan::kNone) {
    h.external = static_cast<uint32_t>(plan_.externals.size());
    const ProgramValue& value = p_.values[memory_.root(v)];
    plan_.externals.push_back({.spec = value.spec, .device = value.device, .feed = value.feed, .args = {}});
    if (value.feed >= 0) plan_.feeds.emplace_back(static_cast<uint32_t>(value.feed), h.external);
  }
  return h.external;
}

void Locations::push_arg(ValueId v) {
  const auto index = static_cast<uint32_t>(plan_.args.size());
  PlannedArg arg;
  if (memory_.is_constant(v)) {
    const Tensor& t = p_.values[memory_.root(v)].constant;
    arg = {.from = PlannedArg::From::constant, .constant = t.value()->data()};
    keep_constant(v);
  } else if (memory_.home(v).must_be_external) {
    arg = {.from = PlannedArg::From::external, .external = external(v)};
    plan_.externals[arg.external].args.push_back(index);
  } else {
    memory_.place(v);
    arg = {.from = PlannedArg::From::arena, .device = p_.values[v].device, .offset = memory_.home(v).offset};
  }
  plan_.args.push_back(arg);
}

void Locations::keep_constant(ValueId v) {
  const ProgramValue& root = p_.values[memory_.root(v)];
  const Tensor& t = root.constant;
  if (!plan_.constants.empty() && plan_.constants.back().same_as(t)) return;
  plan_.constants.push_back(t);
  // Computed for this plan, or taken to where it is read; others are the graph's.
  if ((root.producer >= 0 || !t.value()->device().is_cpu()) && counted_.insert(t.value()->data()).second)
    constants_[t.value()->device().index] += static_cast<int64_t>(t.value()->bytes());
}

Source Locations::source(ValueId v) {
  Source s;
  s.spec = p_.values[v].spec;
  s.device = p_.values[v].device;
  if (memory_.is_constant(v)) {
    s.from = Source::From::constant;
    s.constant = p_.values[memory_.root(v)].constant;
    keep_constant(v);
    if (s.constant.shape() != s.spec.shape && s.spec.shape.is_known())
      s.constant = Tensor::adopt(Value::view(Ref<Value>(s.constant.value()), s.spec.shape, 0).detach());
  } else if (memory_.home(v).must_be_external) {
    s.from = Source::From::external;
    s.external = external(v);
    const ProgramValue& root = p_.values[memory_.root(v)];
    s.fed = root.feed >= 0;
    s.read = root.producer >= 0 && is_read(p_.nodes[static_cast<size_t>(root.producer)]);
  } else {
    memory_.place(v);
    s.from = Source::From::arena;
    s.offset = memory_.home(v).offset;
  }
  return s;
}

DeviceBytes Locations::constant_bytes() const {
  DeviceBytes all;
  for (const auto& [device, bytes] : constants_) all.emplace_back(Device{device}, bytes);
  return all;
}

}  // namespace twofold
