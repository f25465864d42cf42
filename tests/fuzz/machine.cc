#include "machine.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include <twofold/session/program/passes.h>

#include "ops.h"
#include "same_bits.h"

namespace fuzz {
namespace {

using testing::same_bits;

/// Tensors as they were when they were first read on the host.
class Kept {
 public:
  void keep(const tf::Tensor& t, const std::string& name) {
    if (t.defined() && t.is_concrete()) all_.push_back({t, name, bytes_of(t)});
  }
  void keep(const Results& r, size_t run) {
    const auto number = [&](const char* what, size_t n) {
      return what + std::to_string(n) + " of run " + std::to_string(run + 1);
    };
    for (size_t v = 0; v < r.values.size(); ++v) keep(r.values[v], number("value ", v));
    for (size_t v = 0; v < r.variables.size(); ++v) keep(r.variables[v], number("variable ", v));
  }
  /// The first of them that is another now; "" if none is.
  std::string changed() const {
    for (const Entry& e : all_)
      if (bytes_of(e.tensor) != e.bytes) return e.name + " is another once later runs are done";
    return "";
  }

 private:
  struct Entry {
    tf::Tensor tensor;
    std::string name;
    std::string bytes;
  };
  static std::string bytes_of(const tf::Tensor& t) {
    return tf::dispatch(t.dtype(), [&](auto zero) {
      const auto data = t.data<decltype(zero)>();
      return std::string(reinterpret_cast<const char*>(data.data()), data.size_bytes());
    });
  }
  std::vector<Entry> all_;
};

/// The tensor in words; where two print alike, the first element whose bits differ.
std::string differing(const tf::Tensor& a, const tf::Tensor& b) {
  const auto brief = [](std::string s) { return s.size() < 400 ? s : s.substr(0, 400) + "..."; };
  std::ostringstream text;
  text << brief(tf::repr(a)) << " and " << brief(tf::repr(b));
  if (!a.defined() || !b.defined() || a.dtype() != b.dtype() || a.shape() != b.shape()) return text.str();
  tf::dispatch(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto x = a.data<T>(), y = b.data<T>();
    for (size_t i = 0; i < x.size(); ++i) {
      if (same_bits(x[i], y[i])) continue;
      text << ", first at element " << i << ": " << std::hexfloat << +x[i] << " and " << +y[i];
      return;
    }
  });
  return text.str();
}

std::string thread_count(int n) { return std::to_string(n) + (n == 1 ? " thread" : " threads"); }

/// Values that nothing but their number says must be fetched.
bool chosen(const Program& p, int value) { return Rng(p.seed ^ (static_cast<uint64_t>(value) << 32)).one_in(3); }

/// What of the program's values to fetch.
std::vector<bool> choose_fetches(const Program& p, const State& s, bool everything) {
  std::vector<bool> fetched(static_cast<size_t>(p.num_values), everything);
  if (everything) return fetched;
  const auto mark = [&](const Instruction& i) {
    for (int k = 0; k < i.outputs; ++k) fetched[static_cast<size_t>(i.output + k)] = true;
  };
  std::vector<bool> brought(fetched.size(), false);  // done because something fetched is tied to it
  for (const Instruction& i : p.body) {
    const bool ties = i.op == "with_effects" || i.op == "group";
    // An explicit seed shares its counter with its namesakes: which of them run matters.
    const bool shared_counter = i.op.starts_with("random") && i.flag[0];
    if (!ties && !shared_counter && !chosen(p, i.output)) continue;
    mark(i);
    if (ties)
      for (size_t k = i.op == "group" ? 0 : 1; k < i.inputs.size(); ++k)
        brought[static_cast<size_t>(i.inputs[k])] = true;
    // A function may give back what was there already, and then nothing is bound.
    // What is fed does not run what its producer is bound to.
    if (i.op == "placeholder" || i.outputs == 0) continue;
    const tf::Tensor& made = s.values[static_cast<size_t>(i.output)];
    const auto is_made = [&](const tf::Tensor& t) { return t.same_as(made); };
    if (made.is_symbolic() && std::none_of(s.values.begin(), s.values.begin() + i.output, is_made))
      for (int v : i.after) brought[static_cast<size_t>(v)] = true;
  }
  for (const Instruction& i : p.body)
    if (i.outputs != 0 && is_effect(i) && !brought[static_cast<size_t>(i.output)]) mark(i);
  return fetched;
}

}  // namespace

