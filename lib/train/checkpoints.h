// The checkpoints of a directory: which there are, and which of them stay. Not installed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include <twofold/lib/io/safetensors.h>
#include <twofold/lib/train/saver.h>

namespace twofold::train {

/// What names of tensors and keys of metadata begin with that are a Saver's own.
inline constexpr std::string_view kReserved = "twofold.";
/// Of the tensors that are the random state.
inline constexpr std::string_view kRandom = "twofold.random.";

/// A checkpoint, and its number among all that were saved in its directory.
struct Record {
  Checkpoint checkpoint;
  uint64_t serial = 0;
};

/// The notes of a checkpoint's file: what is known of it, and `notes`.
io::Metadata metadata_of(const Record& record, const io::Metadata& notes);
/// From these. Throws DataLoss if they are not a checkpoint's.
Record record_of(const std::string& path, const io::Metadata& metadata, std::source_location where);

/// Of names and elements, of tensors of the host: another one if any of 8 bytes that lie together are others.
uint64_t checksum_of(const io::NamedTensors& tensors);
/// Notes it beside what metadata_of has noted.
void add_checksum(io::Metadata& metadata, uint64_t checksum);
/// Throws DataLoss if the tensors of a checkpoint are not those that were written.
void check_checksum(const std::string& path, const io::Safetensors& file, std::source_location where);

/// What a directory has, in the order in which it was saved. Not safe from several threads.
class Checkpoints {
 public:
  /// What lies there now: what the index lists, and what was written and not listed, for the process was killed or the
  /// index is lost. Warns of files that are no checkpoints, whatever their names, and of an index that is damaged.
  Checkpoints(const SaverOptions& options, std::source_location where);

  const std::vector<Record>& records() const { return records_; }
  const Record* best() const;
  uint64_t next_serial() const { return records_.empty() ? 1 : records_.back().serial + 1; }
  /// Of the file for a step.
  std::string path_of(int64_t step) const;
  /// Takes up one that has been written: lists it, then removes those that need not stay.
  void add(Record record, std::source_location where);

 private:
  std::string index_path() const;
  std::optional<int64_t> step_of(std::string_view file_name) const;
  std::optional<std::vector<Record>> read_index(std::source_location where) const;
  void write_index(std::source_location where) const;
  std::vector<Record> take_superfluous();
  std::vector<size_t> by_metric() const;

  std::string directory_, prefix_;
  size_t keep_last_, keep_best_;
  bool higher_is_better_;
  std::vector<Record> records_;
};

}  // namespace twofold::train
