// A regular file opened for reading.
#pragma once

#include <cstdint>
#include <filesystem>
#include <utility>

#include <bitsnap/result.h>

namespace bitsnap {

// Owns a file descriptor.
class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd();

  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

struct RegularFile {
  UniqueFd fd;
  uint64_t size = 0;  // when it was opened
};

enum class Symlinks { kRefuse, kFollow };

// kNotFound when absent, kIo for anything else than a regular file. Does not block on a FIFO.
Result<RegularFile> OpenRegularFile(const std::filesystem::path& path, Symlinks symlinks);

}  // namespace bitsnap
