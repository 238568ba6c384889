// Repair: what no restore can ever use goes; what somebody may still be writing, or might want
// back, is only named.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include <bitsnap/store.h>

#include "base/try.h"
#include "store/descent.h"
#include "store/folder.h"
#include "store/latest.h"
#include "store/step.h"

namespace bitsnap {
namespace {

namespace fs = std::filesystem;

class Repairer {
 public:
  Repairer(const StoreLocation& store, const RepairOptions& options)
      : store_(store), options_(options), tally_(store.file_system) {}

  Result<RepairReport> Run() {
    BITSNAP_ASSIGN(const std::vector<uint64_t> steps, ListSteps(store_));
    for (const uint64_t step : steps) surveys_.emplace(step, SurveyStep(store_, step));
    for (const uint64_t step : steps) BITSNAP_TRY(RepairStep(step));
    BITSNAP_TRY(RepairRoot());
    BITSNAP_TRY(RepairLatest());
    if (!options_.dry_run && !report_.repaired.empty()) {
      BITSNAP_TRY(store_.file_system->SyncDirectory(store_.directory));
    }
    report_.bytes = tally_.bytes();
    return std::move(report_);
  }

 private:
  void Leave(std::string path, std::string why) {
    report_.left.push_back({std::move(path), 0, std::move(why)});
  }

  // Whether a save may still be at work on this.
  Result<bool> IsYoung(const fs::path& path) const {
    const Result<FileStatus> status = store_.file_system->Status(path);
    if (!status && status.error().kind == ErrorKind::kNotFound) return false;
    if (!status) return tl::make_unexpected(status.error());
    using Clock = std::chrono::system_clock;
    const auto age = std::max(Clock::now() - status->changed, Clock::duration::zero());
    return age < options_.min_age;
  }

  Result<bool> IsAnyYoung(const fs::path& folder, const std::vector<std::string>& names) const {
    for (const std::string& name : names) {
      BITSNAP_ASSIGN(const bool young, IsYoung(folder / name));
      if (young) return true;
    }
    return false;
  }

  std::string TooYoung() const {
    return fmt::format("changed less than {} s ago: a save may be running",
                       options_.min_age.count());
  }

  Result<void> RepairStep(uint64_t step) {
    const StepSurvey& survey = surveys_.at(step);
    const Result<FolderContents> contents = ListFolder(store_, step);
    if (!contents) {
      Leave(StepFolderName(step), contents.error().message);
      return {};
    }
    return survey.problem ? RemoveBroken(step, survey, *contents)
                          : TidyWhole(step, survey, *contents);
  }

  // Why a step that is not whole stays; nullopt when it can go.
  Result<std::optional<std::string>> WhyStays(uint64_t step, const StepSurvey& survey,
                                              const FolderContents& contents) const {
    if (contents.foreign) {
      return fmt::format("holds {}, which is not BitSnap's; remove the folder by hand",
                         *contents.foreign);
    }
    if (const Error* error = survey.Unreadable()) return error->message;
    for (const auto& [id, file] : survey.files) {
      if (!file && IsMisnamed(step, id)) return file.error().message;
    }
    for (const auto& [other, leaning] : surveys_) {
      if (const Error* error = leaning.Unreadable()) return WhyMayBeNeeded(other, *error);
      if (leaning.problem) continue;
      for (const auto& [id, file] : leaning.files) {
        if (file && file->base_step == step && !file->base_is_beside) {
          return fmt::format("step {} leans on a file of it and has no hard link to it", other);
        }
      }
    }
    const fs::path folder = store_.StepFolder(step);
    BITSNAP_ASSIGN(const bool young_folder, IsYoung(folder));
    BITSNAP_ASSIGN(const bool young_content, IsAnyYoung(folder, contents.All()));
    if (young_folder || young_content) return TooYoung();
    return std::nullopt;
  }

  // A sound file under the wrong name: somebody moved it and can move it back.
  bool IsMisnamed(uint64_t step, const RankFileId& id) const {
    auto file = store_.file_system->Open(store_.StepFolder(step) / RankFileName(id));
    if (!file) return false;
    const auto opened = SnapshotReader::Open(std::move(*file));
    return opened && (opened->header().step != step || opened->header().rank != id.rank ||
                      opened->header().world_size != id.world_size);
  }

  Result<void> RemoveBroken(uint64_t step, const StepSurvey& survey,
                            const FolderContents& contents) {
    BITSNAP_ASSIGN(const auto stays, WhyStays(step, survey, contents));
    if (stays) {
      Leave(StepFolderName(step), *stays);
      return {};
    }
    const uint64_t before = tally_.bytes();
    for (const std::string& name : contents.All()) {
      BITSNAP_TRY(tally_.Remove(store_.StepFolder(step) / name));
    }
    report_.repaired.push_back(
        {StepFolderName(step), tally_.bytes() - before, survey.problem->message});
    if (options_.dry_run) return {};
    BITSNAP_ASSIGN(const bool removed, RemoveStep(store_, step, contents));
    if (removed) return {};
    report_.repaired.pop_back();
    Leave(StepFolderName(step), "was saved again meanwhile");
    return {};
  }

