#include "store/folder.h"

#include "base/try.h"

namespace bitsnap {
namespace {

namespace fs = std::filesystem;

Result<void> RemoveAll(FileSystem& file_system, const fs::path& folder,
                       const std::vector<std::string>& names) {
  for (const std::string& name : names) BITSNAP_TRY(RemoveIfThere(file_system, folder / name));
  return {};
}

}  // namespace

std::vector<std::string> FolderContents::All() const {
  std::vector<std::string> all = rank_files;
  all.insert(all.end(), base_links.begin(), base_links.end());
  all.insert(all.end(), temporaries.begin(), temporaries.end());
  return all;
}

Result<FolderContents> ListFolder(const StoreLocation& store, uint64_t step) {
  BITSNAP_ASSIGN(const auto names, store.file_system->List(store.StepFolder(step)));
  FolderContents contents;
  for (const std::string& name : names) {
    if (ParseRankFileName(name)) {
      contents.rank_files.push_back(name);
    } else if (ParseBaseLinkName(name)) {
      contents.base_links.push_back(name);
    } else if (const auto target = TargetOfTemporary(name); target && ParseRankFileName(*target)) {
      contents.temporaries.push_back(name);
    } else if (!contents.foreign) {
      contents.foreign = name;
    }
  }
  return contents;
}

Result<void> RemoveStep(const StoreLocation& store, uint64_t step, const FolderContents& contents) {
  FileSystem& file_system = *store.file_system;
  const fs::path folder = store.StepFolder(step);
  BITSNAP_TRY(RemoveAll(file_system, folder, contents.rank_files));
  const Result<void> synced = file_system.SyncDirectory(folder);
  if (!synced && synced.error().kind != ErrorKind::kNotFound) return synced;
  BITSNAP_TRY(RemoveAll(file_system, folder, contents.base_links));
  BITSNAP_TRY(RemoveAll(file_system, folder, contents.temporaries));
  return RemoveIfThere(file_system, folder);
}

Result<void> RemoveIfThere(FileSystem& file_system, const fs::path& path) {
  Result<void> removed = file_system.Remove(path);
  if (!removed && removed.error().kind != ErrorKind::kNotFound) return removed;
  return {};
}

Result<void> SpaceTally::Remove(const fs::path& path) {
  const Result<FileStatus> status = file_system_->Status(path);
  if (!status && status.error().kind == ErrorKind::kNotFound) return {};
  if (!status) return tl::make_unexpected(status.error());
  if (++removed_[status->id] == status->links) bytes_ += status->bytes;
  return {};
}

Result<uint64_t> SpaceTally::LinksLeft(const fs::path& path) const {
  BITSNAP_ASSIGN(const FileStatus status, file_system_->Status(path));
  const auto removed = removed_.find(status.id);
  return status.links - (removed == removed_.end() ? 0 : removed->second);
}

}  // namespace bitsnap
