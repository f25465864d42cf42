// Archives of .npy files, by libzip.
#include <fcntl.h>
#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include <twofold/lib/io/npy_format.h>
#include <twofold/lib/op/value.h>

namespace twofold::io {
namespace {

constexpr std::string_view kSuffix = ".npy";

struct Discard {
  void operator()(zip_t* archive) const { zip_discard(archive); }
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};
using Archive = std::unique_ptr<zip_t, Discard>;
using ArchiveFile = std::unique_ptr<zip_file_t, Discard>;

class ZipError {
 public:
  ZipError() { zip_error_init(&error_); }
  ~ZipError() { zip_error_fini(&error_); }
  ZipError(const ZipError&) = delete;
  ZipError& operator=(const ZipError&) = delete;
  zip_error_t* get() { return &error_; }

 private:
  zip_error_t error_;
};

[[noreturn]] void fail_zip(zip_error_t* error, const char* action, const Source& source) {
  const int code = zip_error_code_zip(error);
  if (code == ZIP_ER_EXISTS) source.fail("two of its entries have one name");
  source.fail(fmt::format("{}: {}", action, zip_error_strerror(error)),
              code == ZIP_ER_MEMORY ? Code::ResourceExhausted : Code::DataLoss);
}

uint64_t little_endian(const unsigned char* bytes, size_t n) {
  uint64_t value = 0;
  for (size_t i = 0; i < n; ++i) value |= uint64_t{bytes[i]} << 8 * i;
  return value;
}

/// Bytes of an archive from a place on; false if there are fewer.
using ReadAt = std::function<bool(uint64_t offset, void* to, size_t bytes)>;

/// libzip takes memory for as many entries as the end of an archive of 64 bits says there are, so that must be
/// possible: "PK\6\7", which lies before the end, says where "PK\6\6" lies, which says how many.
void check_entry_count(const ReadAt& read_at, uint64_t total_bytes, const Source& source) {
  constexpr uint64_t kLocator = 20, kEnd = 22, kMostComment = 0xffff, kRecord = 56, kSmallestEntry = 46;
  const uint64_t tail = std::min(total_bytes, kLocator + kEnd + kMostComment);
  std::vector<unsigned char> bytes(tail);
  if (!read_at(total_bytes - tail, bytes.data(), tail)) source.fail("it ended while it was read");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (size_t at = text.find("PK\6\7"); at != text.npos && at + kLocator <= tail; at = text.find("PK\6\7", at + 1)) {
    unsigned char record[kRecord];
    const uint64_t offset = little_endian(&bytes[at + 8], 8);
    if (offset > total_bytes || total_bytes - offset < kRecord || !read_at(offset, record, kRecord)) continue;
    for (const size_t count_at : {24, 32})
      if (const uint64_t count = little_endian(record + count_at, 8); count > total_bytes / kSmallestEntry)
        source.fail(fmt::format("its end says that it has {} entries; {} bytes have fewer", count, total_bytes));
  }
}

/// The bytes of the entry `source.entry` as a tensor.
Tensor read_entry(zip_t* archive, const zip_stat_t& about, const Source& source) {
  if (about.encryption_method != ZIP_EM_NONE) source.fail("it is encrypted", Code::Unimplemented);
  if (about.comp_method != ZIP_CM_STORE && about.comp_method != ZIP_CM_DEFLATE)
    source.fail(fmt::format("it is compressed by method {} of the ZIP format; stored and deflated ones are read",
                            about.comp_method),
                Code::Unimplemented);
  // 258 bytes take at least two bits.
  constexpr uint64_t kMostExpansion = 1032;
  if (about.comp_method == ZIP_CM_STORE ? about.size != about.comp_size : about.size / kMostExpansion > about.comp_size)
    source.fail(fmt::format("{} bytes are promised, which {} {} ones cannot hold", about.size, about.comp_size,
                            about.comp_method == ZIP_CM_STORE ? "stored" : "deflated"));
  const ArchiveFile file(zip_fopen_index(archive, about.index, 0));
  if (!file) fail_zip(zip_get_error(archive), "it cannot be read", source);
  const auto read = [&](void* to, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
      const zip_int64_t n = zip_fread(file.get(), static_cast<char*>(to) + done, bytes - done);
      if (n < 0) fail_zip(zip_file_get_error(file.get()), "it is damaged", source);
      if (n == 0) source.fail(fmt::format("it ends {} bytes early", bytes - done));
      done += static_cast<size_t>(n);
    }
  };
  Tensor t = read_npy(read, about.size, source);
  char more;
  const zip_int64_t n = zip_fread(file.get(), &more, 1);  // at the end the sum of its bytes is checked
  if (n < 0) fail_zip(zip_file_get_error(file.get()), "it is damaged", source);
  if (n > 0) source.fail(fmt::format("it is longer than {} bytes, its size in the archive", about.size));
  return t;
}

/// Takes `bytes` over. `total_bytes`: how many they are.
TensorFile read_npz(zip_source_t* bytes, uint64_t total_bytes, const Source& source) {
  ZipError error;
  const Archive archive(zip_open_from_source(bytes, ZIP_RDONLY | ZIP_CHECKCONS, error.get()));
  if (!archive) {
    zip_source_free(bytes);
    fail_zip(error.get(), "it is no .npz file, a ZIP archive", source);
  }
  NamedTensors tensors;
  std::set<std::string> names;
  uint64_t compressed = 0;
  const zip_int64_t count = zip_get_num_entries(archive.get(), 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    zip_stat_t about;
    if (zip_stat_index(archive.get(), static_cast<zip_uint64_t>(i), 0, &about) != 0)
      fail_zip(zip_get_error(archive.get()), "its directory is damaged", source);
    constexpr zip_uint64_t kNeeded =
        ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if ((about.valid & kNeeded) != kNeeded) source.fail("its directory is damaged");
    std::string name = about.name;
    const Source entry{source.path, source.where, name};
    if (!name.ends_with(kSuffix)) entry.fail("it is no array: its name must end in '.npy'");
    name.resize(name.size() - kSuffix.size());
    if (!names.insert(name).second) entry.fail("the name comes twice");
    // Entries that share their bytes would make more of them than the file has.
    if (about.comp_size > total_bytes - compressed)
      entry.fail(fmt::format("it takes {} bytes and those before it {}, of a file that has {}", about.comp_size,
                             compressed, total_bytes));
    compressed += about.comp_size;
    Tensor t = read_entry(archive.get(), about, entry);
    tensors.emplace_back(std::move(name), std::move(t));
  }
  return {source.path, std::move(tensors)};
}

void check_magic(const char* magic, const Source& source) {
  if (std::string_view(magic, 2) != "PK")
    source.fail(fmt::format("it is no .npz file, a ZIP archive: it begins with {}",
                            in_quotes(std::string_view(magic, kNpyMagic.size()))),
                Code::DataLoss, std::string_view(magic, kNpyMagic.size()) == kNpyMagic ? "tf::io::load_npy(path)" : "");
}

/// What libzip writes an archive to. An error is kept, for it must not pass through C.
class Output {
 public:
  explicit Output(AtomicFile& file) : file_(file) {}