const tf::Tensor& State::value(int v) const {
  const tf::Tensor& t = values[static_cast<size_t>(v)];
  if (!t.defined()) throw Unusable();
  return t;
}
const tf::Variable& State::variable(const Instruction& i) const {
  return variables[static_cast<size_t>(i.variables[0])];
}
std::vector<tf::Fetch> State::fetches(const std::vector<int>& wanted) const {
  std::vector<tf::Fetch> all;
  for (int v : wanted) {
    if (operations[static_cast<size_t>(v)].defined())
      all.emplace_back(operations[static_cast<size_t>(v)]);
    else if (values[static_cast<size_t>(v)].defined())
      all.emplace_back(values[static_cast<size_t>(v)]);
  }
  return all;
}

void make_variables(const Program& p, State& s) {
  s.program = &p;
  s.values.resize(static_cast<size_t>(p.num_values));
  s.operations.resize(s.values.size());
  for (const VariableDecl& v : p.variables) {
    const tf::VariableOptions options{.name = "w", .trainable = v.trainable, .dtype = v.dtype};
    if (v.random)
      s.variables.emplace_back(tf::random_normal(v.shape, {.dtype = v.dtype}), options);
    else
      s.variables.emplace_back(leaf_data(v.dtype, v.shape, v.data), options);
  }
}

void execute(const Instruction& i, State& s) {
  static constexpr const char* kScopes[] = {"", "a", "b"};
  std::optional<tf::NameScope> scope;
  if (i.scope) scope.emplace(kScopes[i.scope]);
  std::optional<tf::ControlDependencies> after;
  if (!i.after.empty()) after.emplace(s.fetches(i.after));
  std::vector<tf::Tensor> made = op_entry(i.op).evaluate(s, i);
  for (size_t k = 0; k < made.size(); ++k) s.values[static_cast<size_t>(i.output) + k] = std::move(made[k]);
}

void run_body(const Program& p, const tf::BodyKey& random, State& s) {
  const tf::BodyExecution frame(random);
  std::optional<tf::GradientTape> tape;
  if (p.has_gradients()) tape.emplace(tf::GradientTapeOptions{.persistent = true});
  s.tape = tape ? &*tape : nullptr;
  for (const Instruction& i : p.body) execute(i, s);
  s.tape = nullptr;
}

std::string Config::name() const {
  std::string text = "deferred, ";
  text += !optimize ? "optimisation off" : disabled_pass.empty() ? "optimised" : "optimised without " + disabled_pass;
  return text + (everything ? ", everything fetched, " : ", part fetched, ") + thread_count(threads);
}

std::vector<Config> all_configs(bool gpu) {
  std::vector<Config> configs;
  for (int threads : {1, 2, 5}) {
    if (gpu && threads > 1) break;  // a GPU's kernels know nothing of them
    configs.push_back({.optimize = false, .everything = true, .threads = threads});
    configs.push_back({.optimize = false, .everything = false, .threads = threads});
    configs.push_back({.optimize = true, .everything = true, .threads = threads});
    configs.push_back({.optimize = true, .everything = false, .threads = threads});
    for (const tf::Pass& pass : tf::all_passes())
      configs.push_back(
          {.optimize = true, .disabled_pass = std::string(pass.name), .everything = false, .threads = threads});
  }
  return configs;
}

