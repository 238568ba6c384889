// Files of the machine's own file system.
#pragma once

#include <filesystem>

#include "io/direct_buffer.h"
#include "io/file_system.h"
#include "io/regular_file.h"

namespace bitsnap {

// Writes past the page cache where the file system allows it: the copy into the cache costs more
// processor time than all else that writing does (docs/store.md). The last part of a file, which
// need not be a multiple of a disk's blocks, goes through the cache.
class PosixWritableFile final : public WritableFile {
 public:
  static Result<std::unique_ptr<WritableFile>> Create(const std::filesystem::path& path);
  Result<void> Append(Bytes bytes) override;
  Result<void> Sync() override;
  Result<void> Close() override;

 private:
  PosixWritableFile(UniqueFd fd, std::filesystem::path path);
  Result<void> Write(Bytes bytes);
  // Writes what is buffered; from here on all goes through the page cache.
  Result<void> EndDirect();

  UniqueFd fd_;
  std::filesystem::path path_;
  bool direct_;          // the descriptor has O_DIRECT, and bytes go through `buffer_`
  DirectBuffer buffer_;  // what was appended and is not written
};

// Reads with pread: faster here than a memory map, and a file that another process shortens is an
// error instead of a signal.
class PosixReadableFile final : public ReadableFile {
 public:
  static Result<std::unique_ptr<ReadableFile>> Open(const std::filesystem::path& path);
  uint64_t size() const override { return file_.size; }
  const std::filesystem::path& path() const override { return path_; }
  Result<void> Read(uint64_t offset, MutableBytes out) const override;

 private:
  PosixReadableFile(RegularFile file, std::filesystem::path path)
      : file_(std::move(file)), path_(std::move(path)) {}
  RegularFile file_;
  std::filesystem::path path_;
};

}  // namespace bitsnap