  // Names in a whole step's folder that no restore looks at, and why.
  std::map<std::string, std::string> Leftovers(const StepSurvey& survey,
                                               const FolderContents& contents) const {
    std::map<std::string, std::string> leftovers;
    for (const std::string& name : contents.temporaries) {
      leftovers[name] = "left by a save that was killed";
    }
    for (const std::string& name : contents.rank_files) {
      if (ParseRankFileName(name)->world_size != survey.world_size) {
        leftovers[name] = fmt::format("the step is whole with {} rank(s)", survey.world_size);
      }
    }
    for (const std::string& name : contents.base_links) {
      const BaseLinkId link = *ParseBaseLinkName(name);
      const auto file = survey.files.find(link.delta);
      const bool needed = file != survey.files.end() && file->second &&
                          file->second->base_step == link.base_step &&
                          (!file->second->base_is_beside || file->second->base_link == name) &&
                          link.delta.world_size == survey.world_size;
      if (!needed) leftovers[name] = "no rank file leans on it";
    }
    return leftovers;
  }

  Result<void> TidyWhole(uint64_t step, const StepSurvey& survey, const FolderContents& contents) {
    const fs::path folder = store_.StepFolder(step);
    const auto leftovers = Leftovers(survey, contents);
    std::vector<std::string> names;
    for (const auto& [name, why] : leftovers) names.push_back(name);
    BITSNAP_ASSIGN(const bool young, IsAnyYoung(folder, names));
    for (const auto& [name, why] : leftovers) {
      const std::string path = fs::path(StepFolderName(step)) / name;
      if (young) {
        Leave(path, TooYoung());
      } else {
        BITSNAP_TRY(Remove(path, why));
      }
    }
    if (young || names.empty() || options_.dry_run) return {};
    return store_.file_system->SyncDirectory(folder);
  }

  Result<void> Remove(const std::string& path, const std::string& why) {
    const uint64_t before = tally_.bytes();
    BITSNAP_TRY(tally_.Remove(store_.directory / path));
    report_.repaired.push_back({path, tally_.bytes() - before, why});
    if (options_.dry_run) return {};
    return RemoveIfThere(*store_.file_system, store_.directory / path);
  }

  Result<void> RepairRoot() {
    BITSNAP_ASSIGN(const auto names, store_.file_system->List(store_.directory));
    for (const std::string& name : names) {
      if (TargetOfTemporary(name) != kLatestFileName) continue;
      BITSNAP_ASSIGN(const bool young, IsYoung(store_.directory / name));
      if (young) {
        Leave(name, TooYoung());
      } else {
        BITSNAP_TRY(Remove(name, "left by a save that was killed"));
      }
    }
    return {};
  }

  // Empty when there is none or it cannot be read.
  std::string ReadLatest() const {
    const auto file = store_.file_system->Open(store_.directory / kLatestFileName);
    if (!file || (*file)->size() > kMaxLatestBytes) return {};
    std::string content((*file)->size(), '\0');
    const auto read = (*file)->Read(0, std::as_writable_bytes(std::span(content)));
    return read ? content : std::string();
  }

  Result<void> RepairLatest() {
    std::vector<StepOrigin> origins;
    for (const auto& [step, survey] : surveys_) {
      origins.push_back(OriginOf(store_, step, survey));
    }
    const auto is_whole = [&](size_t i) { return !surveys_.at(origins[i].step).problem; };
    const Descent descent = FindDescent(origins, is_whole);
    std::optional<uint64_t> newest;
    for (size_t i = 0; i < origins.size(); ++i) {
      if (is_whole(i) && !descent.is_abandoned[i]) newest = origins[i].step;
    }
    const fs::path path = store_.directory / kLatestFileName;
    BITSNAP_ASSIGN(const FileType type, store_.file_system->Type(path));
    const std::string name(kLatestFileName);
    if (type == FileType::kDirectory) {
      Leave(name, "is a directory; remove it by hand");
      return {};
    }
    if (!newest) {
      return type == FileType::kNone ? Result<void>() : Remove(name, "there is no whole step");
    }
    if (type == FileType::kFile && ReadLatest() == LatestContent(*newest)) return {};
    report_.repaired.push_back({name, 0, fmt::format("the newest whole step is {}", *newest)});
    return options_.dry_run ? Result<void>() : WriteLatest(store_, *newest);
  }

  static constexpr uint64_t kMaxLatestBytes = 100;

  const StoreLocation& store_;
  const RepairOptions& options_;
  SpaceTally tally_;
  std::map<uint64_t, StepSurvey> surveys_;
  RepairReport report_;
};

}  // namespace

Result<RepairReport> Store::Repair(const RepairOptions& options) {
  const StoreLocation store{directory_, file_system_};
  return Repairer(store, options).Run();
}

}  // namespace bitsnap
