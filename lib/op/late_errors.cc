#include <twofold/lib/op/late_errors.h>

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/synchronize.h>
#include <twofold/lib/runtime/plugin.h>

namespace twofold {
namespace {

constexpr uint32_t kMostPassing = 4096;
constexpr uint32_t kPassing = uint32_t{1} << 31;  ///< marks tags of passing calls
constexpr size_t kMostGpus = 128;

// Words and records that no unit has, and the numbers that units get: those of one GPU. Never destroyed.
class Cells {
 public:
  static Cells& of(int gpu) {
    static auto* all = new std::array<Cells, kMostGpus>;
    return (*all)[static_cast<size_t>(gpu)];
  }
  DeviceError* take_word(int gpu) { return take(gpu, words_); }
  DeviceError* take_record(int gpu) { return take(gpu, records_); }
  void give_word(DeviceError* word) { give(word, words_); }
  void give_record(DeviceError* record) { give(record, records_); }

  /// Begins a unit, and returns its number. In the stream units begin in the order of their numbers.
  uint64_t begin(int gpu, DeviceError* word, DeviceError* record) {
    std::lock_guard lock(beginning_);
    const uint64_t unit = last_.load(std::memory_order_relaxed) + 1;
    last_.store(unit, std::memory_order_release);
    check_gpu(gpu_runtime()->begin_unit(gpu, word, record, unit), "the beginning of a unit of work");
    return unit;
  }
  uint64_t last() const { return last_.load(std::memory_order_acquire); }

 private:
  DeviceError* take(int gpu, std::vector<DeviceError*>& from) {
    std::lock_guard lock(mutex_);
    if (from.empty()) {
      constexpr size_t kMore = 256;
      DeviceError *words = nullptr, *records = nullptr;
      check_gpu(gpu_runtime()->make_error_words(gpu, kMore, &words, &records), "words for errors");
      for (size_t i = 0; i < kMore; ++i) words_.push_back(words + i), records_.push_back(records + i);
    }
    DeviceError* cell = from.back();
    from.pop_back();
    return cell;
  }
  void give(DeviceError* cell, std::vector<DeviceError*>& to) {
    std::lock_guard lock(mutex_);
    to.push_back(cell);
  }

