// This test program once more, to be killed.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>

#include "../catch.h"

/// Runs the hidden cases of a tag, "[saver_child]", in a process of its own.
class Child {
 public:
  /// `variable` of its environment is `value`.
  Child(const char* tag, const char* variable, const std::string& value) {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    process_ = fork();
    if (process_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      setenv(variable, value.c_str(), 1);
      execl("/proc/self/exe", "child", tag, static_cast<char*>(nullptr));
      _exit(1);
    }
    close(ends[1]);
    said_ = ends[0];
  }
  ~Child() { close(said_); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// The next value that it has written to its standard output. False: it has ended.
  template <class T>
  bool next(T& value) {
    return read(said_, &value, sizeof value) == sizeof value;
  }
  /// Whether that was its end, and it had not ended by itself.
  bool kill_after(std::chrono::microseconds time) {
    std::this_thread::sleep_for(time);
    kill(process_, SIGKILL);
    int status = 0;
    waitpid(process_, &status, 0);
    return WIFSIGNALED(status);
  }

 private:
  pid_t process_ = 0;
  int said_ = -1;
};
