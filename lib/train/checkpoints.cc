#include <twofold/lib/train/checkpoints.h>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <utility>

#include <twofold/lib/core/error.h>
#include <twofold/lib/core/log.h>
#include <twofold/lib/io/file.h>
#include <twofold/lib/io/safetensors_format.h>
#include <twofold/lib/op/value.h>

namespace twofold::train {
namespace {

using nlohmann::json;

constexpr const char *kStep = "twofold.step", *kMetric = "twofold.metric", *kTime = "twofold.time",
                     *kSerial = "twofold.serial", *kChecksum = "twofold.checksum";
constexpr std::string_view kSuffix = ".safetensors";
constexpr int kIndexVersion = 1;

template <class T>
std::optional<T> number_in(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

json json_of(const Record& r) {
  const Checkpoint& c = r.checkpoint;
  return {{"file", std::filesystem::path(c.path).filename()},
          {"step", c.step},
          {"metric", c.metric ? json(fmt::format("{}", *c.metric)) : json()},
          {"time", c.time},
          {"serial", r.serial}};
}

/// Empty if `entry` is not what json_of makes.
std::optional<Record> record_in(const json& entry, const std::string& directory) {
  if (!entry.is_object()) return {};
  const auto member = [&](const char* name) { return entry.contains(name) ? entry[name] : json(); };
  const json file = member("file"), step = member("step"), metric = member("metric"), time = member("time"),
             serial = member("serial");
  if (!file.is_string() || !step.is_number_unsigned() || !time.is_string() || !serial.is_number_unsigned()) return {};
  Record r;
  r.checkpoint.path = directory + "/" + file.get<std::string>();
  r.checkpoint.step = step.get<int64_t>();
  r.checkpoint.time = time.get<std::string>();
  r.serial = serial.get<uint64_t>();
  if (metric.is_null()) return r;
  if (metric.is_string()) r.checkpoint.metric = number_in<double>(metric.get<std::string>());
  return r.checkpoint.metric ? std::optional(r) : std::nullopt;
}

Record record_of_file(const std::string& path, std::source_location where) {
  io::InputFile file(path, where);
  const auto read = [&](void* to, size_t bytes) { file.read(to, bytes); };
  return record_of(path, io::read_header(read, file.size(), {path, where}).metadata, where);
}

}  // namespace

io::Metadata metadata_of(const Record& record, const io::Metadata& notes) {
  io::Metadata all = notes;
  all[kStep] = fmt::to_string(record.checkpoint.step);
  all[kTime] = record.checkpoint.time;
  all[kSerial] = fmt::to_string(record.serial);
  if (record.checkpoint.metric) all[kMetric] = fmt::format("{}", *record.checkpoint.metric);
  return all;
}

Record record_of(const std::string& path, const io::Metadata& metadata, std::source_location where) {
  const io::Source source{path, where};
  const auto text_of = [&](const char* key) {
    const auto found = metadata.find(key);
    if (found == metadata.end())
      source.fail(fmt::format("it is no checkpoint of a Saver's: it has no '{}'", key), Code::DataLoss,
                  "saver.restore_part(path, names)");
    return found->second;
  };
  const auto checked = [&]<class T>(std::optional<T> number, const char* key) {
    if (!number || *number < T{0})
      source.fail(fmt::format("its '{}' is {}, which is no such number", key, io::in_quotes(metadata.at(key))));
    return *number;
  };
  Record r{{.path = path, .time = text_of(kTime)}};
  r.checkpoint.step = checked(number_in<int64_t>(text_of(kStep)), kStep);
  r.serial = checked(number_in<uint64_t>(text_of(kSerial)), kSerial);
  if (metadata.contains(kMetric)) {
    r.checkpoint.metric = number_in<double>(text_of(kMetric));
    if (!r.checkpoint.metric) checked(std::optional<int64_t>(), kMetric);
  }
  for (const auto& [key, value] : metadata)
    if (!key.starts_with(kReserved)) r.checkpoint.notes.emplace(key, value);
  return r;
}

uint64_t checksum_of(const io::NamedTensors& tensors) {
  // FNV-1a of words. Each step is one to one in the sum and in the word.
  uint64_t sum = 14695981039346656037u;
  const auto add = [&](const void* data, size_t bytes) {
    const auto* next = static_cast<const std::byte*>(data);
    const auto mix = [&](size_t n) {
      uint64_t word = 0;
      std::memcpy(&word, next, n);
      sum = (sum ^ word) * 1099511628211u;
      next += n;
    };
    for (size_t i = bytes / sizeof(uint64_t); i > 0; --i) mix(sizeof(uint64_t));
    if (bytes % sizeof(uint64_t)) mix(bytes % sizeof(uint64_t));
  };
  for (const auto& [name, t] : tensors) {
    add(name.data(), name.size());
    add(t.value()->data(), t.value()->bytes());
  }
  return sum;
}

void add_checksum(io::Metadata& metadata, uint64_t checksum) { metadata[kChecksum] = fmt::format("{:016x}", checksum); }

void check_checksum(const std::string& path, const io::Safetensors& file, std::source_location where) {
  io::Metadata now;
  add_checksum(now, checksum_of(file.tensors()));
  const auto noted = file.metadata().find(kChecksum);
  if (noted == file.metadata().end() || noted->second != now.at(kChecksum))
    io::Source{path, where}.fail("it is damaged: its checksum is not that of its tensors");
}

Checkpoints::Checkpoints(const SaverOptions& options, std::source_location where)
    : directory_(options.directory),
      prefix_(options.prefix),
      keep_last_(static_cast<size_t>(options.keep_last)),
      keep_best_(static_cast<size_t>(options.keep_best)),
      higher_is_better_(options.higher_is_better) {
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  if (error) io::fail_errno("make the directory", directory_, error.value(), where);
  io::remove_abandoned_files(directory_);
  std::map<std::string, Record> listed;
  for (Record& r : read_index(where).value_or(std::vector<Record>()))
    listed.emplace(std::filesystem::path(r.checkpoint.path).filename(), std::move(r));
  std::filesystem::directory_iterator files(directory_, error);
  if (error) io::fail_errno("read the directory", directory_, error.value(), where);
  for (const auto& file : files) {
    const std::string name = file.path().filename();
    if (!step_of(name)) continue;
    if (const auto known = listed.find(name); known != listed.end()) {
      records_.push_back(std::move(known->second));
      continue;
    }
    try {
      records_.push_back(record_of_file(directory_ + "/" + name, where));
    } catch (const Error& e) {
      warn(fmt::format("A file that is called as a checkpoint is passed over: {}", e.message()));
    }
  }
  std::ranges::sort(records_, {}, [](const Record& r) { return std::pair(r.serial, r.checkpoint.step); });
}

std::string Checkpoints::index_path() const { return fmt::format("{}/{}.index.json", directory_, prefix_); }

std::string Checkpoints::path_of(int64_t step) const {
  return fmt::format("{}/{}-{}{}", directory_, prefix_, step, kSuffix);
}

std::optional<int64_t> Checkpoints::step_of(std::string_view name) const {
  if (name.size() <= prefix_.size() + 1 + kSuffix.size() || !name.starts_with(prefix_) || !name.ends_with(kSuffix))
    return {};
  const auto step =
      number_in<int64_t>(name.substr(prefix_.size() + 1, name.size() - prefix_.size() - 1 - kSuffix.size()));
  return step && *step >= 0 && path_of(*step).ends_with("/" + std::string(name)) ? step : std::nullopt;
}

std::optional<std::vector<Record>> Checkpoints::read_index(std::source_location where) const {
  constexpr uint64_t kMost = uint64_t{64} << 20;
  const auto damaged = [&](std::string_view why) {
    warn(fmt::format("The index {} is damaged, and made anew from the files: {}", io::in_quotes(index_path()), why));
    return std::nullopt;
  };
  std::string text;
  try {
    io::InputFile file(index_path(), where);
    if (file.size() > kMost) return damaged("it is too long");
    text.resize(file.size());
    file.read(text.data(), text.size());
  } catch (const Error& e) {
    return e.code() == Code::NotFound ? std::nullopt : damaged(e.message());
  }
  const json index = json::parse(text, nullptr, false);
  if (!index.is_object() || index.value("version", json()) != kIndexVersion || !index.contains("checkpoints") ||
      !index["checkpoints"].is_array())
    return damaged("it is no index of version 1");
  std::vector<Record> records;
  for (const json& entry : index["checkpoints"]) {
    std::optional<Record> record = record_in(entry, directory_);
    // Files are removed by their names here, which must be no others than checkpoints have.
    if (!record || record->checkpoint.path != path_of(record->checkpoint.step))
      return damaged(fmt::format("its entry {} is no checkpoint's", records.size()));
    records.push_back(std::move(*record));
  }
  return records;
}

void Checkpoints::write_index(std::source_location where) const {
  json list = json::array();
  for (const Record& r : records_) list.push_back(json_of(r));
  const std::string text = json{{"version", kIndexVersion}, {"checkpoints", std::move(list)}}.dump(1) + "\n";
  io::AtomicFile file(index_path(), where);
  file.write(text.data(), text.size());
  file.commit();
}

std::vector<size_t> Checkpoints::by_metric() const {
  std::vector<size_t> order;
  for (size_t i = 0; i < records_.size(); ++i)
    if (const auto metric = records_[i].checkpoint.metric; metric && !std::isnan(*metric)) order.push_back(i);
  std::ranges::sort(order, [&](size_t a, size_t b) {
    const double x = *records_[a].checkpoint.metric, y = *records_[b].checkpoint.metric;
    return x == y ? a < b : higher_is_better_ ? x > y : x < y;
  });
  return order;
}

const Record* Checkpoints::best() const {
  const std::vector<size_t> order = by_metric();
  return order.empty() ? nullptr : &records_[order[0]];
}

std::vector<Record> Checkpoints::take_superfluous() {
  if (keep_last_ == 0 || records_.size() <= keep_last_) return {};
  std::vector<bool> stays(records_.size());
  std::fill(stays.end() - static_cast<std::ptrdiff_t>(keep_last_), stays.end(), true);
  const std::vector<size_t> order = by_metric();
  for (size_t i = 0; i < std::min(keep_best_, order.size()); ++i) stays[order[i]] = true;
  std::vector<Record> kept, superfluous;
  for (size_t i = 0; i < records_.size(); ++i) (stays[i] ? kept : superfluous).push_back(std::move(records_[i]));
  records_ = std::move(kept);
  return superfluous;
}

void Checkpoints::add(Record record, std::source_location where) {
  std::erase_if(records_, [&](const Record& r) { return r.checkpoint.path == record.checkpoint.path; });
  records_.push_back(std::move(record));
  const std::vector<Record> superfluous = take_superfluous();
  write_index(where);
  for (const Record& r : superfluous)
    if (::unlink(r.checkpoint.path.c_str()) != 0 && errno != ENOENT)
      io::fail_errno("remove", r.checkpoint.path, errno, where);
}

}  // namespace twofold::train
