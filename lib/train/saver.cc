#include <twofold/lib/train/saver.h>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <exception>
#include <mutex>
#include <ratio>
#include <system_error>
#include <thread>

#include <twofold/lib/core/error.h>
#include <twofold/lib/core/log.h>
#include <twofold/lib/io/file.h>
#include <twofold/lib/io/safetensors_format.h>
#include <twofold/lib/op/body_execution.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/thread_state.h>
#include <twofold/lib/train/checkpoints.h>
#include <twofold/lib/train/restore.h>
#include <twofold/session/session.h>
#include <twofold/session/state.h>

namespace twofold::train {
namespace {

using Clock = std::chrono::steady_clock;

std::string time_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[sizeof "2026-11-30T20:40:05Z"];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

void check_options(const SaverOptions& o, std::source_location where) {
  const auto refuse = [&](const std::string& problem, const char* hint) {
    fail_at(where, "", Code::InvalidArgument, "Saver: " + problem, hint);
  };
  if (o.directory.empty()) refuse("no directory is given", "{.directory = \"checkpoints\"}");
  if (o.prefix.empty() || o.prefix.find('/') != o.prefix.npos || o.prefix.find('\0') != o.prefix.npos)
    refuse(fmt::format("the prefix is {}; it must be the beginning of a file's name", io::in_quotes(o.prefix)),
           "{.prefix = \"checkpoint\"}");
  if (o.keep_last < 0) refuse(fmt::format("keep_last is {}", o.keep_last), "{.keep_last = 5}, or 0 to keep all");
  if (o.keep_best < 0) refuse(fmt::format("keep_best is {}", o.keep_best), "{.keep_best = 1}, or 0 for none");
  if (o.every_steps < 0) refuse(fmt::format("every_steps is {}", o.every_steps), "{.every_steps = 1000}");
  if (!(o.every_minutes >= 0)) refuse(fmt::format("every_minutes is {}", o.every_minutes), "{.every_minutes = 10}");
}

void check_variables(const Variables& variables, std::source_location where) {
  if (variables.empty())
    fail_at(where, "", Code::InvalidArgument, "Saver: there are no variables to keep", "{{\"net\", net}}");
  for (const auto& [name, variable] : variables)
    if (name.starts_with(kReserved))
      fail_at(where, "", Code::InvalidArgument,
              fmt::format("Saver: the variable's name {} begins with '{}'", io::in_quotes(name), kReserved));
}

void check_outside(std::source_location where) {
  if (t_state.body || t_state.step)
    fail_at(where, "", Code::FailedPrecondition, "A Saver was called in the body of a step, loop or branch",
            "saver.step(done) after the call of the step");
}

}  // namespace

std::optional<double> Metric::read(std::source_location where) const {
  if (!scalar_.defined()) return number_;
  if (scalar_.is_concrete() && scalar_.rank() != 0)
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("A checkpoint's metric must be a scalar; its shape is {}", scalar_.shape().str()),
            "tf::mean(metric)");
  return dispatch(scalar_.dtype(), [&](auto zero) { return static_cast<double>(scalar_.item<decltype(zero)>(where)); });
}

SaverState::SaverState(std::initializer_list<std::pair<std::string, Part>> parts, std::source_location where) {
  for (const auto& [part, state] : parts)
    for (const auto& [name, variable] : state.variables_) {
      const std::string path = state.is_one_ ? part : part.empty() ? name : part + "." + name;
      if (!variables_.emplace(path, variable).second)
        fail_at(where, "", Code::InvalidArgument,
                fmt::format("Two variables of a Saver are called {}", io::in_quotes(path)));
    }
}

class Saver::Data {
 public:
  Data(const Session& session, Variables variables, SaverOptions options, Where where)
      : session_(session),
        variables_(std::move(variables)),
        options_(std::move(options)),
        checkpoints_(options_, where),
        last_time_(Clock::now()) {}
  ~Data() {
    if (!writer_.joinable()) return;
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    writer_.join();
    if (!error_) return;
    try {
      std::rethrow_exception(error_);
    } catch (const std::exception& e) {
      warn(fmt::format("A checkpoint was not saved, and nobody has been told: {}", e.what()));
    }
  }
  Data(const Data&) = delete;
  Data& operator=(const Data&) = delete;

