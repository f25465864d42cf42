#include <twofold/lib/runtime/ledger.h>

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <tuple>

#include <twofold/lib/runtime/plugin.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {
namespace {

using Seconds = std::chrono::duration<double>;
constexpr std::string_view kPhaseNames[kPhaseCount] = {"build",    "prune",  "optimize", "plan",  "feed",
                                                       "dispatch", "kernel", "transfer", "fetch", "sync"};

std::pair<double, double> cpu_seconds() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return {seconds(use.ru_utime), seconds(use.ru_stime)};
}

}  // namespace

std::string_view name_of(Phase p) { return kPhaseNames[static_cast<size_t>(p)]; }

Ledger::Recording::Recording(Ledger& ledger)
    : outer_(t_state.ledger), ledger_(ledger), start_(std::chrono::steady_clock::now()) {
  std::tie(user_, system_) = cpu_seconds();
  t_state.ledger = &ledger;
}
Ledger::Recording::~Recording() {
  t_state.ledger = outer_;
  const auto [user, system] = cpu_seconds();
  std::lock_guard lock(ledger_.mutex_);
  ledger_.wall_ += std::chrono::steady_clock::now() - start_;
  ledger_.user_ += user - user_;
  ledger_.system_ += system - system_;
}

double Ledger::seconds(Phase p) const {
  std::lock_guard lock(mutex_);
  settle();
  return Seconds(phases_[static_cast<size_t>(p)]).count();
}
double Ledger::wall_seconds() const {
  std::lock_guard lock(mutex_);
  return Seconds(wall_).count();
}
double Ledger::user_seconds() const {
  std::lock_guard lock(mutex_);
  return user_;
}
double Ledger::system_seconds() const {
  std::lock_guard lock(mutex_);
  return system_;
}
int64_t Ledger::plan_hits() const {
  std::lock_guard lock(mutex_);
  return hits_;
}
int64_t Ledger::plans_given_up() const {
  std::lock_guard lock(mutex_);
  return given_up_;
}
int64_t Ledger::plan_misses() const {
  std::lock_guard lock(mutex_);
  return misses_;
}
int64_t Ledger::runs() const {
  std::lock_guard lock(mutex_);
  return runs_;
}
std::map<std::string, Ledger::OpTime> Ledger::ops() const {
  std::lock_guard lock(mutex_);
  settle();
  std::map<std::string, OpTime> result;
  for (const auto& [name, t] : ops_) {
    OpTime& sum = result[name];
    sum.calls += t.first;
    sum.seconds += Seconds(t.second).count();
  }
  return result;
}
std::map<std::string, int64_t> Ledger::passes() const {
  std::lock_guard lock(mutex_);
  return {passes_.begin(), passes_.end()};
}
std::set<std::string> Ledger::notes() const {
  std::lock_guard lock(mutex_);
  return notes_;
}
void Ledger::reset() {
  std::lock_guard lock(mutex_);
  settle();
  notes_.clear();
  phases_ = {};
  ops_.clear();
  passes_.clear();
  wall_ = {};
  user_ = system_ = 0;
  hits_ = misses_ = given_up_ = runs_ = 0;
}

using internal::LedgerParts;
void LedgerParts::add(Ledger& l, Phase p, std::chrono::nanoseconds t) {
  std::lock_guard lock(l.mutex_);
  l.phases_[static_cast<size_t>(p)] += t;
}
void LedgerParts::add_op(Ledger& l, const char* op, std::chrono::nanoseconds t) {
  std::lock_guard lock(l.mutex_);
  auto& sum = l.ops_[op];
  ++sum.first;
  sum.second += t;
  l.phases_[static_cast<size_t>(Phase::kernel)] += t;
}
void LedgerParts::add_plan(Ledger& l, bool hit) {
  std::lock_guard lock(l.mutex_);
  ++(hit ? l.hits_ : l.misses_);
}
void LedgerParts::add_plan_given_up(Ledger& l) {
  std::lock_guard lock(l.mutex_);
  ++l.given_up_;
}
void LedgerParts::add_run(Ledger& l) {
  std::lock_guard lock(l.mutex_);
  ++l.runs_;
}
void LedgerParts::add_pass(Ledger& l, std::string_view name, int64_t changes) {
  std::lock_guard lock(l.mutex_);
  l.passes_[std::string(name)] += changes;
}