  std::mutex mutex_;
  std::vector<DeviceError*> words_, records_;  // free ones, guarded by mutex_
  std::mutex beginning_;
  std::atomic<uint64_t> last_{0};
};

thread_local LateUnit* t_unit = nullptr;
// Units of this thread that may have failed without anybody's having been told.
thread_local std::vector<Ref<LateUnit>> t_unread;

}  // namespace

ErrorWord::ErrorWord(int gpu) : gpu_(gpu), word_(Cells::of(gpu).take_word(gpu)) {}
ErrorWord::~ErrorWord() { Cells::of(gpu_).give_word(word_); }

LateUnit::~LateUnit() { give_records(); }

// What the GPU still writes to a record that is given back comes before what its next unit makes it write.
void LateUnit::give_records() {
  for (Part& p : parts_)
    if (DeviceError* record = std::exchange(p.record, nullptr)) Cells::of(p.gpu).give_record(record);
}

DeviceError* LateUnit::known_word(int gpu) const {
  std::lock_guard lock(mutex_);
  for (const Part& p : parts_)
    if (p.gpu == gpu) return p.word;
  return nullptr;
}

DeviceError* LateUnit::word(int gpu) {
  if (DeviceError* known = known_word(gpu)) return known;
  auto own = std::make_unique<ErrorWord>(gpu);
  DeviceError* word = own->get();
  begin(gpu, word);
  std::lock_guard lock(mutex_);
  parts_.back().own = std::move(own);
  return word;
}

void LateUnit::begin(int gpu, DeviceError* word) {
  std::lock_guard lock(mutex_);
  Cells& cells = Cells::of(gpu);
  DeviceError* record = cells.take_record(gpu);
  Part& part = parts_.emplace_back();
  part.gpu = gpu, part.word = word, part.record = record;
  part.unit = cells.begin(gpu, word, record);
}

uint32_t LateUnit::add(const std::shared_ptr<const LateCalls>& calls) {
  std::lock_guard lock(mutex_);
  for (const Calls& known : calls_)
    if (known.calls == calls) return known.first;
  calls_.push_back({num_calls_, calls});
  num_calls_ += static_cast<uint32_t>(calls->size());
  return calls_.back().first;
}

uint32_t LateUnit::add(LateCall call) {
  std::lock_guard lock(mutex_);
  const uint32_t i = passed_++ % kMostPassing;
  if (passing_.size() <= i) passing_.resize(i + 1);
  passing_[i] = std::move(call);
  return kPassing | i;
}

void LateUnit::close_quietly() {
  std::lock_guard lock(mutex_);
  for (Part& p : parts_) p.closed_at = Cells::of(p.gpu).last();
  closed_ = true;
}

void LateUnit::close() {
  close_quietly();
  if (parts_.empty()) return;
  std::erase_if(t_unread, [](const auto& unit) { return unit->told_ || unit->is_good(); });
  t_unread.emplace_back(this);
}

void LateUnit::wait() {
  SmallVector<int, 2> gpus;
  {
    std::lock_guard lock(mutex_);
    for (const Part& p : parts_) gpus.push_back(p.gpu);
  }
  for (const int gpu : gpus) check_gpu(gpu_runtime()->synchronize(gpu), "waiting for the GPU");
  if (failed()) return;
  std::lock_guard lock(mutex_);
  if (closed_) set_good();
}

// Precondition: mutex_ is held.
void LateUnit::set_good() {
  State unknown = State::unknown;
  if (state_.compare_exchange_strong(unknown, State::good)) give_records();
}

bool LateUnit::failed() {
  const State known = state_.load(std::memory_order_acquire);
  if (known != State::unknown) return known == State::failed;
  std::lock_guard lock(mutex_);
  for (const Part& p : parts_) {
    const volatile DeviceError* r = p.record;
    if (!r || r->unit != p.unit || r->code == KernelError::none) continue;
    code_ = r->code, index_ = r->index, tag_ = r->tag;
    state_.store(State::failed, std::memory_order_release);
    return true;
  }
  return state_.load(std::memory_order_relaxed) == State::failed;
}

bool LateUnit::is_good() {
  const State known = state_.load(std::memory_order_acquire);
  if (known != State::unknown) return known == State::good;
  std::unique_lock lock(mutex_);
  if (!closed_) return false;
  // A unit that began after this one was closed has begun: the stream has come past this one.
  for (const Part& p : parts_)
    if (gpu_runtime()->begun_unit(p.gpu) <= p.closed_at) return false;
  lock.unlock();
  if (failed()) return false;
  lock.lock();
  set_good();
  return true;
}

void LateUnit::raise() {
  told_ = true;
  KernelContext reported;
  LateCall call;
  {
    std::lock_guard lock(mutex_);
    reported.error = code_, reported.error_index = index_;
    if (const uint32_t i = tag_ & ~kPassing; tag_ & kPassing) {
      if (i < passing_.size()) call = passing_[i];
    } else {
      for (const Calls& list : calls_)
        if (i >= list.first && i - list.first < list.calls->size()) call = (*list.calls)[i - list.first];
    }
  }
  if (!call.op) fail(Code::Internal, "A kernel has failed of which nothing is known");
  try {
    check_kernel(*call.op, call.attrs ? call.attrs->view() : AttrsView(), reported);
  } catch (const Error& e) {
    ErrorFacts facts = e.facts();
    facts.op = call.op->name, facts.node = call.node, facts.where = call.where;
    throw Error(e.code(), std::move(facts));
  }
  fail(Code::Internal, fmt::format("'{}' has failed without a reason", call.op->name));
}

template <class Which>
void LateUnit::check_unread_of(Which&& which) {
  std::erase_if(t_unread, [](const auto& unit) { return unit->told_ || unit->is_good(); });
  for (const Ref<LateUnit>& unit : t_unread)
    if (which(*unit) && unit->failed()) Ref<LateUnit>(unit)->raise();
}
void LateUnit::check_unread(uint64_t owner) {
  if (!t_unread.empty()) check_unread_of([owner](const LateUnit& u) { return u.owner_ == owner; });
}
void LateUnit::check_unread() {
  check_unread_of([](const LateUnit&) { return true; });
}

void LateErrors::wait_and_check() const {
  if (all_good()) return;
  for (const auto& unit : units_) unit->wait();
  check();
}

bool LateErrors::all_good() const {
  return std::ranges::all_of(units_, [](const auto& unit) { return unit->is_good(); });
}

bool LateErrors::contains(const LateUnit& unit) const {
  return std::ranges::any_of(units_, [&](const auto& u) { return u.get() == &unit; });
}

Ref<LateErrors> LateErrors::joined(const LateErrors* a, const LateErrors* b) {
  if (a && a->all_good()) a = nullptr;
  if (b && b->all_good()) b = nullptr;
  const auto same = [](const LateErrors* e) { return Ref<LateErrors>(const_cast<LateErrors*>(e)); };
  if (!a || !b || a == b) return same(a ? a : b);
  const auto within = [](const LateErrors& x, const LateErrors& y) {
    return std::ranges::all_of(x.units_, [&](const auto& unit) { return y.contains(*unit); });
  };
  if (within(*b, *a)) return same(a);
  if (within(*a, *b)) return same(b);
  std::vector<Ref<LateUnit>> units;
  for (const LateErrors* each : {a, b})
    for (const auto& unit : each->units_)
      if (!unit->is_good() && std::ranges::find(units, unit) == units.end()) units.push_back(unit);
  return units.empty() ? Ref<LateErrors>() : make_ref<LateErrors>(std::move(units));
}

InLateUnit::InLateUnit(LateUnit* unit) : outer_(std::exchange(t_unit, unit)) {}
InLateUnit::~InLateUnit() { t_unit = outer_; }
LateUnit* InLateUnit::current() { return t_unit; }

void synchronize() {
  const GpuRuntime* gpu = gpu_runtime();
  if (!gpu) return;
  for (int i = 0; i < gpu->device_count(); ++i) check_gpu(gpu->synchronize(i), "waiting for the GPU");
  LateUnit::check_unread();
}

}  // namespace twofold
