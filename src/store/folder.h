// What a step's folder holds by name, and how a step is taken away.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "store/step.h"

namespace bitsnap {

struct FolderContents {
  std::vector<std::string> rank_files, base_links, temporaries;
  std::map<std::string, uint64_t> ids;  // FileStatus::id of the rank files
  std::vector<std::string> marks;       // kAbandonedFileName, and its temporaries
  std::optional<std::string> foreign;   // the first name that is none of BitSnap's

  std::vector<std::string> All() const;  // but foreign ones
};

// kNotFound when there is no such folder.
Result<FolderContents> ListFolder(const StoreLocation& store, uint64_t step);

// Removes the step's files and its folder. Rank files go first and for good, so that whatever stops
// it leaves a step that is not whole, or as it was. What is gone already is no error. False, and
// nothing is removed, when a rank file is there that `contents` does not know: one that was saved
// meanwhile. What a save is writing now stays, and with it the folder. The caller syncs the store's
// directory. Requires: nothing foreign in it.
Result<bool> RemoveStep(const StoreLocation& store, uint64_t step, const FolderContents& contents);

// Whether the save or the pruning that made this temporary file of a step's folder is over.
bool IsAbandoned(FileSystem& file_system, const std::filesystem::path& folder,
                 const std::string& temporary);

// A file that may be gone already.
Result<void> RemoveIfThere(FileSystem& file_system, const std::filesystem::path& path);

// Bytes that removing names gives back: those of files of which all hard links go.
class SpaceTally {
 public:
  explicit SpaceTally(FileSystem* file_system) : file_system_(file_system) {}

  // Counts `path` as removed, if it is there. Must be called before it is.
  Result<void> Remove(const std::filesystem::path& path);
  // How many names a file has besides those counted as removed.
  Result<uint64_t> LinksLeft(const std::filesystem::path& path) const;
  uint64_t bytes() const { return bytes_; }

 private:
  FileSystem* file_system_;
  std::map<uint64_t, uint64_t> removed_;  // names, by the file's id
  uint64_t bytes_ = 0;
};

}  // namespace bitsnap
