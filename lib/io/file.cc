#include <twofold/lib/io/file.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <utility>

namespace twofold::io {
namespace {

Code code_of(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR: return Code::NotFound;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM: return Code::ResourceExhausted;
    case EIO: return Code::DataLoss;
    default: return Code::FailedPrecondition;
  }
}

// The system takes no more at once.
constexpr size_t kMostAtOnce = size_t{1} << 30;

// What names of temporary files begin and end with.
constexpr std::pair<std::string_view, std::string_view> kTemporary = {".twofold-", ".tmp"};

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
}

}  // namespace

void fail_errno(const char* action, const std::string& path, int error, std::source_location where) {
  fail_at(where, "", code_of(error),
          fmt::format("Cannot {} {}: {}", action, in_quotes(path), std::generic_category().message(error)));
}

void Source::fail(const std::string& problem, Code code, std::string hint) const {
  fail_at(where, "", code,
          fmt::format("{}{}: {}", in_quotes(path), entry.empty() ? "" : ", entry " + in_quotes(entry), problem),
          std::move(hint));
}

std::string in_quotes(std::string_view text) {
  constexpr size_t kMost = 100;
  std::string out = "'";
  for (const char c : text.substr(0, kMost)) {
    if (c >= ' ' && c <= '~') {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out + (text.size() > kMost ? "...'" : "'");
}

Descriptor::~Descriptor() { close(); }
int Descriptor::close() {
  const int fd = std::exchange(fd_, -1);
  return fd < 0 || ::close(fd) == 0 ? 0 : errno;
}

InputFile::InputFile(std::string path, std::source_location where)
    : path_(std::move(path)), where_(where), file_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (file_.get() < 0) fail_errno("open", path_, errno, where_);
  struct stat status;
  if (::fstat(file_.get(), &status) != 0) fail_errno("examine", path_, errno, where_);
  if (!S_ISREG(status.st_mode))
    fail_at(where_, "", Code::FailedPrecondition, fmt::format("{} is not a regular file", in_quotes(path_)));
  size_ = static_cast<uint64_t>(status.st_size);
}

void InputFile::read(void* to, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = ::read(file_.get(), static_cast<char*>(to) + done, std::min(bytes - done, kMostAtOnce));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno("read", path_, errno, where_);
    if (n == 0)
      fail_at(where_, "", Code::DataLoss,
              fmt::format("{} ended while it was read: {} bytes more were expected", in_quotes(path_), bytes - done));
    done += static_cast<size_t>(n);
  }
}

bool InputFile::read_at(uint64_t offset, void* to, size_t bytes) const {
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = ::pread(file_.get(), static_cast<char*>(to) + done, std::min(bytes - done, kMostAtOnce),
                              static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno("read", path_, errno, where_);
    if (n == 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

int AtomicFile::create(std::string& temporary, const std::string& folder) {
  static std::atomic<uint64_t> g_count{0};
  int fd;
  do {  // a name may be left from a process that was killed
    temporary = fmt::format("{}/{}{}-{}{}", folder, kTemporary.first, ::getpid(), g_count++, kTemporary.second);
    fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (fd < 0 && errno == EEXIST);
  if (fd >= 0) ::flock(fd, LOCK_EX | LOCK_NB);  // until it is closed, be it by the process's death
  return fd;
}

AtomicFile::AtomicFile(std::string path, std::source_location where)
    : path_(std::move(path)), folder_(folder_of(path_)), where_(where), file_(create(temporary_, folder_)) {
  if (file_.get() < 0) fail_errno("create a file in the folder of", path_, errno, where_);
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* from, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = ::write(file_.get(), static_cast<const char*>(from) + done, std::min(bytes - done, kMostAtOnce));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno("write", path_, errno, where_);
    done += static_cast<size_t>(n);
  }
}

void AtomicFile::seek(uint64_t position) {
  if (::lseek(file_.get(), static_cast<off_t>(position), SEEK_SET) < 0) fail_errno("write", path_, errno, where_);
}

void AtomicFile::commit() {
  struct stat old {};
  if (::stat(path_.c_str(), &old) == 0 && ::fchmod(file_.get(), old.st_mode & 07777) != 0)
    fail_errno("set the permissions of", path_, errno, where_);
  if (::fsync(file_.get()) != 0) fail_errno("write", path_, errno, where_);
  if (const int error = file_.close()) fail_errno("write", path_, error, where_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_errno("replace", path_, errno, where_);
  temporary_.clear();
  const Descriptor folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // EINVAL: a file system that has nothing to do for it.
  if (folder.get() < 0 || (::fsync(folder.get()) != 0 && errno != EINVAL))
    fail_errno("write to the disk the folder of", path_, errno, where_);
}

void remove_abandoned_files(const std::string& folder) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kTemporary.first) || !name.ends_with(kTemporary.second)) continue;
    const Descriptor file(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
    struct stat status;
    if (file.get() < 0 || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    // A new one that is empty may be of a process that is about to lock it.
    constexpr std::time_t kNew = 60;
    if ((status.st_size > 0 || std::time(nullptr) - status.st_mtime > kNew) &&
        ::flock(file.get(), LOCK_EX | LOCK_NB) == 0)
      ::unlink(entry.path().c_str());
  }
}

}  // namespace twofold::io
