// How far a demo has got.
#pragma once

#include <unistd.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <string>

/// A bar that redraws itself where standard error is a terminal; otherwise a plain line at each quarter.
class Progress {
 public:
  /// A quiet one shows nothing.
  Progress(std::string what, int64_t total, bool quiet = false)
      : what_(std::move(what)), total_(total), terminal_(isatty(STDERR_FILENO)), quiet_(quiet) {}
  ~Progress() {
    if (terminal_ && !quiet_) std::fprintf(stderr, "\r\x1b[K");
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void done(int64_t count) {
    const int parts = terminal_ ? kWidth : 4;
    const int filled = static_cast<int>(count * parts / total_);
    if (quiet_ || filled == shown_) return;
    shown_ = filled;
    if (terminal_) {
      const std::string bar =
          std::string(static_cast<size_t>(filled), '#') + std::string(static_cast<size_t>(kWidth - filled), '.');
      std::fprintf(stderr, "\r%-28s [%s] %" PRId64 "/%" PRId64, what_.c_str(), bar.c_str(), count, total_);
    } else if (filled > 0) {
      std::fprintf(stderr, "%s: %" PRId64 " of %" PRId64 "\n", what_.c_str(), count, total_);
    }
  }

 private:
  static constexpr int kWidth = 40;
  std::string what_;
  int64_t total_;
  bool terminal_, quiet_;
  int shown_ = -1;
};