  static zip_int64_t call(void* self, void* data, zip_uint64_t bytes, zip_source_cmd_t command) {
    return static_cast<Output*>(self)->answer(data, bytes, command);
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  zip_int64_t answer(void* data, zip_uint64_t bytes, zip_source_cmd_t command) {
    switch (command) {
      case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT,
                                              ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL,
                                              ZIP_SOURCE_SUPPORTS, ZIP_SOURCE_BEGIN_WRITE, ZIP_SOURCE_COMMIT_WRITE,
                                              ZIP_SOURCE_ROLLBACK_WRITE, ZIP_SOURCE_WRITE, ZIP_SOURCE_SEEK_WRITE,
                                              ZIP_SOURCE_TELL_WRITE, ZIP_SOURCE_REMOVE, -1);
      case ZIP_SOURCE_STAT: {
        auto* about = static_cast<zip_stat_t*>(data);
        zip_stat_init(about);
        about->valid = ZIP_STAT_SIZE;
        about->size = 0;
        return sizeof *about;
      }
      case ZIP_SOURCE_ERROR: return zip_error_to_data(error_of(), data, bytes);
      case ZIP_SOURCE_READ:
      case ZIP_SOURCE_TELL: return 0;
      case ZIP_SOURCE_TELL_WRITE: return static_cast<zip_int64_t>(at_);
      case ZIP_SOURCE_SEEK_WRITE: {
        const zip_int64_t to = zip_source_seek_compute_offset(at_, size_, data, bytes, error_of());
        if (to < 0) return -1;
        at_ = static_cast<uint64_t>(to);
        return guarded([&] { file_.seek(at_); });
      }
      case ZIP_SOURCE_WRITE:
        if (guarded([&] { file_.write(data, bytes); }) < 0) return -1;
        at_ += bytes;
        size_ = std::max(size_, at_);
        return static_cast<zip_int64_t>(bytes);
      default: return 0;  // nothing to do
    }
  }
  template <class F>
  zip_int64_t guarded(const F& f) {
    try {
      f();
      return 0;
    } catch (...) {
      error_ = std::current_exception();
      zip_error_set(error_of(), ZIP_ER_WRITE, 0);
      return -1;
    }
  }
  zip_error_t* error_of() { return zip_error_.get(); }

