#include "store/replace.h"

#include "base/try.h"
#include "store/layout.h"

namespace bitsnap {
namespace {

Result<void> WriteDurably(WritableFile& file,
                          const std::function<Result<void>(WritableFile&)>& write) {
  BITSNAP_TRY(write(file));
  BITSNAP_TRY(file.Sync());
  return file.Close();
}

}  // namespace

Result<void> ReplaceFile(FileSystem& file_system, const std::filesystem::path& path,
                         const std::function<Result<void>(WritableFile&)>& write) {
  const auto temporary = path.parent_path() / TemporaryName(path.filename().string());
  BITSNAP_ASSIGN(auto file, file_system.Create(temporary));
  Result<void> done = WriteDurably(*file, write);
  if (done) done = file_system.Rename(temporary, path);
  if (!done) {
    (void)file_system.Remove(temporary);  // the first error is what gets reported
    return done;
  }
  return file_system.SyncDirectory(path.parent_path());
}

}  // namespace bitsnap
