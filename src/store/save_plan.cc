#include "store/save_plan.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/parallel.h"
#include "base/try.h"
#include "pipeline/source.h"

namespace bitsnap {
namespace {

// The file of the same rank in an earlier step, if it may serve as base: it opens, stands alone and
// can be decoded by this version.
Result<SnapshotReader> OpenAsBase(const StoreLocation& store, uint64_t step, const RankFileId& id) {
  BITSNAP_ASSIGN(SnapshotReader file, OpenRankFile(store, step, id));
  BITSNAP_TRY(CheckSource({&file, nullptr}));
  if (file.index().base) {
    return Fail(
        ErrorKind::kInvalidArgument,
        fmt::format("step {} leans on step {} itself; choose --base {} or another step that "
                    "stands alone",
                    step, file.index().base->step, file.index().base->step));
  }
  return file;
}

Result<BaseCandidate> OpenStepAsBase(const StoreLocation& store, const SaveOptions& options) {
  const uint64_t step = options.base.step;
  if (step == options.step) {
    return Fail(ErrorKind::kInvalidArgument, fmt::format("step {} cannot be its own base", step));
  }
  Result<SnapshotReader> file = OpenAsBase(store, step, {options.rank, options.world_size});
  if (file) return BaseCandidate{std::move(*file), step, true};
  const ErrorKind kind =
      file.error().kind == ErrorKind::kNotFound ? ErrorKind::kMissingBase : file.error().kind;
  return Fail(kind, fmt::format("step {} cannot be the base: {}", step, file.error().message));
}

// The newest earlier snapshot of this rank that stands alone. Its own step may have been pruned: it
// counts as long as a delta that leans on it has its link.
std::optional<BaseCandidate> FindNewest(const StoreLocation& store, const SaveOptions& options) {
  const Result<std::vector<uint64_t>> steps = ListSteps(store);
  if (!steps) return std::nullopt;
  const RankFileId id{options.rank, options.world_size};
  std::optional<BaseCandidate> linked;
  for (auto step = steps->rbegin(); step != steps->rend(); ++step) {
    if (*step >= options.step) continue;
    if (linked && *step < linked->step) break;
    Result<SnapshotReader> file = OpenRankFile(store, *step, id);
    if (!file) continue;
    const auto& reference = file->index().base;
    if (!reference) {
      if (CheckSource({&*file, nullptr})) return BaseCandidate{*std::move(file), *step};
    } else if (reference->step < options.step && (!linked || reference->step > linked->step)) {
      Result<RankFile> delta = OpenWithBase(store, *step, id);
      if (!delta || !delta->base || !CheckSource({&*delta->base, nullptr})) continue;
      linked = BaseCandidate{*std::move(delta->base), delta->file.index().base->step};
    }
  }
  return linked;
}

// Counts the base's file and those of the later steps that lean on it, as the names of their links
// tell.
void CountChain(const StoreLocation& store, const RankFileId& id, BaseCandidate& base) {
  base.chain_bytes = base.file.file_bytes();
  base.chain_snapshots = 1;
  const Result<std::vector<uint64_t>> steps = ListSteps(store);
  if (!steps) return;
  const BaseReference reference{base.step, base.file.index_hash()};
  for (uint64_t step : *steps) {
    if (step <= base.step) continue;
    const auto folder = store.StepFolder(step);
    const auto places = PlacesOfBase(store, folder, id, reference);
    const bool leans = std::ranges::any_of(places, [&](const auto& place) {
      return place.parent_path() == folder && store.file_system->Type(place) == FileType::kFile;
    });
    if (!leans) continue;
    const auto file = store.file_system->Open(folder / RankFileName(id));
    if (!file) continue;
    base.chain_bytes += (*file)->size();
    ++base.chain_snapshots;
  }
}

}  // namespace

PlanOptions PlanOptionsOf(const SaveOptions& options) {
  return {options.profile, options.adam_eps, ThreadCount(options.threads)};
}

Result<SavePlan> PlanSave(const StoreLocation& store, const SaveOptions& options,
                          std::span<const TensorView> tensors) {
  switch (options.base.kind) {
    case BaseChoice::Kind::kNone:
      return PlanStandalone(tensors, PlanOptionsOf(options), "asked to stand alone");
    case BaseChoice::Kind::kStep: {
      BITSNAP_ASSIGN(BaseCandidate base, OpenStepAsBase(store, options));
      return PlanOnBase(tensors, PlanOptionsOf(options), std::move(base));
    }
    case BaseChoice::Kind::kAuto:
      break;
  }
  std::optional<BaseCandidate> base = FindNewest(store, options);
  if (!base) {
    return PlanStandalone(tensors, PlanOptionsOf(options), "no earlier step can be a base");
  }
  CountChain(store, {options.rank, options.world_size}, *base);
  return PlanOnBase(tensors, PlanOptionsOf(options), std::move(*base));
}

}  // namespace bitsnap
