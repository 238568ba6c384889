#include "store/folder.h"

#include <algorithm>

#include "base/try.h"

namespace bitsnap {
namespace {

namespace fs = std::filesystem;

template <class T>
bool IsGone(const Result<T>& result) {
  return !result && result.error().kind == ErrorKind::kNotFound;
}

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
  all.insert(all.end(), marks.begin(), marks.end());
  return all;
}

Result<FolderContents> ListFolder(const StoreLocation& store, uint64_t step) {
  BITSNAP_ASSIGN(const auto names, store.file_system->List(store.StepFolder(step)));
  FolderContents contents;
  for (const std::string& name : names) {
    if (ParseRankFileName(name)) {
      const auto status = store.file_system->Status(store.StepFolder(step) / name);
      if (!status && status.error().kind == ErrorKind::kNotFound) continue;
      if (!status) return tl::make_unexpected(status.error());
      contents.rank_files.push_back(name);
      contents.ids[name] = status->id;
    } else if (ParseBaseLinkName(name)) {
      contents.base_links.push_back(name);
    } else if (name == kAbandonedFileName || TargetOfTemporary(name) == kAbandonedFileName) {
      contents.marks.push_back(name);
    } else if (RankOfTemporary(name)) {
      contents.temporaries.push_back(name);
    } else if (!contents.foreign) {
      contents.foreign = name;
    }
  }
  return contents;
}

bool IsAbandoned(FileSystem& file_system, const fs::path& folder, const std::string& temporary) {
  const auto target = TargetOfTemporary(temporary);
  const auto id = RankOfTemporary(temporary);
  if (!target || !id) return false;
  // A base's link has no writer of its own.
  const std::string ending = temporary.substr(1 + target->size());
  const auto being_written =
      file_system.IsBeingWritten(folder / TemporaryName(RankFileName(*id), ending));
  if (!being_written) return being_written.error().kind == ErrorKind::kNotFound;
  return !*being_written;
}

Result<bool> RemoveStep(const StoreLocation& store, uint64_t step, const FolderContents& contents) {
  FileSystem& file_system = *store.file_system;
  const fs::path folder = store.StepFolder(step);
  const auto lock = file_system.LockDirectory(folder);
  if (IsGone(lock)) return true;
  if (!lock) return tl::make_unexpected(lock.error());
  BITSNAP_ASSIGN(const FolderContents now, ListFolder(store, step));
  if (now.foreign || !std::ranges::includes(contents.ids, now.ids)) return false;
  BITSNAP_TRY(RemoveAll(file_system, folder, now.rank_files));
  BITSNAP_TRY(file_system.SyncDirectory(folder));
  BITSNAP_TRY(RemoveAll(file_system, folder, now.base_links));
  for (const std::string& name : now.temporaries) {
    if (IsAbandoned(file_system, folder, name)) {
      BITSNAP_TRY(RemoveIfThere(file_system, folder / name));
    }
  }
  BITSNAP_TRY(RemoveAll(file_system, folder, now.marks));
  const Result<void> removed = RemoveIfThere(file_system, folder);
  if (removed) return true;
  // A save may just have begun here.
  const auto left = file_system.List(folder);
  if (left && left->empty()) return tl::make_unexpected(removed.error());
  return true;
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
