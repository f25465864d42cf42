// Which traces of a function exist, and making another.
#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include <twofold/lib/core/error.h>
#include <twofold/lib/core/log.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/session/function_parts.h>

namespace twofold {

std::ostream& operator<<(std::ostream& out, const TraceInfo& info) {
  out << fmt::format("{}: {} nodes, traced {}: {}", info.signature, info.nodes,
                     info.called_from.line() ? "at " + line_of(info.called_from) : "for a call", info.reason);
  return info.guards.empty() ? out : out << fmt::format("; where {}", fmt::join(info.guards, ", "));
}

namespace internal {

std::vector<Tensor> tensors_of(const Arguments& arguments) {
  std::vector<Tensor> tensors;
  for (const Feed::Value& v : arguments.values)
    tensors.push_back(v.is_tensor() ? v.tensor() : v.literal().to_tensor(v.literal().default_dtype()));
  return tensors;
}

TensorSpec spec_of(const Feed::Value& v) {
  if (v.is_tensor()) return {v.tensor().dtype(), v.tensor().shape()};
  return {v.literal().default_dtype(), v.literal().shape()};
}

Signature signature_of(const Arguments& arguments) {
  Signature signature{std::string(arguments.structure), t_state.device, {}};
  for (const Feed::Value& v : arguments.values) {
    const TensorSpec spec = spec_of(v);
    signature.arguments.emplace_back(spec.dtype, spec.shape.has_rank() ? spec.shape.rank() : -1);
  }
  return signature;
}

bool takes(const Body& body, const Arguments& arguments) {
  bool fits = body.parameters.size() == arguments.values.size();
  for (size_t i = 0; fits && i < arguments.values.size(); ++i) {
    const TensorSpec given = spec_of(arguments.values[i]), &wanted = body.graph->spec(body.parameters[i]);
    fits = given.dtype == wanted.dtype && given.shape.compatible_with(wanted.shape);
  }
  return fits;
}

// Precondition: mutex is held.
std::shared_ptr<const Built> FunctionRunner::State::find(const Signature& signature) const {
  for (auto [it, end] = built.equal_range(signature); it != end; ++it)
    if (SwitchReads::hold(it->second->traced.settings)) return it->second;
  return nullptr;
}

// Precondition: mutex is held.
std::string FunctionRunner::State::why_traced(const Signature& signature) const {
  if (built.empty()) return "the first call";
  if (built.contains(signature)) return "a module or an optimiser was set otherwise";
  const auto like = [&](auto same) {
    return std::ranges::any_of(built, [&](const auto& entry) { return same(entry.first); });
  };
  if (like(
          [&](const Signature& s) { return s.structure == signature.structure && s.arguments == signature.arguments; }))
    return "another device guard";
  if (!like([&](const Signature& s) {
        return s.structure == signature.structure && s.arguments.size() == signature.arguments.size();
      }))
    return "arguments of another structure";
  return "arguments of other dtypes or ranks";
}

TracedFunction FunctionRunner::State::trace_now(const Signature& signature, const Body& body,
                                                const Examples* examples) {
  const PhaseTimer timer(t_state.ledger, Phase::build);
  const StepScope scope(*this, false);
  const Tracing tracing{kind, *home->data(), key, options.shapes, where, examples};
  TracedFunction traced = trace(tracing, signature, body);
  traced.argument_names = options.arguments;
  traced.result_names = options.results;
  if (options.check) check_same(traced, trace(tracing, signature, body));
  return traced;
}

void FunctionRunner::State::check_same(const TracedFunction& a, const TracedFunction& b) const {
  const std::string text = difference(a.body, b.body);
  if (!text.empty())
    fail_at(where, "", Code::FailedPrecondition,
            fmt::format("Two traces of a {} differ: {}. A graph would not see this change", word(), text),
            "pass what changes as an argument, or keep it in a tf::Variable");
}

// Of a program from a file: what was saved that takes such arguments.
std::shared_ptr<const Built> FunctionRunner::State::find_loaded(const Arguments& arguments) const {
  std::lock_guard lock(mutex);
  std::string known;
  for (const auto& [signature, each] : built) {
    if (takes(each->traced.body, arguments)) return each;
    known += (known.empty() ? "" : "; or ") + each->traced.info.signature;
  }
  std::string given;
  for (const Feed::Value& v : arguments.values)
    given += fmt::format("{}{} {}", given.empty() ? "" : ", ", name_of(spec_of(v).dtype), spec_of(v).shape.str());
  fail_at(arguments.where, "", Code::InvalidArgument,
          fmt::format("'{}' was saved for {}, and was called with {}", options.name, known,
                      given.empty() ? "no arguments" : given),
          "tf::cast(x, ...) where dtypes differ, or save it after a call with such arguments");
}

std::shared_ptr<const Built> FunctionRunner::State::find_or_trace(const Arguments& arguments, const Body& body) {
  if (guarded) return latest(arguments);
  return loaded ? find_loaded(arguments) : find_or_trace(signature_of(arguments), arguments.where, body);
}

std::shared_ptr<const Built> FunctionRunner::State::find_or_trace(const Signature& signature,
                                                                  std::source_location called_from, const Body& body) {
  std::shared_ptr<const Built> now;
  {
    std::lock_guard lock(mutex);
    now = find(signature);
  }
  if (now) {
    if (!now->traced.used.empty()) warn_of_gone(now->traced);
    if (options.check) check_same(now->traced, trace_now(signature, body));
    return now;
  }
  std::lock_guard one(building);
  std::string reason;
  uint64_t number = 0;
  {
    std::lock_guard lock(mutex);
    if ((now = find(signature))) return now;  // by another thread
    reason = why_traced(signature);
    number = next_number++;
  }
  return keep(trace_now(signature, body), number, std::move(reason), called_from);
}

std::shared_ptr<const Built> FunctionRunner::State::keep(TracedFunction traced, uint64_t number, std::string reason,
                                                         std::source_location called_from) {
  auto made = std::make_shared<Built>();
  made->traced = std::move(traced);
  made->number = number;
  made->traced.info.reason = std::move(reason);
  made->traced.info.called_from = called_from;
  if (!made->traced.held.empty()) warn_of_held(made->traced);
  drop_outdated();
  std::lock_guard lock(mutex);
  built.emplace(made->traced.signature, made);
  return made;
}

// Traces that no call can use any more, with their plans.
void FunctionRunner::State::drop_outdated() {
  std::vector<std::shared_ptr<const Built>> outdated;  // end when the lock is given back
  {
    std::lock_guard lock(mutex);
    std::erase_if(built, [&](const auto& entry) {
      if (!SwitchReads::outdated(entry.second->traced.settings)) return false;
      outdated.push_back(entry.second);
      return true;
    });
  }
  for (const auto& b : outdated) {
    std::lock_guard lock(b->preparing);
    if (b->run) b->run->forget_plans();
  }
}

void FunctionRunner::State::warn_of_held(const TracedFunction& traced) {
  if (warned.exchange(true)) return;
  const auto made = traced.body.graph->node(traced.held[0]).where;
  warn(fmt::format(
      "The tensor made at {} in the body of a {}{} is still held now that the body is built, as by a captured "
      "variable that was assigned there. It is a symbol: later calls {}do not change it, and nothing can use it. "
      "Return it from the body and pass it to the next call, or keep it in a tf::Variable.",
      line_of(made), word(), traced.held.size() > 1 ? fmt::format(", and {} more,", traced.held.size() - 1) : "",
      kind == Kind::step ? "of a deferred step " : ""));
}

void FunctionRunner::State::warn_of_gone(const TracedFunction& traced) {
  for (const auto& used : traced.used) {
    if (!used.is_gone() || warned.exchange(true)) continue;
    warn(fmt::format(
        "The value that the body of a {0} used at {1}:{2} is gone, or another one has been assigned where it was. A "
        "{3}{0} goes on with the value that it was built with. Pass it as an argument, or keep it in a tf::Variable.",
        word(), used.where.file_name(), used.where.line(), kind == Kind::step ? "deferred " : ""));
  }
}

std::vector<TraceInfo> FunctionRunner::traces() const {
  check_not_moved();
  std::vector<std::pair<uint64_t, TraceInfo>> found;
  {
    std::lock_guard lock(state_->mutex);
    for (const auto& [signature, b] : state_->built) {
      found.emplace_back(b->number, b->traced.info);
      TraceInfo& info = found.back().second;
      for (const auto& used : b->traced.used) info.constants.push_back({used.value, used.where});
      for (const Guard& guard : b->traced.guards) info.guards.push_back(describe(guard.attrs, guard.where));
    }
  }
  std::ranges::sort(found, {}, [](const auto& entry) { return entry.first; });
  std::vector<TraceInfo> infos;
  for (auto& [number, info] : found) infos.push_back(std::move(info));
  return infos;
}

}  // namespace internal
}  // namespace twofold