  AtomicFile& file_;
  uint64_t at_ = 0, size_ = 0;
  std::exception_ptr error_;
  ZipError zip_error_;
};

struct Piece {
  std::string name, header;
  Tensor host;
};

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const size_t more = first < 0x80 ? 0 : first >> 5 == 6 ? 1 : first >> 4 == 14 ? 2 : first >> 3 == 30 ? 3 : 4;
    if (more == 4 || i + more >= text.size()) return false;
    uint32_t point = more == 0 ? first : first & (0x3fu >> more);
    for (size_t j = 1; j <= more; ++j) {
      const auto next = static_cast<unsigned char>(text[i + j]);
      if (next >> 6 != 2) return false;
      point = point << 6 | (next & 0x3fu);
    }
    constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (point < kLeast[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
    i += more + 1;
  }
  return true;
}

std::vector<Piece> pieces_of(const NamedTensors& tensors, const Source& source) {
  std::vector<Piece> pieces;
  std::set<std::string_view> names;
  for (const auto& [name, t] : tensors) {
    const Source entry{source.path, source.where, name + std::string(kSuffix)};
    constexpr size_t kMostName = 0xffff - kSuffix.size();
    if (name.size() > kMostName)
      entry.fail(fmt::format("its name has {} bytes; the format allows {}", name.size(), kMostName),
                 Code::InvalidArgument);
    if (name.find('\0') != name.npos) entry.fail("its name has a zero byte", Code::InvalidArgument);
    if (!is_utf8(name)) entry.fail("its name must be UTF-8", Code::InvalidArgument);
    if (!names.insert(name).second) entry.fail("the name is given twice", Code::InvalidArgument);
    pieces.push_back({entry.entry, npy_header_of(t, entry), t});
  }
  for (Piece& p : pieces)
    if (!p.host.value()->device().is_cpu()) p.host = copy_to(p.host, {});
  return pieces;
}

void write_npz(AtomicFile& file, const std::vector<Piece>& pieces, NpzOptions options, const Source& source) {
  if (pieces.empty()) {  // for which libzip would remove the file
    constexpr std::string_view kEmpty("PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22);
    file.write(kEmpty.data(), kEmpty.size());
    return;
  }
  ZipError error;
  Output output(file);
  std::vector<std::array<zip_buffer_fragment_t, 2>> fragments(pieces.size());
  zip_source_t* target = zip_source_function_create(&Output::call, &output, error.get());
  if (!target) fail_zip(error.get(), "it cannot be written", source);
  Archive archive(zip_open_from_source(target, ZIP_CREATE | ZIP_TRUNCATE, error.get()));
  if (!archive) {
    zip_source_free(target);
    fail_zip(error.get(), "it cannot be written", source);
  }
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece& p = pieces[i];
    const auto bytes_of = [](const void* data, size_t bytes) {  // libzip only reads them
      return zip_buffer_fragment_t{static_cast<zip_uint8_t*>(const_cast<void*>(data)), bytes};
    };
    fragments[i] = {bytes_of(p.header.data(), p.header.size()),
                    bytes_of(p.host.value()->data(), p.host.value()->bytes())};
    zip_source_t* bytes = zip_source_buffer_fragment_create(fragments[i].data(), fragments[i].size(), 0, error.get());
    if (!bytes) fail_zip(error.get(), "it cannot be written", source);
    const zip_int64_t index = zip_file_add(archive.get(), p.name.c_str(), bytes, ZIP_FL_ENC_UTF_8);
    if (index < 0) {
      zip_source_free(bytes);
      fail_zip(zip_get_error(archive.get()), "it cannot be written", source);
    }
    constexpr zip_uint16_t kFirstDay = 1 << 5 | 1;  // 1980-01-01
    const auto entry = static_cast<zip_uint64_t>(index);
    if (zip_file_set_dostime(archive.get(), entry, 0, kFirstDay, 0) != 0 ||
        zip_set_file_compression(archive.get(), entry, options.compress ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0) != 0)
      fail_zip(zip_get_error(archive.get()), "it cannot be written", source);
  }
  if (zip_close(archive.get()) != 0) {
    output.rethrow();
    fail_zip(zip_get_error(archive.get()), "it cannot be written", source);
  }
  static_cast<void>(archive.release());
}

}  // namespace

