#include "store/latest.h"

#include "base/try.h"

namespace bitsnap {
namespace {

// Counting names comes first: while ranks are missing there is nothing to open.
bool IsWhole(const StoreLocation& store, uint64_t step, uint32_t world_size) {
  const auto ids = ListRankFiles(store, step);
  return ids && ids->size() >= world_size && !SurveyStep(store, step).problem;
}

bool HasNewerWholeStep(const StoreLocation& store, uint64_t step) {
  const auto steps = ListSteps(store);
  if (!steps) return true;
  for (auto newer = steps->rbegin(); newer != steps->rend() && *newer > step; ++newer) {
    if (!SurveyStep(store, *newer).problem) return true;
  }
  return false;
}

Result<void> Replace(const StoreLocation& store, std::string_view content) {
  FileSystem& fs = *store.file_system;
  const auto temporary = store.directory / TemporaryName(kLatestFileName);
  BITSNAP_ASSIGN(auto file, fs.Create(temporary));
  BITSNAP_TRY(file->Append(AsBytes(content)));
  BITSNAP_TRY(file->Sync());
  BITSNAP_TRY(file->Close());
  BITSNAP_TRY(fs.Rename(temporary, store.directory / kLatestFileName));
  return fs.SyncDirectory(store.directory);
}

}  // namespace

void UpdateLatest(const StoreLocation& store, uint64_t step, uint32_t world_size) {
  if (!IsWhole(store, step, world_size) || HasNewerWholeStep(store, step)) return;
  (void)Replace(store, StepFolderName(step) + "\n");
}

}  // namespace bitsnap
