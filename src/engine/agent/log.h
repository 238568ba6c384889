// What an agent tells in a file of its runtime directory: a detached one has no other place.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>

namespace spdlog {
class logger;
}

namespace bitsnap::agent {

// Each line is in the file when the call returns. The file has at most 1 MiB, and one older file
// stands beside it. Where the file cannot be written, the lines are lost. Safe to use from several
// threads.
class Log {
 public:
  explicit Log(std::filesystem::path path);
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  ~Log();

  void Tell(const std::string& line);
  // Something went wrong that no client was told of: the files stay when the agent ends.
  void Warn(const std::string& line);
  // Removes the files unless something went wrong. What is told later is lost. Call it when no
  // other thread uses the log and no other agent has these files.
  void End();

 private:
  const std::filesystem::path path_;
  std::unique_ptr<spdlog::logger> logger_;  // null where the file cannot be opened
  std::atomic<bool> keeps_files_ = false;
};

}  // namespace bitsnap::agent
