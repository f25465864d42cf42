// What the library logs.
#pragma once

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <sstream>
#include <string>
#include <vector>

/// Takes the lines that are logged in its lifetime.
class Warnings {
 public:
  Warnings() : outer_(spdlog::default_logger()) {
    auto logger = std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_));
    logger->set_pattern("%v");
    spdlog::set_default_logger(std::move(logger));
  }
  ~Warnings() { spdlog::set_default_logger(outer_); }
  Warnings(const Warnings&) = delete;
  Warnings& operator=(const Warnings&) = delete;

  std::string text() const { return text_.str(); }
  std::vector<std::string> lines() const {
    std::vector<std::string> all;
    std::istringstream in(text_.str());
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }

 private:
  std::ostringstream text_;
  std::shared_ptr<spdlog::logger> outer_;
};