  bool step(int64_t done, const Metric& metric, Where where) {
    check_outside(where);
    check_step(done, where);
    if (options_.every_steps == 0 && options_.every_minutes == 0)
      fail_at(where, "", Code::FailedPrecondition, "This Saver was not told when to save by itself",
              "{.every_steps = 1000}, or saver.save(done)");
    const auto now = options_.every_minutes > 0 ? Clock::now() : Clock::time_point();
    if (failed_.load(std::memory_order_acquire)) throw_error();
    if (!is_due(done, now) || busy_.load(std::memory_order_acquire)) return false;
    if (failed_.load(std::memory_order_acquire)) throw_error();
    take(done, metric, where);
    return true;
  }

  std::string save(int64_t done, const Metric& metric, Where where) {
    check_outside(where);
    check_step(done, where);
    wait(where);
    return take(done, metric, where);
  }

  void wait(Where) {
    wait_until_idle();
    throw_error();
  }

  std::optional<Checkpoint> restore_latest(Where where) {
    check_outside(where);
    wait_until_idle();
    const std::vector<Record> records = copy_of_records();
    std::string damaged;
    for (auto r = records.rbegin(); r != records.rend(); ++r) {
      std::optional<io::Safetensors> file;
      try {
        file = read_checkpoint(r->checkpoint.path, where);
      } catch (const Error& e) {
        // What the system refuses may be there the next time: an older one is not to take its place unseen.
        if (e.code() != Code::DataLoss && e.code() != Code::NotFound && e.code() != Code::Unimplemented) throw;
        warn(fmt::format("A checkpoint is passed over: {}", e.message()));
        damaged += (damaged.empty() ? "" : "; ") + e.message();
        continue;
      }
      return set_all(r->checkpoint.path, *file, where);
    }
    if (records.empty()) return {};
    fail_at(where, "", Code::DataLoss,
            fmt::format("None of the {} checkpoints in {} can be read: {}", records.size(),
                        io::in_quotes(options_.directory), damaged),
            "another directory to begin anew");
  }

  Checkpoint restore(const std::string& path, Where where) {
    check_outside(where);
    wait_until_idle();
    return set_all(path, read_checkpoint(path, where), where);
  }

  std::vector<std::string> restore_part(const std::string& path, const std::map<std::string, std::string>& names,
                                        Where where) const {
    check_outside(where);
    return train::restore_part(session_, variables_, path, names, where);
  }

  std::vector<Record> copy_of_records() const {
    std::lock_guard lock(mutex_);
    return checkpoints_.records();
  }
  std::optional<Checkpoint> best() const {
    std::lock_guard lock(mutex_);
    const Record* best = checkpoints_.best();
    return best ? std::optional(best->checkpoint) : std::nullopt;
  }

 private:
  struct Job {
    Record record;
    io::NamedTensors tensors;
    io::Metadata metadata;
    Where where;
  };

  static void check_step(int64_t done, Where where) {
    if (done < 0) fail_at(where, "", Code::InvalidArgument, fmt::format("{} steps cannot have been done", done));
  }

  bool is_due(int64_t done, Clock::time_point now) {
    if (done == last_step_) return false;
    if (options_.every_steps > 0) {
      const int64_t multiple = done / options_.every_steps;
      if (multiple > last_multiple_) return true;
      last_multiple_ = multiple;  // less, where a program has begun anew
    }
    return options_.every_minutes > 0 &&
           std::chrono::duration<double, std::ratio<60>>(now - last_time_).count() >= options_.every_minutes;
  }
  void note_step(int64_t done) {
    last_step_ = done;
    last_multiple_ = options_.every_steps > 0 ? done / options_.every_steps : 0;
    last_time_ = Clock::now();
  }

  /// Takes hold of the values and hands them to the thread, which must be idle.
  std::string take(int64_t done, const Metric& metric, Where where) {
    Job job{.where = where};
    Checkpoint& c = job.record.checkpoint;
    {
      std::lock_guard lock(mutex_);
      c.path = checkpoints_.path_of(done);
      job.record.serial = checkpoints_.next_serial();
    }
    c.step = done;
    c.metric = metric.read(where);
    c.time = time_now();
    {
      const WithoutTape unseen;
      for (auto& [name, value] : read_state(session_, variables_, where))
        job.tensors.emplace_back(name, std::move(value));
      if (options_.random_state)
        for (auto& [name, value] : read_random_state(session_, where))
          job.tensors.emplace_back(std::string(kRandom) + name, std::move(value));
    }
    const io::Metadata notes = options_.notes ? options_.notes() : io::Metadata();
    for (const auto& [key, value] : notes)
      if (key.starts_with(kReserved))
        fail_at(where, "", Code::InvalidArgument,
                fmt::format("A note is called {}; such names are the Saver's", io::in_quotes(key)));
    job.metadata = metadata_of(job.record, notes);
    io::header_of(job.tensors, job.metadata, {c.path, where});  // a mistake is the caller's
    const std::string path = c.path;
    {
      std::lock_guard lock(mutex_);
      if (!writer_.joinable()) start_writer(where);
      job_ = std::move(job);
      busy_.store(true, std::memory_order_release);
    }
    changed_.notify_all();
    note_step(done);
    return path;
  }

