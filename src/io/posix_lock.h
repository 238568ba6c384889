// Locks on files and directories of the machine's own file system.
#pragma once

#include <filesystem>
#include <memory>

#include "io/file_system.h"
#include "io/regular_file.h"

namespace bitsnap {

// Locks an open file that nobody else has locked; without effect where the file system cannot lock.
// The lock goes when the descriptor and all its copies in forked processes are closed, or by
// Unlock.
void LockFile(const UniqueFd& fd);
void Unlock(const UniqueFd& fd);

// See FileSystem.
Result<bool> IsFileLocked(const std::filesystem::path& path);
Result<std::unique_ptr<DirectoryLock>> LockPosixDirectory(const std::filesystem::path& path);

}  // namespace bitsnap
