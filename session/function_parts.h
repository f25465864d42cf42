// What functions and steps are made of, for the library's own sources: no header that programs include has this.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <twofold/lib/core/error.h>
#include <twofold/lib/runtime/thread_state.h>
#include <twofold/session/recorded_run.h>
#include <twofold/session/shared_session.h>
#include <twofold/session/traced_function.h>

namespace twofold {

class GuardedRun;
class StepScope;

namespace internal {

/// The arguments of a call as tensors.
std::vector<Tensor> tensors_of(const Arguments& arguments);
/// What a value given to a call is.
TensorSpec spec_of(const Feed::Value& v);
Signature signature_of(const Arguments& arguments);
/// Whether a body from a file can be called with them.
bool takes(const Body& body, const Arguments& arguments);

/// A call in the graph around a function, of placeholders.
struct CallInHome {
  std::vector<Tensor> arguments, outputs;
  Tensor trace;  ///< the hidden output
};

/// A trace and the runs that serve calls with values.
struct Built {
  TracedFunction traced;
  uint64_t number = 0;                          ///< in which order they were made
  mutable std::atomic<uint64_t> last_call = 0;  ///< of a trace with guards: greater if it was later
  mutable std::mutex preparing;                 ///< guards all below
  mutable std::optional<CallInHome> in_home;
  mutable std::optional<PreparedRun> run;
  mutable std::shared_ptr<RecordedRun> recorded;  ///< of calls that a tape sees
};

struct FunctionRunner::State {
  Kind kind;
  const Session* given;  ///< may be null
  FunctionOptions options;
  std::source_location where;
  BodyKey key;
  std::optional<Graph> home;                    ///< the graph around: calls with values are nodes of it
  bool of_eager = false;                        ///< it is the function's own, whose variables are eager
  bool loaded = false;                          ///< from a file: there is no body to trace anew
  bool guarded = false;                         ///< host code in the body reads symbols: traces hold for what it read
  std::string device = "/cpu:0";                ///< of a function from a file: where its ops run that nothing places
  std::shared_ptr<const void> keeps = nullptr;  ///< what it uses of the program that was loaded

  std::weak_ptr<const State> self;  ///< this

  std::atomic<bool> warned = false;

  std::recursive_mutex building;  ///< held while the body is traced, which may touch what only one thread may
  mutable std::mutex mutex;       ///< guards all below; taken after `building`
  std::shared_ptr<SharedSession> shared;
  std::unique_ptr<Session> own;
  std::multimap<Signature, std::shared_ptr<const Built>> built;
  uint64_t next_number = 0;
  std::vector<Signature> called;  ///< of an eager step: with what it was called

  const char* word() const;
  std::string node_name() const { return options.name.empty() ? word() : options.name; }
  const Session& session();
  const Graph& deferred_home() const;
  void check_arguments(const Arguments& arguments, bool symbols) const;

  /// Null if it was not traced so yet. Precondition: mutex is held.
  std::shared_ptr<const Built> find(const Signature& signature) const;
  std::shared_ptr<const Built> find_loaded(const Arguments& arguments) const;
  std::string why_traced(const Signature& signature) const;
  std::shared_ptr<const Built> find_or_trace(const Arguments& arguments, const Body& body);
  std::shared_ptr<const Built> find_or_trace(const Signature& signature, std::source_location called_from,
                                             const Body& body);
  TracedFunction trace_now(const Signature& signature, const Body& body, const Examples* examples = nullptr);
  void check_same(const TracedFunction& a, const TracedFunction& b) const;
  /// Adds a trace that was made. Precondition: `building` is held, the mutex is not.
  std::shared_ptr<const Built> keep(TracedFunction traced, uint64_t number, std::string reason,
                                    std::source_location called_from);
  void drop_outdated();
  void warn_of_held(const TracedFunction& traced);
  void warn_of_gone(const TracedFunction& traced);

  /// The body without captures: what it captures of the graph around is part of it. Throws InvalidArgument if that has
  /// a placeholder.
  twofold::Body closed_body(const Built& b) const;
  /// A Call node in the current graph: its outputs, the hidden one too.
  Outputs call_node(const TracedFunction& traced, std::vector<Tensor> inputs) const;
  void check_belongs(const GraphData& g, const TracedFunction& traced) const;
  void check_unwatched(const TracedFunction& traced) const;
  void check_session(const StepScope* outer) const;
  void note_call(const Arguments& arguments);
  /// The call in the graph around. Precondition: b.preparing is held.
  const CallInHome& call_in_home(const Built& b) const;
  /// The run, by session `in`, that serves calls with values, and that which serves those that a tape sees.
  const PreparedRun& prepared(const Built& b, const Session& in) const;
  std::shared_ptr<RecordedRun> recorded(const Built& b, const Session& in) const;

  /// @{
  /// Of a guarded function: the traces whose arguments and settings fit, the latest called first; that which serves
  /// symbols; a new one for the arguments' values; which guard of a trace fails for them, if any does.
  std::vector<std::shared_ptr<const Built>> fitting(const Arguments& arguments) const;
  std::shared_ptr<const Built> latest(const Arguments& arguments) const;
  std::shared_ptr<const Built> trace_for(const Arguments& arguments, const Body& body, std::string reason);
  std::optional<size_t> failing_guard(const Built& b, const Arguments& arguments, const GuardedRun& run);
  TracedFunction trace_with(const Signature& signature, const Body& body, std::vector<Tensor> arguments,
                            uint64_t number);
  [[noreturn]] void fail_no_trace(std::span<const std::shared_ptr<const Built>> traces, const Arguments& arguments,
                                  std::source_location line) const;
  /// @}

  // The ways of a call: an eager step; a step within another body; a call with symbols; one with values.
  Result run_now(const Arguments& arguments, const Body& body);
  Result run_inline(const Arguments& arguments, const Body& body, const StepScope* outer);
  Result add_call(const Arguments& arguments, const Body& body, const StepScope* outer);
  Result run_built(const Arguments& arguments, const Body& body);
  Result run_guarded(const Arguments& arguments, const Body& body);
  Result run_trace(const Built& b, const Arguments& arguments);
};

struct FunctionParts {
  static FunctionRunner::State& state(const FunctionRunner& runner) {
    runner.check_not_moved();
    return *runner.state_;
  }
  static FunctionRunner runner(std::shared_ptr<FunctionRunner::State> state) {
    return {FunctionRunner::Kind::function, std::move(state)};
  }
};

}  // namespace internal

/// A body that is under way on this thread, in either mode.
class StepScope {
 public:
  /// Throws FailedPrecondition if `of`, made at `where`, is under way already.
  StepScope(const internal::FunctionRunner::State& of, bool eager) : eager_(eager), of_(&of), outer_(t_state.step) {
    for (const StepScope* s = outer_; s; s = s->outer_)
      if (s->of_ == of_)
        fail_at(of.where, "", Code::FailedPrecondition,
                fmt::format("A {0} was called in its own body, which would never end: {0}s may call others, not "
                            "themselves",
                            of.word()),
                "tf::while_loop for what repeats, or a C++ function that both call");
    t_state.step = this;
  }
  ~StepScope() { t_state.step = outer_; }
  StepScope(const StepScope&) = delete;
  StepScope& operator=(const StepScope&) = delete;

  bool is_eager() const { return eager_; }
  /// The one given for it; null: its graph's.
  const Session* session() const { return of_->given; }

 private:
  const bool eager_;
  const internal::FunctionRunner::State* const of_;
  const StepScope* const outer_;
};

}  // namespace twofold