TensorFile parse_npz(std::span<const std::byte> bytes, const Source& source) {
  if (bytes.size() < kNpyMagic.size())
    source.fail(fmt::format("it is no .npz file, a ZIP archive: it has {} bytes", bytes.size()));
  check_magic(reinterpret_cast<const char*>(bytes.data()), source);
  const auto read_at = [&](uint64_t offset, void* to, size_t n) {
    if (offset > bytes.size() || bytes.size() - offset < n) return false;
    std::memcpy(to, bytes.data() + offset, n);
    return true;
  };
  check_entry_count(read_at, bytes.size(), source);
  ZipError error;
  zip_source_t* whole = zip_source_buffer_create(bytes.data(), bytes.size(), 0, error.get());
  if (!whole) fail_zip(error.get(), "it cannot be read", source);
  return read_npz(whole, bytes.size(), source);
}

TensorFile load_npz(const std::string& path, std::source_location where) {
  const Source source{path, where};
  InputFile file(path, where);
  char magic[kNpyMagic.size()];
  if (file.size() < sizeof magic)
    source.fail(fmt::format("it is no .npz file, a ZIP archive: it has {} bytes", file.size()));
  file.read(magic, sizeof magic);
  check_magic(magic, source);
  check_entry_count([&](uint64_t offset, void* to, size_t bytes) { return file.read_at(offset, to, bytes); },
                    file.size(), source);
  const int copy = ::fcntl(file.descriptor(), F_DUPFD_CLOEXEC, 0);
  std::FILE* stream = copy < 0 ? nullptr : ::fdopen(copy, "rb");
  if (!stream) fail_errno("open", path, errno, where);
  std::rewind(stream);
  ZipError error;
  zip_source_t* whole = zip_source_filep_create(stream, 0, 0, error.get());
  if (!whole) {
    std::fclose(stream);
    fail_zip(error.get(), "it cannot be read", source);
  }
  return read_npz(whole, file.size(), source);
}

void save_npz(const std::string& path, const NamedTensors& tensors, NpzOptions options, std::source_location where) {
  const Source source{path, where};
  const std::vector<Piece> pieces = pieces_of(tensors, source);  // a mistake makes no file
  AtomicFile file(path, where);
  write_npz(file, pieces, options, source);
  file.commit();
}

}  // namespace twofold::io
