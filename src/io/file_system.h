// Files behind one interface, so that the store can be run on a disk that fails, fills up or loses
// power. Every error message names the path.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <bitsnap/result.h>

#include "base/bytes.h"

namespace bitsnap {

// One thread at a time. Destroying an unclosed file closes it and drops any error.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  // Takes all of `bytes` after what was appended before, or fails. Readers need not see them before
  // the next Sync or Close, which may fail for them, too.
  virtual Result<void> Append(Bytes bytes) = 0;
  // Returns when the content is on stable storage.
  virtual Result<void> Sync() = 0;
  virtual Result<void> Close() = 0;
};

// Safe to use from several threads.
class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  virtual uint64_t size() const = 0;  // when it was opened
  virtual const std::filesystem::path& path() const = 0;
  // Fills `out` from `offset`; kTruncated when the file ends before.
  virtual Result<void> Read(uint64_t offset, MutableBytes out) const = 0;
};

enum class FileType { kNone, kFile, kDirectory, kOther };  // a symlink is kOther: never followed

struct FileStatus {
  FileType type = FileType::kNone;
  uint64_t bytes = 0;
  uint64_t id = 0;     // the same for all hard links to one file
  uint64_t links = 0;  // how many names it has, also outside of the store
  // When content, names or owner last changed; unlike the time of writing, nobody can set it.
  std::chrono::system_clock::time_point changed;
  std::chrono::system_clock::time_point written;  // when content last changed
};

// Held until it is destroyed; a process that dies lets go of its locks.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

// Safe to use from several threads.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  // Creates; kAlreadyExists when there is anything at `path`.
  virtual Result<std::unique_ptr<WritableFile>> Create(const std::filesystem::path& path) = 0;
  // Opens a regular file; kNotFound when absent, kIo for anything else than a regular file.
  virtual Result<std::unique_ptr<ReadableFile>> Open(const std::filesystem::path& path) = 0;
  virtual Result<FileType> Type(const std::filesystem::path& path) = 0;
  // Never follows a symlink; kNotFound when absent.
  virtual Result<FileStatus> Status(const std::filesystem::path& path) = 0;
  // Names in a directory, sorted, without "." and "..". Fails for a symlink to one.
  virtual Result<std::vector<std::string>> List(const std::filesystem::path& path) = 0;
  // kAlreadyExists when there is anything at `path`; parents must exist.
  virtual Result<void> CreateDirectory(const std::filesystem::path& path) = 0;
  // Replaces `to` atomically.
  virtual Result<void> Rename(const std::filesystem::path& from,
                              const std::filesystem::path& to) = 0;
  // Atomically; kAlreadyExists when there is anything at `to`, which then stays as it is.
  virtual Result<void> RenameNoReplace(const std::filesystem::path& from,
                                       const std::filesystem::path& to) = 0;
  // A hard link; kAlreadyExists when there is anything at `to`.
  virtual Result<void> Link(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  // A file or an empty directory; kNotFound when absent.
  virtual Result<void> Remove(const std::filesystem::path& path) = 0;
  // Waits until no other process or thread has this directory locked; kBusy after a minute. Locks
  // bind only those who lock, and nobody where the file system cannot lock.
  virtual Result<std::unique_ptr<DirectoryLock>> LockDirectory(
      const std::filesystem::path& path) = 0;
  // Whether a file that Create made here is still open for writing, in whatever process. Also true
  // where the file system cannot lock, so that nobody can tell.
  virtual Result<bool> IsBeingWritten(const std::filesystem::path& path) = 0;
  // Makes creations, renames, links and removals in this directory survive a power cut. Succeeds on
  // file systems that cannot sync directories.
  virtual Result<void> SyncDirectory(const std::filesystem::path& path) = 0;
};

// The machine's own. Never destroyed.
FileSystem& PosixFileSystem();

}  // namespace bitsnap
