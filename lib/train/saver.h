// Checkpoints: what a program has come to, written while it trains on.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include <twofold/lib/io/safetensors.h>
#include <twofold/lib/op/tensor.h>
#include <twofold/lib/op/variable.h>

namespace twofold {
class Session;
}

namespace twofold::train {

/// Options of `Saver`.
struct SaverOptions {
  std::string directory;                     ///< where checkpoints lie; made if it is not there
  std::string prefix = "checkpoint";         ///< their names' beginning: checkpoint-1200.safetensors
  int64_t keep_last = 5;                     ///< so many stay, those saved last; 0: all do
  int64_t keep_best = 0;                     ///< and so many beside them, those of the best metric
  bool higher_is_better = false;             ///< of metrics: they are accuracies, not losses
  int64_t every_steps = 0;                   ///< `step` saves at multiples of this; 0: not by steps
  double every_minutes = 0;                  ///< `step` saves when so long has gone by since it did; 0: not by time
  bool random_state = true;                  ///< keeps what decides random numbers, too (read_random_state)
  std::function<io::Metadata()> notes = {};  ///< called for each checkpoint, which keeps them: the place in the data
};

/// One that a Saver has written.
struct Checkpoint {
  std::string path;              ///< its file's
  int64_t step = 0;              ///< how many steps were done
  std::optional<double> metric;  ///< if there was one
  std::string time;              ///< when it was taken, "2026-11-30T20:40:05Z"
  io::Metadata notes;            ///< of one that was restored, what `SaverOptions::notes` gave
};

/// What is measured of a checkpoint: nothing, a number, or a scalar whose number is read only if one is taken.
class Metric {
 public:
  Metric() = default;
  template <class T>
  requires std::floating_point<T> || std::integral<T> Metric(T number) : number_(static_cast<double>(number)) {}
  Metric(Tensor scalar) : scalar_(std::move(scalar)) {}
  /// Throws InvalidArgument for a tensor that is no scalar, FailedPrecondition for a symbol.
  std::optional<double> read(std::source_location where = std::source_location::current()) const;

 private:
  std::optional<double> number_;
  Tensor scalar_;
};

namespace internal {
template <class T>
concept HasState = requires(const T& t) {
  { t.state() } -> std::convertible_to<std::map<std::string, Variable>>;
};
}  // namespace internal

/// The variables that a Saver keeps, by name: a map, or parts, `{{"net", net}, {"optimiser", opt}, {"best", best}}`.
/// The variables that a module or an optimiser has now go by the part's name, a dot and their own (where the part's is
/// empty by their own alone), as do a map's; a Variable goes by the part's.
class SaverState {
 public:
  /// Of a part.
  class Part {
   public:
    template <internal::HasState T>
    Part(const T& owner) : variables_(owner.state()) {}
    Part(std::map<std::string, Variable> variables) : variables_(std::move(variables)) {}
    Part(const Variable& variable) : variables_({{"", variable}}), is_one_(true) {}

   private:
    friend class SaverState;
    std::map<std::string, Variable> variables_;
    bool is_one_ = false;
  };

  /// Throws InvalidArgument for a name given twice.
  SaverState(std::initializer_list<std::pair<std::string, Part>> parts,
             std::source_location where = std::source_location::current());
  SaverState(std::map<std::string, Variable> variables) : variables_(std::move(variables)) {}
  template <internal::HasState T>
  SaverState(const T& owner) : variables_(owner.state()) {}

  /// By name.
  const std::map<std::string, Variable>& variables() const { return variables_; }