  void start_writer(Where where) {
    try {
      writer_ = std::thread([this] { work(); });
    } catch (const std::system_error& e) {
      fail_at(where, "", Code::ResourceExhausted, fmt::format("Saver: there can be no thread to write: {}", e.what()));
    }
  }
  void work() {
    for (;;) {
      std::optional<Job> job;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stop_ || job_; });
        if (!job_) return;
        job = std::exchange(job_, std::nullopt);
      }
      std::exception_ptr error;
      try {
        for (auto& [name, t] : job->tensors) t = moved_to(t, {});
        add_checksum(job->metadata, checksum_of(job->tensors));
        io::save_safetensors(job->record.checkpoint.path, job->tensors, job->metadata, job->where);
        job->tensors.clear();  // memory, before anybody is told
        std::lock_guard lock(mutex_);
        checkpoints_.add(std::move(job->record), job->where);
      } catch (...) {
        error = std::current_exception();
      }
      job.reset();
      {
        std::lock_guard lock(mutex_);
        if (error) {
          error_ = std::move(error);
          failed_.store(true, std::memory_order_release);
        }
        busy_.store(false, std::memory_order_release);
      }
      changed_.notify_all();
    }
  }

  void wait_until_idle() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !busy_.load(std::memory_order_relaxed); });
  }
  void throw_error() {
    std::exception_ptr error;
    {
      std::lock_guard lock(mutex_);
      error = std::exchange(error_, nullptr);
      failed_.store(false, std::memory_order_release);
    }
    if (error) std::rethrow_exception(error);
  }

  Checkpoint set_all(const std::string& path, const io::Safetensors& file, Where where) {
    train::restore_all(session_, variables_, file, options_.random_state, {path, where});
    Checkpoint restored = record_of(path, file.metadata(), where).checkpoint;
    note_step(restored.step);
    return restored;
  }

  const Session& session_;
  const Variables variables_;
  const SaverOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Checkpoints checkpoints_;   // guarded by mutex_, as is all up to writer_
  std::optional<Job> job_;    // to be written
  bool stop_ = false;         // once there is none
  std::exception_ptr error_;  // of the last that failed, until somebody has been told
  std::thread writer_;
  std::atomic<bool> busy_{false}, failed_{false};  // a job is there or being written; there is an error
  int64_t last_step_ = -1, last_multiple_ = 0;     // of the checkpoint taken or restored last
  Clock::time_point last_time_;
};

Saver::Saver(const Session& session, const SaverState& state, SaverOptions options, Where where) {
  check_options(options, where);
  check_variables(state.variables(), where);
  data_ = std::make_unique<Data>(session, state.variables(), std::move(options), where);
}
Saver::~Saver() = default;

bool Saver::step(int64_t done, const Metric& metric, Where where) { return data_->step(done, metric, where); }
std::string Saver::save(int64_t done, const Metric& metric, Where where) { return data_->save(done, metric, where); }
void Saver::wait(Where where) { data_->wait(where); }
std::optional<Checkpoint> Saver::restore_latest(Where where) { return data_->restore_latest(where); }
Checkpoint Saver::restore(const std::string& path, Where where) { return data_->restore(path, where); }
std::vector<std::string> Saver::restore_part(const std::string& path, const std::map<std::string, std::string>& names,
                                             Where where) {
  return data_->restore_part(path, names, where);
}

std::vector<Checkpoint> Saver::checkpoints() const {
  std::vector<Checkpoint> all;
  for (const Record& r : data_->copy_of_records()) all.push_back(r.checkpoint);
  return all;
}
std::optional<Checkpoint> Saver::latest() const {
  const std::vector<Record> records = data_->copy_of_records();
  return records.empty() ? std::nullopt : std::optional(records.back().checkpoint);
}
std::optional<Checkpoint> Saver::best() const { return data_->best(); }

}  // namespace twofold::train
