// A rank file on its way into the store.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include <bitsnap/store.h>

#include "store/step.h"

namespace bitsnap {

// kAlreadyExists when this rank of the step is there and overwriting was not asked for;
// kInvalidArgument when the step holds ranks of another world size.
Result<void> CheckStepIsFree(const StoreLocation& store, const SaveOptions& options);

// Until Commit succeeds, nothing that a reader would take for part of the store; destroyed before,
// it takes everything away that it made.
class PendingFile {
 public:
  // Makes the step's folder where it is missing and removes what killed saves of the same rank left
  // in it.
  static Result<PendingFile> Create(const StoreLocation& store, const SaveOptions& options);
  PendingFile(PendingFile&&) noexcept;
  PendingFile& operator=(PendingFile&&) = delete;
  ~PendingFile();

  // Where the rank file's bytes go.
  WritableFile* file() const { return file_.get(); }

  // The file will have a hard link to its base, which is at `source`, beside it; kMissingBase when
  // the base has been replaced.
  Result<void> LinkBase(const BaseReference& base, const std::filesystem::path& source);

  // The same with a copy: `content` must be the base's. For where no link can be made.
  Result<void> PutBase(const BaseReference& base, Bytes content);

  // Syncs, renames into place and syncs the folders: when it returns, the file survives a power
  // cut. kDurabilityUnknown when it is in place and that is not certain. Until the rename, nothing
  // is touched that a file in place may name. Afterwards points LATEST at the newest whole step.
  Result<void> Commit();

 private:
  PendingFile(const StoreLocation& store, const SaveOptions& options);
  void RemoveAbandoned() const;
  // These require: the folder is locked.
  Result<bool> PlaceBase();
  Result<void> PlaceFile();
  void RemoveReplaced() const;
  bool IsSavedByAll() const;

  StoreLocation store_;
  uint64_t step_;
  RankFileId id_;
  uint64_t save_id_;
  bool overwrite_;
  std::filesystem::path folder_;
  std::string ending_;  // of temporary names
  std::filesystem::path temporary_;
  std::optional<BaseReference> base_;
  std::filesystem::path base_temporary_;  // what will be the link; empty without a base
  std::string base_link_;                 // its name once it is in place
  bool made_folder_ = false;              // undone when not committed
  bool pending_ = true;                   // neither committed nor moved from
  std::unique_ptr<WritableFile> file_;
};

}  // namespace bitsnap
