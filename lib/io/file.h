// Files read and written whole, with errors that say which file and why. Not installed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>
#include <string_view>

#include <twofold/lib/core/error.h>

namespace twofold::io {

/// Throws the Error for `error`, a value of errno: "cannot open 'a.bin': No such file or directory". NotFound for what
/// is not there, ResourceExhausted for a full disk or a quota, DataLoss for a device's error, else FailedPrecondition.
[[noreturn]] void fail_errno(const char* action, const std::string& path, int error, std::source_location where);

/// `text` in quotes for a message: cut after 100 bytes, with what does not print as \xNN.
std::string in_quotes(std::string_view text);

/// What errors are about.
struct Source {
  std::string path;
  std::source_location where;
  std::string entry = {};  ///< the file within the file, of an archive
  /// Throws DataLoss, or `code`: the path and what is wrong, and the next line to type if there is one.
  [[noreturn]] void fail(const std::string& problem, Code code = Code::DataLoss, std::string hint = {}) const;
};

/// Gives the next bytes of a source; called with no more in all than it has.
using Reader = std::function<void(void* to, size_t bytes)>;
/// Takes the next bytes of what is written.
using Writer = std::function<void(const void* from, size_t bytes)>;

/// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  /// Returns errno's value, or 0.
  int close();

 private:
  int fd_;
};

/// A regular file, open for reading.
class InputFile {
 public:
  /// Throws NotFound where there is none, FailedPrecondition for what may not be read or is no regular file.
  InputFile(std::string path, std::source_location where);
  /// In bytes, when it was opened.
  uint64_t size() const { return size_; }
  int descriptor() const { return file_.get(); }
  /// The next `bytes` bytes. Throws DataLoss if the file ends before.
  void read(void* to, size_t bytes);
  /// `bytes` bytes from `offset` on; the place of `read` stays. False if the file has fewer.
  bool read_at(uint64_t offset, void* to, size_t bytes) const;

 private:
  std::string path_;
  std::source_location where_;
  Descriptor file_;
  uint64_t size_ = 0;
};

/// A file that takes the place of `path` at once and whole, or not at all: it is written under another name in the same
/// folder, and removed unless `commit` is reached or the process is killed (remove_abandoned_files). A symbolic link at
/// `path` is replaced, not followed.
class AtomicFile {
 public:
  AtomicFile(std::string path, std::source_location where);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(const void* from, size_t bytes);
  /// What is written next lies `position` bytes behind the file's beginning.
  void seek(uint64_t position);
  /// Returns once the file is on the disk under its name. Only the last step, that of writing the folder's entry to
  /// the disk, can throw when the new file has taken the old one's place.
  void commit();

 private:
  static int create(std::string& temporary, const std::string& folder);
  std::string path_, folder_, temporary_;
  std::source_location where_;
  Descriptor file_;
};

/// Removes from a folder what AtomicFiles of processes that are no more have left there. What cannot be removed stays.
void remove_abandoned_files(const std::string& folder);

}  // namespace twofold::io
