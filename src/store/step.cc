#include "store/step.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/try.h"
#include "pipeline/source.h"

namespace bitsnap {
namespace {

namespace fs = std::filesystem;

Result<void> CheckHeader(const SnapshotReader& file, uint64_t step, const RankFileId& id) {
  const SnapshotHeader& header = file.header();
  if (header.step == step && header.rank == id.rank && header.world_size == id.world_size) {
    return {};
  }
  return Fail(
      ErrorKind::kCorrupt,
      fmt::format("{}: the file says that it is rank {} of {} of step {}: it was renamed or "
                  "moved here",
                  file.path().string(), header.rank, header.world_size, header.step));
}

Result<SnapshotReader> OpenBase(const StoreLocation& store, const SnapshotReader& delta,
                                const RankFileId& id) {
  const BaseReference& reference = *delta.index().base;
  ErrorKind kind = ErrorKind::kMissingBase;
  std::string why;  // of the first place, where it should be
  for (const fs::path& place : PlacesOfBase(store, delta.path().parent_path(), id, reference)) {
    Result<SnapshotReader> base = OpenBaseAt(store, place, reference);
    if (base) return base;
    if (why.empty()) why = base.error().message;
    if (!IsForGood(base.error().kind) && IsForGood(kind)) kind = base.error().kind;
  }
  return Fail(kind, fmt::format("{}: cannot be read without its base, step {}: {}; put the base "
                                "back or restore an older step",
                                delta.path().string(), reference.step, why));
}

Result<RankFileSummary> Summarize(const StoreLocation& store, uint64_t step, const RankFileId& id) {
  BITSNAP_ASSIGN(const RankFile opened, OpenWithBase(store, step, id));
  RankFileSummary summary{opened.file.header(), opened.file.file_bytes()};
  for (const TensorRecord& tensor : opened.file.index().tensors) {
    summary.raw_bytes += RawBytes(tensor);
  }
  summary.lineage = opened.file.index().lineage;
  if (opened.base) {
    summary.base_step = opened.file.index().base->step;
    summary.base_is_beside = opened.base->path().parent_path() == opened.file.path().parent_path();
    if (summary.base_is_beside) summary.base_link = opened.base->path().filename().string();
  }
  return summary;
}

// Why the files of one world size are no whole step; nullopt when they are.
std::optional<Error> ProblemOf(const StepSurvey& survey, uint64_t step, uint32_t world_size,
                               bool is_partial) {
  const auto missing = [&](uint32_t rank) {
    return Error{ErrorKind::kNotFound,
                 fmt::format("step {} is not whole: the file of rank {} of {} is missing", step,
                             rank, world_size)};
  };
  std::optional<uint64_t> save_id;
  uint32_t next = 0;  // a world may have more ranks than anybody wants to count
  for (const auto& [id, file] : survey.files) {
    if (id.world_size != world_size || id.rank >= world_size) continue;
    if (id.rank != next && !is_partial) return missing(next);
    if (!file) return file.error();
    if (save_id && file->header.save_id != *save_id) {
      return Error{ErrorKind::kNotFound,
                   fmt::format("step {} is not whole: the files of rank 0 and rank {} come from "
                               "different saves",
                               step, id.rank)};
    }
    save_id = file->header.save_id;
    next = id.rank + 1;
  }
  if (next != world_size && !is_partial) return missing(next);
  return std::nullopt;
}

void Judge(StepSurvey& survey, uint64_t step, bool is_partial) {
  std::set<uint32_t> world_sizes;
  for (const auto& [id, file] : survey.files) world_sizes.insert(id.world_size);
  for (uint32_t world_size : world_sizes) {
    std::optional<Error> problem = ProblemOf(survey, step, world_size, is_partial);
    if (problem && survey.problem) continue;  // the first one found is reported
    survey.world_size = world_size;
    survey.problem = problem;
    if (!problem) return;
  }
  if (world_sizes.empty()) {
    survey.problem = Error{ErrorKind::kNotFound,
                           fmt::format("step {} is not whole: no rank file was committed", step)};
  }
}

}  // namespace

bool IsForGood(ErrorKind kind) {
  return kind == ErrorKind::kNotFound || kind == ErrorKind::kMissingBase ||
         kind == ErrorKind::kCorrupt || kind == ErrorKind::kTruncated;
}

const Error* StepSurvey::Unreadable() const {
  for (const auto& [id, file] : files) {
    if (!file && !IsForGood(file.error().kind)) return &file.error();
  }
  return problem && !IsForGood(problem->kind) ? &*problem : nullptr;
}

Result<bool> IsPartial(const StoreLocation& store) {
  BITSNAP_ASSIGN(const FileType type, store.file_system->Type(store.directory / kPartialFileName));
  return type == FileType::kFile;
}

Result<std::vector<uint64_t>> ListSteps(const StoreLocation& store) {
  BITSNAP_ASSIGN(const auto names, store.file_system->List(store.directory));
  std::vector<uint64_t> steps;
  for (const std::string& name : names) {
    if (const auto step = ParseStepFolderName(name)) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

Result<void> CheckFolder(const StoreLocation& store, const fs::path& folder) {
  BITSNAP_ASSIGN(const FileType type, store.file_system->Type(folder));
  if (type == FileType::kDirectory || type == FileType::kNone) return {};
  return Fail(ErrorKind::kIo,
              fmt::format("{}: not a directory but a symbolic link or a file, which has no place "
                          "in a store; remove it",
                          folder.string()));
}

Result<std::vector<RankFileId>> ListRankFiles(const StoreLocation& store, uint64_t step) {
  BITSNAP_TRY(CheckFolder(store, store.StepFolder(step)));
  const auto names = store.file_system->List(store.StepFolder(step));
  if (!names && names.error().kind == ErrorKind::kNotFound) {
    return Fail(ErrorKind::kNotFound,
                fmt::format("{}: has no step {}", store.directory.string(), step));
  }
  if (!names) return tl::make_unexpected(names.error());
  std::vector<RankFileId> ids;
  for (const std::string& name : *names) {
    if (const auto id = ParseRankFileName(name)) ids.push_back(*id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

Result<SnapshotReader> OpenRankFile(const StoreLocation& store, uint64_t step,
                                    const RankFileId& id) {
  BITSNAP_TRY(CheckFolder(store, store.StepFolder(step)));
  BITSNAP_ASSIGN(auto file, store.file_system->Open(store.StepFolder(step) / RankFileName(id)));
  BITSNAP_ASSIGN(SnapshotReader reader, SnapshotReader::Open(std::move(file)));
  BITSNAP_TRY(CheckHeader(reader, step, id));
  return reader;
}

std::vector<fs::path> PlacesOfBase(const StoreLocation& store, const fs::path& folder,
                                   const RankFileId& id, const BaseReference& reference) {
  return {folder / BaseLinkName(id, reference.step),
          folder / BaseLinkName(id, reference.step, ToHex(reference.index_hash)),
          store.StepFolder(reference.step) / RankFileName(id)};
}

Result<SnapshotReader> OpenBaseAt(const StoreLocation& store, const fs::path& path,
                                  const BaseReference& reference) {
  BITSNAP_TRY(CheckFolder(store, path.parent_path()));
  BITSNAP_ASSIGN(auto file, store.file_system->Open(path));
  BITSNAP_ASSIGN(SnapshotReader base, SnapshotReader::Open(std::move(file)));
  if (base.index_hash() != reference.index_hash) {
    return Fail(ErrorKind::kMissingBase,
                fmt::format("{}: replaced by another snapshot, whose hash "
                            "is {} instead of {}",
                            path.string(), ToHex(base.index_hash()), ToHex(reference.index_hash)));
  }
  return base;
}

Result<RankFile> OpenWithBase(const StoreLocation& store, uint64_t step, const RankFileId& id) {
  BITSNAP_ASSIGN(SnapshotReader file, OpenRankFile(store, step, id));
  RankFile result{std::move(file), std::nullopt};
  if (result.file.index().base) {
    BITSNAP_ASSIGN(result.base, OpenBase(store, result.file, id));
  }
  return result;
}

std::string WhyMayBeNeeded(uint64_t step, const Error& unreadable) {
  return fmt::format("step {} may lean on it and cannot be read now: {}", step, unreadable.message);
}

StepSurvey SurveyStep(const StoreLocation& store, uint64_t step) {
  StepSurvey survey;
  const Result<std::vector<RankFileId>> ids = ListRankFiles(store, step);
  if (!ids) {
    survey.problem = ids.error();
    return survey;
  }
  for (const RankFileId& id : *ids) survey.files.emplace(id, Summarize(store, step, id));
  if (const Result<bool> is_partial = IsPartial(store)) {
    Judge(survey, step, *is_partial);
  } else {
    survey.problem = is_partial.error();
  }
  return survey;
}

}  // namespace bitsnap
