#include "store/latest.h"

#include "store/replace.h"

namespace bitsnap {
namespace {

// Counting names comes first: while ranks are missing there is nothing to open.
bool IsWhole(const StoreLocation& store, uint64_t step, uint32_t world_size) {
  const auto ids = ListRankFiles(store, step);
  const bool may_be = ids && (ids->size() >= world_size || IsPartial(store).value_or(false));
  return may_be && !SurveyStep(store, step).problem;
}

bool HasNewerWholeStep(const StoreLocation& store, uint64_t step) {
  const auto steps = ListSteps(store);
  if (!steps) return true;
  for (auto newer = steps->rbegin(); newer != steps->rend() && *newer > step; ++newer) {
    if (!SurveyStep(store, *newer).problem) return true;
  }
  return false;
}

}  // namespace

void UpdateLatest(const StoreLocation& store, uint64_t step, uint32_t world_size) {
  if (!IsWhole(store, step, world_size) || HasNewerWholeStep(store, step)) return;
  (void)WriteLatest(store, step);
}

Result<void> WriteLatest(const StoreLocation& store, uint64_t step) {
  return ReplaceFile(*store.file_system, store.directory / kLatestFileName,
                     [&](WritableFile& file) { return file.Append(AsBytes(LatestContent(step))); })
      .map([](const auto&) {});
}

std::string LatestContent(uint64_t step) { return StepFolderName(step) + "\n"; }

}  // namespace bitsnap
