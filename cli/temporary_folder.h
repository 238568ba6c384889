// A place for files that nobody keeps.
#pragma once

#include <cstdint>
#include <filesystem>

#include <bitsnap/bitsnap.h>

namespace bitsnap::cli {

// A new, empty folder, removed with all its content at the end.
class TemporaryFolder {
 public:
  // On the RAM disk where that has `bytes` free, else in `elsewhere`.
  static Result<TemporaryFolder> Create(uint64_t bytes, const std::filesystem::path& elsewhere);
  TemporaryFolder(TemporaryFolder&& other) noexcept;
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder();

  const std::filesystem::path& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;  // empty when moved from
};

}  // namespace bitsnap::cli
