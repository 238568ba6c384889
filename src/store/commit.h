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
  // Makes the step's folder where it is missing and removes what a killed save of the same rank
  // left in it.
  static Result<PendingFile> Create(const StoreLocation& store, const SaveOptions& options);
  PendingFile(PendingFile&&) noexcept;
  PendingFile& operator=(PendingFile&&) = delete;
  ~PendingFile();

  // Where the rank file's bytes go.
  WritableFile* file() const { return file_.get(); }

  // Puts a hard link to the base beside the file; kMissingBase when the base has been replaced.
  Result<void> LinkBase(const BaseReference& base);

  // Puts `content`, which must be the base's, beside the file where no link can be made.
  Result<void> PutBase(const BaseReference& base, Bytes content);

  // Syncs, renames into place and syncs the folders: when it returns, the file survives a power
  // cut. Afterwards points LATEST at the newest whole step.
  Result<void> Commit();

 private:
  PendingFile(const StoreLocation& store, const SaveOptions& options);
  void RemoveStale() const;
  void RemoveReplaced() const;

  StoreLocation store_;
  uint64_t step_;
  RankFileId id_;
  bool overwrite_;
  std::filesystem::path folder_;
  std::filesystem::path temporary_;
  std::string base_link_;        // name of the link that the committed file needs, or empty
  bool made_folder_ = false;     // undone when not committed
  bool made_base_link_ = false;  // undone when not committed
  bool pending_ = true;          // neither committed nor moved from
  std::unique_ptr<WritableFile> file_;
};

}  // namespace bitsnap