std::vector<Results> run_eagerly(const Program& p, int threads) {
  const tf::EagerMode eager;
  const OnDeviceOf device(p);
  tf::set_num_threads(threads);
  tf::set_random_seed(static_cast<int64_t>(p.seed));
  State s;
  make_variables(p, s);
  const tf::BodyKey random = tf::new_body_key("step");
  std::vector<Results> results;
  Kept kept;
  for (s.run = 0; s.run < p.runs; ++s.run) {
    const Captured captured;
    std::ranges::fill(s.values, tf::Tensor());
    try {
      run_body(p, random, s);
    } catch (const Unusable&) {
      if (s.run == 0) throw;
      break;
    }
    Results r{s.values, {}, captured.text()};
    for (const tf::Variable& v : s.variables) r.variables.push_back(v.read());
    kept.keep(r, results.size());
    results.push_back(std::move(r));
  }
  results.back().changed = kept.changed();
  return results;
}

Deferred::Deferred(const Program& p) : program_(p) {
  const tf::DeferredMode deferred;
  const OnDeviceOf device(p);
  const auto scope = graph_.as_default();
  tf::set_random_seed(static_cast<int64_t>(p.seed));
  make_variables(p, state_);
  run_body(p, tf::new_body_key("step"), state_);
}
Deferred::~Deferred() = default;

std::vector<Results> Deferred::run(const Config& config, std::vector<bool>& fetched) const {
  const tf::DeferredMode deferred;
  const auto scope = graph_.as_default();
  tf::set_num_threads(config.threads);
  fetched = choose_fetches(program_, state_, config.everything);
  tf::SessionOptions options{.optimize = config.optimize, .device = program_.device};
  if (!config.disabled_pass.empty()) options.disabled_passes = {config.disabled_pass};
  const tf::Session session(graph_, options);
  if (!program_.variables.empty()) session.run(tf::global_variables_initializer());

  std::vector<tf::Fetch> wanted;
  std::vector<int> numbers;
  for (int v = 0; v < program_.num_values; ++v) {
    const auto at = static_cast<size_t>(v);
    if (!fetched[at]) continue;
    if (state_.operations[at].defined()) {
      wanted.emplace_back(state_.operations[at]);
    } else if (state_.values[at].is_symbolic()) {
      wanted.emplace_back(state_.values[at]);
    } else {
      continue;
    }
    numbers.push_back(v);
  }
  for (const tf::Variable& v : state_.variables) wanted.emplace_back(v);

  std::vector<Results> results;
  Kept kept;
  std::string changed;
  for (int run = 0; run < program_.runs; ++run) {
    std::vector<tf::Feed> feeds;
    for (const Instruction& i : program_.body)
      if (i.op == "placeholder")
        feeds.emplace_back(state_.value(i.output), leaf_data(i.dtype, i.shape, feed_seed(i.data, run)));
    const Captured captured;
    std::vector<tf::Tensor> given;
    if (!wanted.empty()) given = session.run(wanted, feeds);
    Results r{.values = std::vector<tf::Tensor>(state_.values.size()), .variables = {}, .printed = captured.text()};
    // What was computed while the graph was built has its value already.
    for (size_t v = 0; v < r.values.size(); ++v)
      if (state_.values[v].is_concrete()) r.values[v] = state_.values[v];
    for (size_t k = 0; k < numbers.size(); ++k) r.values[static_cast<size_t>(numbers[k])] = given[k];
    r.variables.assign(given.begin() + static_cast<std::ptrdiff_t>(numbers.size()), given.end());
    kept.keep(r, results.size());
    // Another plan of the session sees the same state.
    const std::vector<tf::Fetch> variables(state_.variables.begin(), state_.variables.end());
    if (!variables.empty()) {
      const std::vector<tf::Tensor> again = session.run(variables);
      for (size_t v = 0; v < again.size(); ++v) {
        kept.keep(again[v],
                  "variable " + std::to_string(v) + ", read by itself after run " + std::to_string(run + 1) + ",");
        if (changed.empty() && !same_bits(again[v], r.variables[v]))
          changed = "variable " + std::to_string(v) + " in run " + std::to_string(run + 1) +
                    ", and read by itself: " + differing(r.variables[v], again[v]);
      }
    }
    results.push_back(std::move(r));
  }
  if (changed.empty()) changed = kept.changed();
  if (!results.empty()) results.back().changed = changed;
  return results;
}