void LedgerParts::add_note(Ledger& l, std::string note) {
  std::lock_guard lock(l.mutex_);
  l.notes_.insert(std::move(note));
}
void LedgerParts::add_device_time(Ledger& l, const char* op, Phase p, int gpu, void* begin, void* end) {
  constexpr size_t kMostPending = 4096;
  std::lock_guard lock(l.mutex_);
  if (l.pending_.size() >= kMostPending) l.settle();
  l.pending_.push_back({op, p, gpu, begin, end});
}
void Ledger::settle() const {
  for (const Pending& e : pending_) {
    float milliseconds = 0;
    gpu_runtime()->elapsed(e.begin, e.end, &milliseconds);
    gpu_runtime()->free_event(e.gpu, e.begin);
    gpu_runtime()->free_event(e.gpu, e.end);
    const std::chrono::nanoseconds t(static_cast<int64_t>(1e6 * static_cast<double>(milliseconds)));
    phases_[static_cast<size_t>(e.phase)] += t;
    if (e.phase == Phase::kernel) ops_[e.op].second += t;
  }
  pending_.clear();
}

DeviceTimer::DeviceTimer(Device device, Ledger* ledger, const char* op, Phase phase)
    : ledger_(device.is_cpu() ? nullptr : ledger), gpu_(device.gpu()), op_(op), phase_(phase) {
  if (ledger_ && gpu_runtime()->record_event(gpu_, &begin_)) ledger_ = nullptr;
}
DeviceTimer::~DeviceTimer() {
  if (!ledger_) return;
  void* end = nullptr;
  if (gpu_runtime()->record_event(gpu_, &end)) {
    gpu_runtime()->free_event(gpu_, begin_);
  } else {
    LedgerParts::add_device_time(*ledger_, op_, phase_, gpu_, begin_, end);
  }
}

bool profiler_ranges_wanted() {
  static const bool wanted = std::getenv("TWOFOLD_NVTX") && gpu_runtime();
  return wanted;
}
void push_profiler_range(const std::string& name) { gpu_runtime()->push_range(name.c_str()); }
void pop_profiler_range() { gpu_runtime()->pop_range(); }

std::string Ledger::table() const {
  std::string text = fmt::format("{:<14}{:>12}{:>9}\n", "phase", "ms", "share");
  const double wall = wall_seconds();
  double known = 0;
  const auto row = [&](std::string_view name, double s) {
    text += fmt::format("{:<14}{:>12.3f}{:>8.1f}%\n", name, 1e3 * s, wall > 0 ? 100 * s / wall : 0.0);
  };
  for (int i = 0; i < kPhaseCount; ++i) {
    const double s = seconds(static_cast<Phase>(i));
    known += s;
    row(kPhaseNames[i], s);
  }
  row("program", std::max(0.0, wall - known));
  text += fmt::format("{:<14}{:>12.3f}\n{:<14}{:>12.3f}\n{:<14}{:>12.3f}\n", "wall", 1e3 * wall, "user",
                      1e3 * user_seconds(), "system", 1e3 * system_seconds());
  text += fmt::format("runs {}, plans {} hit, {} missed, {} given up\n", runs(), plan_hits(), plan_misses(),
                      plans_given_up());
  for (const auto& [name, changes] : passes()) text += fmt::format("pass {:<20}{:>8} changes\n", name, changes);
  for (const std::string& note : notes()) text += "note " + note + "\n";
  for (const auto& [name, t] : ops())
    text += fmt::format("op {:<22}{:>8} calls{:>12.3f} ms\n", name, t.calls, 1e3 * t.seconds);
  return text;
}

std::string Ledger::json() const {
  nlohmann::ordered_json j;
  for (int i = 0; i < kPhaseCount; ++i) j["phases"][std::string(kPhaseNames[i])] = seconds(static_cast<Phase>(i));
  j["wall"] = wall_seconds();
  j["user"] = user_seconds();
  j["system"] = system_seconds();
  j["runs"] = runs();
  j["plan_hits"] = plan_hits();
  j["plan_misses"] = plan_misses();
  j["plans_given_up"] = plans_given_up();
  j["notes"] = notes();
  j["passes"] = passes();
  for (const auto& [name, t] : ops()) j["ops"][name] = {{"calls", t.calls}, {"seconds", t.seconds}};
  return j.dump(1);
}

}  // namespace twofold
