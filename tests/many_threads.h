// Running what a test does on many threads.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <twofold/twofold.h>

#include "catch.h"

inline constexpr int kThreads = 8;

/// Runs `f(0)` ... `f(7)` at once, and checks that each gives true and throws nothing.
inline void check_at_once(const std::function<bool(int)>& f) {
  std::atomic<int> waiting{kThreads}, wrong{0};
  std::mutex mutex;
  std::vector<std::string> errors;  // guarded by mutex while threads run
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      --waiting;
      while (waiting.load() > 0) std::this_thread::yield();
      try {
        if (!f(t)) ++wrong;
      } catch (const std::exception& e) {
        std::lock_guard lock(mutex);
        errors.emplace_back(e.what());
      }
    });
  }
  for (auto& t : threads) t.join();
  CHECK(wrong == 0);
  for (const auto& e : errors) CHECK(e.empty());
}

/// Runs eager code on another thread.
inline void elsewhere(const std::function<void()>& f) {
  std::thread([&] {
    const twofold::EagerMode eager;
    f();
  }).join();
}
