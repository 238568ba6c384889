// One step's folder: what is in it, and whether it is whole.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <bitsnap/result.h>
#include <bitsnap/store.h>

#include "io/file_system.h"
#include "snapshot/reader.h"
#include "store/layout.h"

namespace bitsnap {

// A rank file that opened, with its base if it leans on one. Header, index and the base's hash are
// checked; the blocks are not.
struct RankFile {
  SnapshotReader file;
  std::optional<SnapshotReader> base;
};

// Whether what fails with this error stays broken: a disk may answer later, a newer BitSnap read
// it.
bool IsForGood(ErrorKind kind);

// Where a store is. Cheap to copy; the file system is not owned.
struct StoreLocation {
  std::filesystem::path directory;
  FileSystem* file_system = nullptr;

  std::filesystem::path StepFolder(uint64_t step) const { return directory / StepFolderName(step); }
};

// Whether the store says that it holds some ranks' files only.
Result<bool> IsPartial(const StoreLocation& store);

// The steps that have a folder, oldest first.
Result<std::vector<uint64_t>> ListSteps(const StoreLocation& store);

// The rank files in a step's folder, by name alone, in order. kNotFound when there is no folder.
Result<std::vector<RankFileId>> ListRankFiles(const StoreLocation& store, uint64_t step);

// kIo when there is something else than a directory, such as a symlink that leads out of the store.
Result<void> CheckFolder(const StoreLocation& store, const std::filesystem::path& folder);

// Opens one rank file without its base and checks that it says the same as its name.
Result<SnapshotReader> OpenRankFile(const StoreLocation& store, uint64_t step,
                                    const RankFileId& id);

// Opens one rank file and its base: the hard link beside it or, where that is gone, the base's own
// step. kMissingBase when neither is there or has the hash that the delta names.
Result<RankFile> OpenWithBase(const StoreLocation& store, uint64_t step, const RankFileId& id);

// Where the base that a rank file in `folder` leans on may be: beside it under two names, then in
// its own step's folder.
std::vector<std::filesystem::path> PlacesOfBase(const StoreLocation& store,
                                                const std::filesystem::path& folder,
                                                const RankFileId& id,
                                                const BaseReference& reference);

// Opens the file that may be the base that `reference` names; kMissingBase when its hash says no.
Result<SnapshotReader> OpenBaseAt(const StoreLocation& store, const std::filesystem::path& path,
                                  const BaseReference& reference);

struct RankFileSummary {
  SnapshotHeader header;
  uint64_t bytes = 0;      // of the file
  uint64_t raw_bytes = 0;  // of its tensors
  std::optional<uint64_t> base_step;
  bool base_is_beside = false;  // the base's hard link is there, so that its own step may go
  std::string base_link;        // and has this name
  Lineage lineage;
};

struct StepSurvey {
  uint32_t world_size = 0;  // of the whole set, or of the one that `problem` is about
  std::map<RankFileId, Result<RankFileSummary>> files;
  std::optional<Error> problem;  // absent: the step is whole

  // A file that cannot be read now but might be another day: nobody knows what it leans on. The
  // reason; nullptr when there is none.
  const Error* Unreadable() const;
};

// Why a step stays while another one is Unreadable.
std::string WhyMayBeNeeded(uint64_t step, const Error& unreadable);

// Opens every rank file in a step's folder, one at a time. A step is whole when for one world size
// every rank's file is there and sound, its base too, and all agree on the save they come from. In
// a store that IsPartial, every file that is there must be so.
StepSurvey SurveyStep(const StoreLocation& store, uint64_t step);

}  // namespace bitsnap
