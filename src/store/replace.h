// A file replaced as a whole.
#pragma once

#include <filesystem>
#include <functional>

#include "io/file_system.h"

namespace bitsnap {

// Puts what `write` writes in the place of `path`, atomically and durably; on error `path` is as it
// was and nothing is left beside it.
Result<void> ReplaceFile(FileSystem& file_system, const std::filesystem::path& path,
                         const std::function<Result<void>(WritableFile&)>& write);

}  // namespace bitsnap
