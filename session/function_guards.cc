// Traces of code that reads values on the host: which of them serves a call.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/value.h>
#include <twofold/session/function_parts.h>
#include <twofold/session/host_reads.h>
#include <twofold/session/run/guarded_run.h>

namespace twofold::internal {
namespace {

constexpr size_t kMostTraces = 8;

// A guard that a call did not meet, and the trace that it is of.
struct Failed {
  std::shared_ptr<const Built> trace;
  size_t number;

  const Guard& guard() const { return trace->traced.guards[number]; }
  // Whether `other` reads the same there, and so would fail there too.
  bool rules_out(const Built& other) const {
    const auto &a = trace->traced.guards, &b = other.traced.guards;
    if (b.size() <= number) return false;
    return std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(number) + 1, b.begin(),
                      [](const Guard& x, const Guard& y) { return x.same_as(y); });
  }
};

}  // namespace

std::vector<std::shared_ptr<const Built>> FunctionRunner::State::fitting(const Arguments& arguments) const {
  std::vector<std::shared_ptr<const Built>> found;
  {
    const Signature signature = signature_of(arguments);
    std::lock_guard lock(mutex);
    for (const auto& [key, each] : built) {
      if (loaded ? takes(each->traced.body, arguments) : key == signature && SwitchReads::hold(each->traced.settings))
        found.push_back(each);
    }
  }
  std::ranges::sort(found, std::greater(), [](const auto& b) { return std::pair(b->last_call.load(), b->number); });
  return found;
}

std::shared_ptr<const Built> FunctionRunner::State::latest(const Arguments& arguments) const {
  const auto found = fitting(arguments);
  if (!found.empty()) return found[0];
  if (loaded) return find_loaded(arguments);  // throws
  fail_at(arguments.where, "", Code::FailedPrecondition,
          fmt::format("A function that tf::trace made was called with symbols ({}), for which it has no trace: its "
                      "body reads values, and symbols have none",
                      to_string(signature_of(arguments), options.shapes)),
          "call it with values of that kind first, or tf::function(f)");
}

std::shared_ptr<const Built> FunctionRunner::State::trace_for(const Arguments& arguments, const Body& body,
                                                              std::string reason) {
  std::lock_guard one(building);
  const Signature signature = signature_of(arguments);
  uint64_t number = 0;
  {
    std::lock_guard lock(mutex);
    number = next_number++;
    if (reason.empty()) reason = why_traced(signature);
  }
  TracedFunction traced = trace_with(signature, body, tensors_of(arguments), number);
  return keep(std::move(traced), number, std::move(reason), arguments.where);
}

// Arguments are of unknown extents, as far as the body leaves them so.
TracedFunction FunctionRunner::State::trace_with(const Signature& signature, const Body& body,
                                                 std::vector<Tensor> arguments, uint64_t number) {
  Examples examples{session(), std::move(arguments), static_cast<int64_t>(mix(mix(key.path, key.seed), number))};
  try {
    return trace_now(signature, body, &examples);
  } catch (const UnknownExtent& e) {
    examples.known_shapes = true;
    examples.where = e.facts().where;
  }
  return trace_now(signature, body, &examples);
}

// After a run that has failed. Each guard is looked at by itself, for what comes after one that does not hold may fail
// in any way.
std::optional<size_t> FunctionRunner::State::failing_guard(const Built& b, const Arguments& arguments,
                                                           const GuardedRun& run) {
  const std::vector<Guard>& guards = b.traced.guards;
  for (size_t i = 0; run.failed() && i < guards.size(); ++i)
    if (guards[i].attrs.trace == run.failed()->trace && guards[i].attrs.number == run.failed()->number) return i;
  FedEdges feeds;
  const std::vector<Tensor> tensors = tensors_of(arguments);
  const twofold::Body& body = b.traced.body;
  try {
    for (size_t i = 0; i < tensors.size(); ++i) feeds.add(body.parameters[i], tensors[i]);
    for (size_t i = 0; i < body.captures.size(); ++i) feeds.add(body.captures[i], session().run(b.traced.captured[i]));
    for (size_t i = 0; i < guards.size(); ++i) {
      const Edge read = guards[i].read;
      const std::vector<Tensor> now = try_out(session(), *body.graph, guards[i].node, {&read, 1}, feeds);
      if (!holds(guards[i].attrs, now[0])) return i;
    }
  } catch (const Error&) {
    // What the guard reads cannot be computed, so that the run has failed by itself.
  }
  return {};
}