namespace {

/// What a run gives for a value that another has as None: a gradient that control flow left out. Eager knows that
/// before it goes on; a graph has zeros for it.
bool is_left_out(const tf::Tensor& t) {
  return same_bits(t, tf::eagerly([&] { return tf::zeros_like(t); }));
}

std::optional<std::string> compare(const std::vector<Results>& eager, const std::vector<Results>& other,
                                   const std::vector<bool>* fetched = nullptr) {
  for (size_t run = 0; run < eager.size(); ++run) {
    const std::string in_run = " in run " + std::to_string(run + 1) + ": ";
    for (size_t v = 0; v < eager[run].values.size(); ++v) {
      if (fetched && !(*fetched)[v]) continue;
      const tf::Tensor &a = eager[run].values[v], &b = other[run].values[v];
      if (fetched && !a.defined() && b.defined() && is_left_out(b)) continue;
      if (!same_bits(a, b)) return "value " + std::to_string(v) + in_run + differing(a, b);
    }
    for (size_t v = 0; v < eager[run].variables.size(); ++v) {
      const tf::Tensor &a = eager[run].variables[v], &b = other[run].variables[v];
      if (!same_bits(a, b)) return "variable " + std::to_string(v) + in_run + differing(a, b);
    }
    if (eager[run].printed != other[run].printed)
      return "printed" + in_run + "\n" + eager[run].printed + "and\n" + other[run].printed;
    if (!other[run].changed.empty()) return other[run].changed;
  }
  return {};
}

/// The difference that `attempt` finds; an Error it throws is one.
template <class F>
std::optional<Difference> check(const std::string& config, F&& attempt) {
  try {
    if (auto what = attempt()) return Difference{config, *what};
  } catch (const tf::Error& e) {
    return Difference{config, std::string("throws ") + e.what()};
  }
  return {};
}

}  // namespace

std::optional<Difference> find_difference(const Program& p, const std::string* only, Coverage* coverage) {
  using Found = std::optional<std::string>;
  const auto wanted = [&](const std::string& name) { return !only || *only == name; };
  std::vector<Results> eager;
  const std::string reference = "eager, 1 thread";
  if (auto d = check(reference, [&]() -> Found { return eager = run_eagerly(p, 1), compare(eager, eager); }))
    return wanted(reference) ? d : std::nullopt;
  if (eager.size() < static_cast<size_t>(p.runs)) throw Unusable();
  for (int threads : {2, 5}) {
    const std::string name = "eager, " + thread_count(threads);
    if (!wanted(name)) continue;  // on a GPU: the same once more
    if (auto d = check(name, [&] { return compare(eager, run_eagerly(p, threads)); })) return d;
  }
  std::optional<Deferred> deferred;
  const std::string building = "deferred, building the graph";
  const auto build = [&]() -> Found {
    try {
      deferred.emplace(p);
    } catch (const Unusable&) {
      return "a value that eager code has is None in the graph";
    }
    return {};
  };
  if (auto d = check(building, build)) return wanted(building) ? d : std::nullopt;
  if (coverage) coverage->add(deferred->graph());
  for (const Config& config : all_configs(p.on_gpu())) {
    if (!wanted(config.name())) continue;
    const auto d = check(config.name(), [&] {
      std::vector<bool> fetched;
      const std::vector<Results> results = deferred->run(config, fetched);
      return compare(eager, results, &fetched);
    });
    if (d) return d;
  }
  return {};
}

}  // namespace fuzz