 private:
  std::map<std::string, Variable> variables_;
};

/// Writes checkpoints while a program trains, keeps the last and the best, and restores them, in both modes:
///
///     train::Saver saver(session, {{"net", net}, {"optimiser", opt}}, {.directory = "run1", .every_steps = 1000});
///     const auto last = saver.restore_latest();
///     for (int64_t done = last ? last->step : 0; done < 100'000;) {
///       const Tensor loss = step(...);
///       saver.step(++done, loss);
///     }
///     saver.wait();
///
/// A checkpoint is a safetensors file: the variables by name; under names that begin with "twofold.random." the random
/// state; in its metadata "twofold.step", "twofold.metric", "twofold.time", "twofold.serial" (which counts a
/// directory's checkpoints), "twofold.checksum" and the notes. The values are those between two steps, and immutable;
/// what is done at once is to take hold of them, and a thread of the Saver's writes them, one checkpoint at a time.
/// Each file appears at once and whole; then PREFIX.index.json, which lists what is kept; then older ones are removed.
/// So whenever the process ends, be it by kill -9, the newest whole checkpoint is found again, also without the index.
/// One Saver writes a directory's files of one prefix at a time.
///
/// What goes wrong in the background is thrown by the next call of step, save or wait, by the line of the save; the
/// destructor waits, and warns. All calls are to come from between two steps: in the body of a step, branch or loop
/// they throw FailedPrecondition. (TensorFlow: tf.train.Saver, CheckpointManager; Lightning: ModelCheckpoint)
class Saver {
 public:
  using Where = std::source_location;

  /// Looks for the checkpoints that there are. Eager, the session has nothing to do; else it must outlive the Saver.
  /// Throws InvalidArgument for options that make no sense, for no variable at all and for names that begin with
  /// "twofold."; NotFound or FailedPrecondition where the directory cannot be made or read.
  Saver(const Session& session, const SaverState& state, SaverOptions options, Where where = Where::current());
  /// Waits for what is being written, and warns if that fails.
  ~Saver();
  Saver(const Saver&) = delete;
  Saver& operator=(const Saver&) = delete;

  /// Saves if that is due after `done` steps: at the first call with a multiple of `every_steps`, or with more, since
  /// the last checkpoint, or after `every_minutes`. While the one before is still being written it is put off to a
  /// later call, so that training does not wait. Returns whether a checkpoint was taken. Throws FailedPrecondition if
  /// the options name neither.
  bool step(int64_t done, const Metric& metric = {}, Where where = Where::current());
  /// Saves, once the one before is written: returns as soon as the values are taken hold of. Gives the path that the
  /// file will have.
  std::string save(int64_t done, const Metric& metric = {}, Where where = Where::current());
  /// Returns when all is on the disk.
  void wait(Where where = Where::current());

  /// Sets all variables and the random state to those of the newest checkpoint that is whole; files that are damaged
  /// are passed over with a warning. Empty if there is no checkpoint. Throws DataLoss if all are damaged, and as
  /// `restore` does.
  std::optional<Checkpoint> restore_latest(Where where = Where::current());
  /// The same from one file, all or nothing. (Deferred, it initialises, too.) Throws InvalidArgument, which lists
  /// them with both dtypes and shapes, for variables that the file lacks or has otherwise, and for values without a
  /// variable; DataLoss for a file that no Saver wrote; FailedPrecondition for a random state of another seed; and as
  /// io::load_safetensors and load_random_state do.
  Checkpoint restore(const std::string& path, Where where = Where::current());
  /// Sets variables from any safetensors file, all or none, and nothing else. `names`: from a tensor's name in the file
  /// to the variable's here; where both end in a dot or a slash, or are empty, of all names that begin so:
  /// `{{"encoder.", "net.body."}}`. Of several that fit the longest counts. Returns the variables' names. Throws
  /// NotFound for a name that fits nothing in the file or no variable; InvalidArgument for another dtype or shape, with
  /// both, and for a variable that is set twice. (TensorFlow: tf.train.init_from_checkpoint)
  std::vector<std::string> restore_part(const std::string& path, const std::map<std::string, std::string>& names,
                                        Where where = Where::current());

  /// Those that are kept, in the order in which they were saved.
  std::vector<Checkpoint> checkpoints() const;
  /// @{
  /// The last of these, and the first of those with the best metric; empty if there is none. NaN is no metric.
  std::optional<Checkpoint> latest() const;
  std::optional<Checkpoint> best() const;
  /// @}

 private:
  class Data;
  std::unique_ptr<Data> data_;
};

}  // namespace twofold::train