// No trace holds, and none can be made.
void FunctionRunner::State::fail_no_trace(std::span<const std::shared_ptr<const Built>> traces,
                                          const Arguments& arguments, std::source_location line) const {
  std::vector<std::shared_ptr<const Built>> in_order(traces.begin(), traces.end());
  std::ranges::sort(in_order, {}, [](const auto& b) { return b->number; });
  std::vector<std::pair<std::string, std::vector<std::string>>> reads;  // by line: what they have given
  for (const auto& b : in_order) {
    for (const Guard& g : b->traced.guards) {
      const std::string read = fmt::format("the {} read at {}", g.attrs.what, line_of(g.where));
      auto at = std::ranges::find(reads, read, [](const auto& entry) { return entry.first; });
      if (at == reads.end()) at = reads.insert(at, {read, {}});
      std::string value = value_text(g.attrs);
      if (std::ranges::find(at->second, value) == at->second.end()) at->second.push_back(std::move(value));
    }
  }
  std::string text;
  for (const auto& [read, values] : reads)
    text += fmt::format("{}{} was {}", text.empty() ? "" : "; ", read, fmt::join(values, ", "));
  if (loaded)
    fail_at(line, "", Code::FailedPrecondition,
            fmt::format("'{}' was traced for other values than these, and saved: {}", options.name, text),
            "call it with such values too before it is saved, or tf::cond(c, f, g), which has both branches");
  fail_at(arguments.where, "", Code::FailedPrecondition,
          fmt::format("A function that tf::trace made, at {}, was traced {} times for {}, each for other values that "
                      "it read: {}",
                      line_of(where), traces.size(), to_string(signature_of(arguments), options.shapes), text),
          "tf::cond(c, f, g) or tf::where(c, a, b) for a bool, tf::shape(x)[i] for an extent: one graph has all");
}

void FunctionRunner::fail_examples(size_t given, std::source_location where) {
  fail_at(where, "", Code::InvalidArgument,
          fmt::format("tf::trace was given {} examples, which are not what the body takes", given),
          "tf::trace(f, {X, Y}) with one for each parameter of f");
}

void FunctionRunner::trace_examples(const Arguments& arguments, const Body& body) {
  check_not_moved();
  state_->check_arguments(arguments, false);
  state_->trace_for(arguments, body, "the examples");
}

FunctionRunner::Result FunctionRunner::State::run_guarded(const Arguments& arguments, const Body& body) {
  std::vector<Failed> failed;
  for (;;) {
    const auto all = fitting(arguments);
    const auto may_hold = [&](const auto& b) {
      return std::ranges::none_of(failed, [&](const Failed& f) { return f.trace == b || f.rules_out(*b); });
    };
    const auto found = std::ranges::find_if(all, may_hold);
    std::shared_ptr<const Built> next = found == all.end() ? nullptr : *found;
    if (!next && loaded && all.empty()) find_loaded(arguments);  // throws
    const Guard* const last = failed.empty() ? nullptr : &failed.back().guard();
    if (!next && (loaded || all.size() >= kMostTraces || failed.size() > kMostTraces))
      fail_no_trace(all, arguments, last ? last->where : where);
    if (!next) next = trace_for(arguments, body, last ? describe(last->attrs, last->where) : "");
    GuardedRun run(GuardedRun::Kind::call);
    try {
      Result result = run_trace(*next, arguments);
      write_lines(run.printed());
      static std::atomic<uint64_t> calls{0};
      next->last_call = ++calls;
      if (options.check && !loaded)
        check_same(next->traced, trace_with(next->traced.signature, body, tensors_of(arguments), next->number));
      return result;
    } catch (const Error&) {
      const auto guard = failing_guard(*next, arguments, run);
      if (!guard) {
        write_lines(run.printed());
        throw;
      }
      failed.push_back({next, *guard});
    }
  }
}

}  // namespace twofold::internal
