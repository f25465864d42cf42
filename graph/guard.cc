#include <twofold/graph/guard.h>

#include <fmt/format.h>

#include <algorithm>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/value.h>

namespace twofold {
namespace {

void infer_nothing(InferContext&) {}

// Numbers as a line of text has them.
std::string written(const Tensor& t) {
  std::string text = to_string(t);
  std::ranges::replace(text, '\n', ' ');
  constexpr size_t kMost = 60;
  return text.size() <= kMost ? text : text.substr(0, kMost) + "...";
}

}  // namespace

constinit OpDef guard_op{.key = OpKey::without_kernels("Guard"),
                         .node_name = "guard",
                         .doc = "Fails when it runs unless its input is what it was when a trace read it on the host.",
                         .outputs = 0,
                         .infer = infer_nothing,
                         .differentiable = Differentiability::none,
                         .flags = {.effect = true, .can_fail = true, .session = true, .on_host = true},
                         .attrs = &internal::kAttrsType<GuardAttrs>};
__attribute__((constructor(101))) static void register_guard() { register_op(guard_op); }

bool Guard::same_as(const Guard& o) const {
  return attrs.what == o.attrs.what && attrs.expected == o.attrs.expected && where.line() == o.where.line() &&
         where.column() == o.where.column() && std::string_view(where.file_name()) == o.where.file_name();
}

std::vector<Guard> guards_of(const Body& body) {
  std::vector<Guard> guards;
  const GraphData& g = *body.graph;
  for (uint32_t id = 0; id < g.size(); ++id) {
    const Node& n = g.node(id);
    if (n.op == &guard_op) guards.push_back({id, n.inputs[0], n.attrs_view().as<GuardAttrs>(), n.where});
  }
  return guards;
}

bool holds(const GuardAttrs& guard, const Tensor& now) {
  const Value& value = *now.value();
  return ConstantValue{value.device().is_cpu() ? now : copy_to(now, Device())} == guard.expected;
}

std::string value_text(const GuardAttrs& guard) { return written(guard.expected.tensor); }

std::string describe(const GuardAttrs& guard, std::source_location where) {
  return fmt::format("the {} read at {} was {}", guard.what, line_of(where), value_text(guard));
}

void fail_guard(const GuardAttrs& guard, const Tensor& now, std::source_location where) {
  fail_at(where, guard_op.name, Code::FailedPrecondition,
          fmt::format("A trace does not hold here: {} when the program was traced, and is {}", describe(guard, where),
                      written(now)),
          "trace it with such values too, or tf::cond(c, f, g), which has both branches");
}

}  // namespace twofold
