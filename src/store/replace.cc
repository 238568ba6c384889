#include "store/replace.h"

#include <fmt/format.h>

#include "base/try.h"
#include "store/layout.h"

namespace bitsnap {
Result<std::unique_ptr<DirectoryLock>> ReplaceFile(
    FileSystem& file_system, const std::filesystem::path& path,
    const std::function<Result<void>(WritableFile&)>& write,
    const std::function<Result<void>()>& check) {
  const auto folder = path.parent_path();
  const auto temporary = folder / TemporaryName(path.filename().string());
  BITSNAP_ASSIGN(auto file, file_system.Create(temporary));
  std::unique_ptr<DirectoryLock> lock;
  const auto replace = [&]() -> Result<void> {
    BITSNAP_TRY(write(*file));
    BITSNAP_TRY(file->Sync());
    BITSNAP_ASSIGN(lock, file_system.LockDirectory(folder));
    if (check) BITSNAP_TRY(check());
    BITSNAP_TRY(file->Close());
    return file_system.Rename(temporary, path);
  };
  const Result<void> replaced = replace();
  if (!replaced) {
    (void)file_system.Remove(temporary);  // the first error is what gets reported
    return tl::make_unexpected(replaced.error());
  }
  BITSNAP_TRY(MakeDurable(file_system, path, {folder}));
  return lock;
}

Result<void> MakeDurable(FileSystem& file_system, const std::filesystem::path& path,
                         std::initializer_list<std::filesystem::path> folders) {
  for (const auto& folder : folders) {
    const Result<void> synced = file_system.SyncDirectory(folder);
    if (synced) continue;
    return Fail(ErrorKind::kDurabilityUnknown,
                fmt::format("{}: written and in place, but whether it survives a power cut is "
                            "unknown: {}; check the disk and save again",
                            path.string(), synced.error().message));
  }
  return {};
}

}  // namespace bitsnap
