#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bitsnap/store.h>

#include "base/try.h"
#include "store/descent.h"
#include "store/snapshot.h"
#include "store/step.h"

namespace bitsnap {
namespace {

namespace fs = std::filesystem;

// Makes what is missing on the way to `path`; what it made survives a power cut, as what is saved
// there must.
Result<void> CreateDirectories(FileSystem& file_system, const fs::path& path) {
  BITSNAP_ASSIGN(const FileType type, file_system.Type(path));
  if (type != FileType::kNone) return {};
  const fs::path parent = path.has_parent_path() ? path.parent_path() : ".";
  if (parent != path) BITSNAP_TRY(CreateDirectories(file_system, parent));
  Result<void> created = file_system.CreateDirectory(path);
  if (created) return file_system.SyncDirectory(parent);
  // Another rank may have been quicker.
  if (created.error().kind != ErrorKind::kAlreadyExists) return created;
  return {};
}

// Where the store is, whatever the working directory becomes. People put stores behind symlinks, so
// the way to the store may have some: it is resolved once, here. Nothing in a store may be one.
Result<fs::path> Resolve(const fs::path& directory) {
  std::error_code failed;
  const fs::path absolute = fs::absolute(directory, failed);
  if (failed) {
    return Fail(ErrorKind::kIo, fmt::format("{}: the working directory cannot be found: {}; give "
                                            "an absolute path",
                                            directory.string(), failed.message()));
  }
  const fs::path followed = fs::weakly_canonical(absolute, failed);
  return failed ? absolute : followed;
}

// Whether a step that fails with this error may be passed over for an older one.
bool IsTheStepsFault(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kCorrupt:
    case ErrorKind::kTruncated:
    case ErrorKind::kUnsupportedVersion:
    case ErrorKind::kMissingBase:
    case ErrorKind::kIo:
      return true;
    default:
      return false;
  }
}

StepInfo ToStepInfo(uint64_t step, const StepSurvey& survey, bool is_abandoned) {
  StepInfo info;
  info.step = step;
  info.world_size = survey.world_size;
  info.whole = !survey.problem;
  info.abandoned = is_abandoned;
  if (survey.problem) info.why_not = survey.problem->message;
  for (const auto& [id, file] : survey.files) {
    if (id.world_size != survey.world_size) continue;
    if (info.ranks.empty() && file) info.base_step = file->base_step;
    info.ranks.push_back(id.rank);
    if (file) info.stored_bytes += file->bytes;
  }
  return info;
}

// One round of RestoreNewest over these steps, oldest first. nullopt when each of them failed by
// its own fault.
Result<std::optional<uint64_t>> UseNewest(const Store& store, const std::vector<uint64_t>& steps,
                                          uint32_t rank,
                                          const std::function<Result<void>(const Snapshot&)>& use,
                                          std::vector<PassedOver>& failures) {
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    Result<Snapshot> snapshot = store.OpenStep(*step, rank);
    if (!snapshot && snapshot.error().kind == ErrorKind::kInvalidArgument) {
      return tl::make_unexpected(std::move(snapshot).error());
    }
    Result<void> used = snapshot ? use(*snapshot) : tl::make_unexpected(snapshot.error());
    if (used) return *step;
    if (snapshot && !IsTheStepsFault(used.error().kind)) {
      return tl::make_unexpected(std::move(used).error());
    }
    failures.push_back({*step, std::move(used).error()});
  }
  return std::nullopt;
}

tl::unexpected<Error> NothingRestored(const fs::path& directory,
                                      const std::vector<PassedOver>& failures,
                                      const std::vector<uint64_t>& abandoned) {
  const std::string others =
      abandoned.empty() ? ""
                        : fmt::format(
                              "; step(s) {} are of a run that was left behind: ask for one "
                              "by its number",
                              fmt::join(abandoned, ", "));
  if (failures.empty() && !abandoned.empty()) {
    return Fail(ErrorKind::kMissingBase,
                fmt::format("{}: no step of its newest run is left{}", directory.string(), others));
  }
  if (failures.empty()) {
    return Fail(ErrorKind::kNotFound,
                fmt::format("{}: no snapshot has been saved here", directory.string()));
  }
  // What is there and cannot be read says more than what was never saved completely.
  const auto told = std::find_if(failures.begin(), failures.end(), [](const PassedOver& failure) {
    return failure.error.kind != ErrorKind::kNotFound;
  });
  const Error& newest = (told == failures.end() ? failures.begin() : told)->error;
  return Fail(newest.kind,
              fmt::format("{}: none of its {} step(s) can be restored{}; the newest: {}",
                          directory.string(), failures.size(), others, newest.message));
}

}  // namespace

