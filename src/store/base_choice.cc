#include "store/base_choice.h"

#include <fmt/format.h>

#include "base/parallel.h"
#include "base/try.h"

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

Result<ChosenBase> ChooseStep(const StoreLocation& store, const SaveOptions& options) {
  const uint64_t step = options.base.step;
  if (step == options.step) {
    return Fail(ErrorKind::kInvalidArgument, fmt::format("step {} cannot be its own base", step));
  }
  Result<SnapshotReader> file = OpenAsBase(store, step, {options.rank, options.world_size});
  if (file) return ChosenBase{std::move(*file), step, "asked for"};
  const ErrorKind kind =
      file.error().kind == ErrorKind::kNotFound ? ErrorKind::kMissingBase : file.error().kind;
  return Fail(kind, fmt::format("step {} cannot be the base: {}", step, file.error().message));
}

// The newest earlier step whose file of this rank can be a base.
std::optional<ChosenBase> FindNewest(const StoreLocation& store, const SaveOptions& options) {
  const Result<std::vector<uint64_t>> steps = ListSteps(store);
  if (!steps) return std::nullopt;
  for (auto step = steps->rbegin(); step != steps->rend(); ++step) {
    if (*step >= options.step) continue;
    Result<SnapshotReader> file = OpenAsBase(store, *step, {options.rank, options.world_size});
    if (file) return ChosenBase{std::move(*file), *step, ""};
  }
  return std::nullopt;
}

Result<ChosenBase> ChooseAutomatically(const StoreLocation& store, const SaveOptions& options,
                                       const SaveInput& input) {
  std::optional<ChosenBase> base = FindNewest(store, options);
  if (!base) return ChosenBase::None("no earlier step can be a base");
  const unsigned threads = ThreadCount(options.threads);
  SizeEstimate estimate;
  BITSNAP_ASSIGN(estimate.standalone_bytes,
                 EstimateBytes(input.Tasks(options.profile, nullptr), nullptr, threads));
  const Result<uint64_t> delta =
      EstimateBytes(input.Tasks(options.profile, base->reader()), base->reader(), threads);
  if (!delta) {
    return ChosenBase::None(
        fmt::format("step {} cannot be leaned on: {}", base->step, delta.error().message));
  }
  estimate.delta_bytes = *delta;
  BaseDecision decision = DecideBase(base->step, estimate);
  if (!decision.delta) return ChosenBase::None(std::move(decision.why));
  base->why = std::move(decision.why);
  return std::move(*base);
}

}  // namespace

Result<ChosenBase> ChooseBase(const StoreLocation& store, const SaveOptions& options,
                              const SaveInput& input) {
  switch (options.base.kind) {
    case BaseChoice::Kind::kNone:
      return ChosenBase::None("asked to stand alone");
    case BaseChoice::Kind::kStep:
      return ChooseStep(store, options);
    case BaseChoice::Kind::kAuto:
      break;
  }
  return ChooseAutomatically(store, options, input);
}

}  // namespace bitsnap
