#include "store/latest.h"

#include <algorithm>

#include "store/descent.h"
#include "store/folder.h"
#include "store/replace.h"

namespace bitsnap {
namespace {

// Counting names comes first: while ranks are missing there is nothing to open.
bool IsWhole(const StoreLocation& store, uint64_t step, uint32_t world_size) {
  const auto ids = ListRankFiles(store, step);
  const bool may_be = ids && (ids->size() >= world_size || IsPartial(store).value_or(false));
  return may_be && !SurveyStep(store, step).problem;
}

bool IsNewest(const StoreLocation& store, const Line& line, uint64_t step) {
  const std::vector<uint64_t> steps = line.NotAbandoned();
  for (auto newer = steps.rbegin(); newer != steps.rend() && *newer > step; ++newer) {
    if (!SurveyStep(store, *newer).problem) return false;
  }
  return std::ranges::binary_search(steps, step);
}

}  // namespace

void UpdateLatest(const StoreLocation& store, uint64_t step, uint32_t world_size) {
  if (!IsWhole(store, step, world_size)) return;
  // What was left behind here has been replaced.
  RemoveMark(store, step);
  const Result<Line> line = ReadLine(store);
  if (!line) return;
  // Whether the step is whole on all machines nobody can see here; Prune is told.
  if (!IsPartial(store).value_or(true)) MarkAbandoned(store, *line);
  if (IsNewest(store, *line, step)) (void)WriteLatest(store, step);
}

Result<void> WriteLatest(const StoreLocation& store, uint64_t step) {
  return ReplaceFile(*store.file_system, store.directory / kLatestFileName,
                     [&](WritableFile& file) { return file.Append(AsBytes(LatestContent(step))); })
      .map([](const auto&) {});
}

std::string LatestContent(uint64_t step) { return StepFolderName(step) + "\n"; }

}  // namespace bitsnap
