#include "store/save_plan.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/parallel.h"
#include "base/try.h"
#include "pipeline/sample.h"
#include "store/pairs.h"

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

struct Base {
  SnapshotReader file;
  uint64_t step = 0;
};

Result<Base> OpenStepAsBase(const StoreLocation& store, const SaveOptions& options) {
  const uint64_t step = options.base.step;
  if (step == options.step) {
    return Fail(ErrorKind::kInvalidArgument, fmt::format("step {} cannot be its own base", step));
  }
  Result<SnapshotReader> file = OpenAsBase(store, step, {options.rank, options.world_size});
  if (file) return Base{std::move(*file), step};
  const ErrorKind kind =
      file.error().kind == ErrorKind::kNotFound ? ErrorKind::kMissingBase : file.error().kind;
  return Fail(kind, fmt::format("step {} cannot be the base: {}", step, file.error().message));
}

// The newest earlier snapshot of this rank that stands alone. Its own step may have been pruned: it
// counts as long as a delta that leans on it has its link.
std::optional<Base> FindNewest(const StoreLocation& store, const SaveOptions& options) {
  const Result<std::vector<uint64_t>> steps = ListSteps(store);
  if (!steps) return std::nullopt;
  const RankFileId id{options.rank, options.world_size};
  std::optional<Base> linked;
  for (auto step = steps->rbegin(); step != steps->rend(); ++step) {
    if (*step >= options.step) continue;
    if (linked && *step < linked->step) break;
    Result<SnapshotReader> file = OpenRankFile(store, *step, id);
    if (!file) continue;
    const auto& reference = file->index().base;
    if (!reference) {
      if (CheckSource({&*file, nullptr})) return Base{*std::move(file), *step};
    } else if (reference->step < options.step && (!linked || reference->step > linked->step)) {
      Result<RankFile> delta = OpenWithBase(store, *step, id);
      if (!delta || !delta->base || !CheckSource({&*delta->base, nullptr})) continue;
      linked = Base{*std::move(delta->base), delta->file.index().base->step};
    }
  }
  return linked;
}

// The base's file and those of the later steps that lean on it, as the names of their links tell.
Chain ChainOf(const StoreLocation& store, const Base& base, const RankFileId& id) {
  Chain chain{base.file.file_bytes(), 1};
  const Result<std::vector<uint64_t>> steps = ListSteps(store);
  if (!steps) return chain;
  const BaseReference reference{base.step, base.file.index_hash()};
  for (uint64_t step : *steps) {
    if (step <= base.step) continue;
    const auto folder = store.StepFolder(step);
    const auto places = PlacesOfBase(store, folder, id, reference);
    const bool leans = std::ranges::any_of(places, [&](const auto& place) {
      return place.parent_path() == folder &&
             store.file_system->Type(place) == FileType::kFile;
    });
    if (!leans) continue;
    const auto file = store.file_system->Open(folder / RankFileName(id));
    if (!file) continue;
    chain.bytes += (*file)->size();
    ++chain.snapshots;
  }
  return chain;
}

SizeEstimate Estimate(const std::vector<TensorSample>& samples) {
  SizeEstimate estimate;
  for (const TensorSample& sample : samples) {
    estimate.standalone_bytes += EstimateBytes(sample, false);
    estimate.delta_bytes += EstimateBytes(sample, true);
  }
  return estimate;
}

void NarrowTasks(const std::vector<TensorSample>& samples, bool with_base,
                 std::vector<EncodeTask>& tasks) {
  for (size_t i = 0; i < tasks.size(); ++i) {
    tasks[i].plan = Narrow(std::move(tasks[i].plan), samples[i], with_base);
    // What is coded alone must not wait for its base's blocks.
    const bool leans = LeansOnBase(tasks[i].plan);
    if (!with_base || !leans) tasks[i].base_tensor.reset();
  }
}

// A base that cannot be read never costs a save.
Result<SavePlan> PlanWith(const StoreLocation& store, Base base, const SaveOptions& options,
                          const SaveInput& input) {
  BITSNAP_ASSIGN(std::vector<EncodeTask> tasks, input.Tasks(options, &base.file));
  const auto samples = SampleTasks(tasks, &base.file, ThreadCount(options.threads));
  if (!samples) {
    return PlanStandalone(
        options, input,
        fmt::format("step {} cannot be leaned on: {}", base.step, samples.error().message));
  }
  BaseDecision decision{true, "asked for"};
  if (options.base.kind == BaseChoice::Kind::kAuto) {
    decision = DecideBase(base.step, Estimate(*samples),
                          ChainOf(store, base, {options.rank, options.world_size}));
  }
  NarrowTasks(*samples, decision.delta, tasks);
  BITSNAP_TRY(PrepareToStandAlone(options, tasks));
  SavePlan plan{.base_step = base.step, .why = std::move(decision.why), .tasks = std::move(tasks)};
  if (decision.delta) plan.base = std::move(base.file);
  return plan;
}

}  // namespace

Result<SavePlan> PlanStandalone(const SaveOptions& options, const SaveInput& input,
                                std::string why) {
  SavePlan plan{.why = std::move(why)};
  BITSNAP_ASSIGN(plan.tasks, input.Tasks(options, nullptr));
  BITSNAP_ASSIGN(const auto samples,
                 SampleTasks(plan.tasks, nullptr, ThreadCount(options.threads)));
  NarrowTasks(samples, false, plan.tasks);
  return plan;
}

Result<SavePlan> PlanSave(const StoreLocation& store, const SaveOptions& options,
                          const SaveInput& input) {
  switch (options.base.kind) {
    case BaseChoice::Kind::kNone:
      return PlanStandalone(options, input, "asked to stand alone");
    case BaseChoice::Kind::kStep: {
      BITSNAP_ASSIGN(Base base, OpenStepAsBase(store, options));
      return PlanWith(store, std::move(base), options, input);
    }
    case BaseChoice::Kind::kAuto:
      break;
  }
  std::optional<Base> base = FindNewest(store, options);
  if (!base) return PlanStandalone(options, input, "no earlier step can be a base");
  return PlanWith(store, std::move(*base), options, input);
}

}  // namespace bitsnap
