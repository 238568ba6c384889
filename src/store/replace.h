// A file replaced as a whole.
#pragma once

#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>

#include "io/file_system.h"

namespace bitsnap {

// Puts what `write` writes in the place of `path`, atomically and durably, if `check` agrees once
// the folder is locked; on error `path` is as it was and nothing is left beside it, but for
// kDurabilityUnknown. The folder stays locked until what is returned is destroyed.
Result<std::unique_ptr<DirectoryLock>> ReplaceFile(
    FileSystem& file_system, const std::filesystem::path& path,
    const std::function<Result<void>(WritableFile&)>& write,
    const std::function<Result<void>()>& check = {});

// Syncs `folders`, in which `path` has just been renamed into place; kDurabilityUnknown when that
// fails. Never tried again: the system may have dropped what it could not write.
Result<void> MakeDurable(FileSystem& file_system, const std::filesystem::path& path,
                         std::initializer_list<std::filesystem::path> folders);

}  // namespace bitsnap
