// A file system in memory that can lose power.
#pragma once

#include <functional>

#include "io/file_system.h"

namespace bitsnap {

struct MemoryTree;

// Behaves as the machine's own does, without symbolic links and permissions; "/" exists from the
// start, relative paths start there, and a directory can be renamed only within its parent.
class MemoryFileSystem final : public FileSystem {
 public:
  MemoryFileSystem();
  ~MemoryFileSystem() override;

  // Forgets what was not made durable: each directory shows the entries it had at its last
  // SyncDirectory (none if there was none), each file has the content it had at its last Sync
  // (empty if there was none). Files must not be written through handles opened before.
  void PowerCut();

  // As a disk does that was about to write: of each change that was not made durable (an entry of a
  // directory, what was appended to a file) `survives` decides.
  void PowerCut(const std::function<bool()>& survives);

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
  std::shared_ptr<MemoryTree> tree_;  // shared with open files, which may outlive this object
};

}  // namespace bitsnap
