// A file system that fails when told to.
#pragma once

#include <mutex>
#include <optional>

#include "io/file_system.h"

namespace bitsnap {

struct Fault {
  uint64_t at = 1;  // the operation that fails, counted from 1 when the fault is set
  ErrorKind kind = ErrorKind::kIo;
  bool short_write = false;  // a failing Append first writes half of its bytes
  bool lasting = false;      // every later operation fails too
};

// Passes every operation on to another file system and counts it, those on files included. A loop
// that sets the fault to 1, 2, 3, … until the work succeeds has made each operation fail once.
// Destroying files is not an operation.
class FaultFileSystem final : public FileSystem {
 public:
  // `base` is not owned and must outlive this object, which must outlive its files.
  explicit FaultFileSystem(FileSystem* base) : base_(base) {}

  // Replaces the fault and starts to count from 0 again.
  void Set(std::optional<Fault> fault);
  // Operations since the last Set, the failed ones included.
  uint64_t operations() const;

  Result<std::unique_ptr<WritableFile>> Create(const std::filesystem::path& path) override;
  Result<std::unique_ptr<ReadableFile>> Open(const std::filesystem::path& path) override;
  Result<FileType> Type(const std::filesystem::path& path) override;
  Result<FileStatus> Status(const std::filesystem::path& path) override;
  Result<std::vector<std::string>> List(const std::filesystem::path& path) override;
  Result<void> CreateDirectory(const std::filesystem::path& path) override;
  Result<void> Rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  Result<void> RenameNoReplace(const std::filesystem::path& from,
                               const std::filesystem::path& to) override;
  Result<void> Link(const std::filesystem::path& from, const std::filesystem::path& to) override;
  Result<void> Remove(const std::filesystem::path& path) override;
  Result<std::unique_ptr<DirectoryLock>> LockDirectory(const std::filesystem::path& path) override;
  Result<bool> IsBeingWritten(const std::filesystem::path& path) override;
  Result<void> SyncDirectory(const std::filesystem::path& path) override;

 private:
  class Writable;
  class Readable;

  // Counts one operation; the fault if it is to fail.
  std::optional<Fault> Count();
  // Fails if the operation is to fail.
  Result<void> Step(std::string_view operation, const std::filesystem::path& path);

  FileSystem* const base_;
  mutable std::mutex mutex_;
  std::optional<Fault> fault_;  // guarded by mutex_
  uint64_t operations_ = 0;     // guarded by mutex_
};

}  // namespace bitsnap