Store::Store(fs::path directory, FileSystem* file_system)
    : directory_(std::move(directory)), file_system_(file_system) {}

Result<Store> Store::Open(const fs::path& directory, FileSystem* file_system) {
  if (file_system == nullptr) {
    BITSNAP_ASSIGN(const fs::path resolved, Resolve(directory));
    return Open(resolved, &PosixFileSystem());
  }
  BITSNAP_ASSIGN(const FileType type, file_system->Type(directory));
  switch (type) {
    case FileType::kDirectory:
      return Store(directory, file_system);
    case FileType::kNone:
      return Fail(ErrorKind::kNotFound, fmt::format("{}: no such store", directory.string()));
    default:
      return Fail(ErrorKind::kInvalidArgument,
                  fmt::format("{}: a store is a directory, and this is none", directory.string()));
  }
}

Result<Store> Store::OpenOrCreate(const fs::path& directory, FileSystem* file_system) {
  if (file_system == nullptr) {
    BITSNAP_ASSIGN(const fs::path resolved, Resolve(directory));
    return OpenOrCreate(resolved, &PosixFileSystem());
  }
  BITSNAP_TRY(CreateDirectories(*file_system, directory));
  return Open(directory, file_system);
}

Result<Snapshot> Store::OpenStep(uint64_t step, uint32_t rank) const {
  const StoreLocation store{directory_, file_system_};
  const StepSurvey survey = SurveyStep(store, step);
  if (survey.problem) return tl::make_unexpected(*survey.problem);
  if (rank >= survey.world_size) {
    return Fail(
        ErrorKind::kInvalidArgument,
        fmt::format("step {} has {} rank(s), there is no rank {}", step, survey.world_size, rank));
  }
  return OpenSnapshot(store, step, {rank, survey.world_size});
}

Result<uint64_t> Store::RestoreNewest(uint32_t rank,
                                      const std::function<Result<void>(const Snapshot&)>& use,
                                      std::vector<PassedOver>* passed_over) const {
  std::vector<PassedOver> failures;
  Result<std::optional<uint64_t>> used;
  std::optional<uint64_t> newest;
  std::vector<uint64_t> abandoned;
  while (used && !*used) {
    BITSNAP_ASSIGN(const Line line, ReadLine({directory_, file_system_}));
    const std::vector<uint64_t> steps = line.NotAbandoned();
    abandoned = line.Abandoned();
    // What was listed may have been pruned meanwhile; but only because there are newer steps.
    if (steps.empty() || steps.back() == newest) break;
    newest = steps.back();
    failures.clear();
    used = UseNewest(*this, steps, rank, use, failures);
  }
  if (passed_over != nullptr) {
    passed_over->insert(passed_over->end(), failures.begin(), failures.end());
  }
  if (!used) return tl::make_unexpected(std::move(used).error());
  if (!*used) return NothingRestored(directory_, failures, abandoned);
  return **used;
}

Result<Lineage> Store::NextLineage(uint64_t step, const std::optional<Predecessor>& from) const {
  return ContinueLine({directory_, file_system_}, step, from);
}

Result<StepOrigin> Store::OriginOf(const RankOfStep& id) const {
  const StoreLocation store{directory_, file_system_};
  BITSNAP_ASSIGN(StepOrigin origin, ReadOrigin(store, id.step, {id.rank, id.world_size}));
  origin.left_behind = ReadLeftBehind(store, id.step);
  return origin;
}

Result<std::vector<StepInfo>> Store::List() const {
  const StoreLocation store{directory_, file_system_};
  BITSNAP_ASSIGN(const std::vector<uint64_t> steps, ListSteps(store));
  std::vector<StepInfo> infos;
  std::vector<StepSurvey> surveys;
  std::vector<StepOrigin> origins;
  for (const uint64_t step : steps) {
    surveys.push_back(SurveyStep(store, step));
    origins.push_back(bitsnap::OriginOf(store, step, surveys.back()));
  }
  const Descent descent = FindDescent(origins, [&](size_t i) { return !surveys[i].problem; });
  for (size_t i = 0; i < steps.size(); ++i) {
    infos.push_back(ToStepInfo(steps[i], surveys[i], descent.is_abandoned[i]));
  }
  return infos;
}

}  // namespace bitsnap
