#include "store/commit.h"

#include <fmt/format.h>

#include "base/checksum.h"
#include "base/try.h"
#include "store/descent.h"
#include "store/folder.h"
#include "store/latest.h"
#include "store/replace.h"

namespace bitsnap {
namespace {

tl::unexpected<Error> IsThere(const std::filesystem::path& path, uint64_t step) {
  return Fail(ErrorKind::kAlreadyExists,
              fmt::format("{}: step {} is saved already; save another step, or overwrite",
                          path.string(), step));
}

// Whether this is what FileSystem::RenameNoReplace leaves when it is killed on a file system that
// can do no better: an empty file, which no save writes.
Result<bool> IsClaim(FileSystem& file_system, const std::filesystem::path& path) {
  const auto status = file_system.Status(path);
  if (status) return status->type == FileType::kFile && status->bytes == 0;
  if (status.error().kind == ErrorKind::kNotFound) return false;
  return tl::make_unexpected(status.error());
}

}  // namespace

Result<void> CheckStepIsFree(const StoreLocation& store, const SaveOptions& options) {
  const auto ids = ListRankFiles(store, options.step);
  if (!ids && ids.error().kind == ErrorKind::kNotFound) return {};
  if (!ids) return tl::make_unexpected(ids.error());
  if (options.overwrite || ids->empty()) return {};
  BITSNAP_ASSIGN(const Lineage lineage,
                 options.lineage ? Result<Lineage>(*options.lineage) : JoinLine(store));
  if (IsLeftBehind(store, options, lineage)) return {};
  for (const RankFileId& id : *ids) {
    const auto path = store.StepFolder(options.step) / RankFileName(id);
    BITSNAP_ASSIGN(const bool is_claim, IsClaim(*store.file_system, path));
    if (is_claim) continue;
    if (id.world_size != options.world_size) {
      return Fail(
          ErrorKind::kInvalidArgument,
          fmt::format("{}: holds ranks of a run with {} rank(s), this one has {}; save "
                      "another step, or overwrite",
                      store.StepFolder(options.step).string(), id.world_size, options.world_size));
    }
    if (id.rank == options.rank) return IsThere(path, options.step);
  }
  return {};
}

PendingFile::PendingFile(const StoreLocation& store, const SaveOptions& options)
    : store_(store),
      step_(options.step),
      id_{options.rank, options.world_size},
      save_id_(options.save_id),
      overwrite_(options.overwrite),
      folder_(store.StepFolder(options.step)),
      ending_(TemporaryEnding()),
      temporary_(folder_ / TemporaryName(RankFileName(id_), ending_)) {}

PendingFile::PendingFile(PendingFile&& other) noexcept
    : store_(other.store_),
      step_(other.step_),
      id_(other.id_),
      save_id_(other.save_id_),
      overwrite_(other.overwrite_),
      folder_(std::move(other.folder_)),
      ending_(std::move(other.ending_)),
      temporary_(std::move(other.temporary_)),
      base_(std::move(other.base_)),
      base_temporary_(std::move(other.base_temporary_)),
      base_link_(std::move(other.base_link_)),
      made_folder_(other.made_folder_),
      pending_(std::exchange(other.pending_, false)),
      file_(std::move(other.file_)) {}

Result<PendingFile> PendingFile::Create(const StoreLocation& store, const SaveOptions& options) {
  PendingFile pending(store, options);
  for (;;) {
    Result<void> made = store.file_system->CreateDirectory(pending.folder_);
    if (!made && made.error().kind != ErrorKind::kAlreadyExists) {
      return tl::make_unexpected(std::move(made).error());
    }
    pending.made_folder_ |= made.has_value();
    BITSNAP_TRY(CheckFolder(store, pending.folder_));
    auto file = store.file_system->Create(pending.temporary_);
    // Another process removed the folder while it was empty. That does not go on for ever: it was
    // there because a save had failed or a step was pruned.
    if (!file && file.error().kind == ErrorKind::kNotFound) continue;
    BITSNAP_ASSIGN(pending.file_, std::move(file));
    break;
  }
  pending.RemoveAbandoned();
  return pending;
}

PendingFile::~PendingFile() {
  if (!pending_) return;
  // Errors are left alone: this runs because something else failed, which is what gets reported.
  if (base_) (void)store_.file_system->Remove(base_temporary_);
  if (file_) (void)store_.file_system->Remove(temporary_);
  if (made_folder_) (void)store_.file_system->Remove(folder_);
}

Result<void> PendingFile::LinkBase(const BaseReference& reference,
                                   const std::filesystem::path& source) {
  base_ = reference;
  base_temporary_ = folder_ / TemporaryName(BaseLinkName(id_, reference.step), ending_);
  BITSNAP_TRY(store_.file_system->Link(source, base_temporary_));
  // Another process may have replaced or thinned the base since it was opened.
  return OpenBaseAt(store_, base_temporary_, reference).map([](const SnapshotReader&) {});
}

Result<void> PendingFile::PutBase(const BaseReference& reference, Bytes content) {
  base_ = reference;
  base_temporary_ = folder_ / TemporaryName(BaseLinkName(id_, reference.step), ending_);
  BITSNAP_TRY(RemoveIfThere(*store_.file_system, base_temporary_));  // a link to another file
  BITSNAP_ASSIGN(auto file, store_.file_system->Create(base_temporary_));
  BITSNAP_TRY(file->Append(content));
  BITSNAP_TRY(file->Sync());
  return file->Close();
}

Result<void> PendingFile::Commit() {
  FileSystem& fs = *store_.file_system;
  BITSNAP_TRY(file_->Sync());
  // One at a time, so that each sees what it replaces, and removes only what is its own. Once the
  // file is closed, this lock alone keeps others from taking it for abandoned.
  BITSNAP_ASSIGN(auto lock, fs.LockDirectory(folder_));
  BITSNAP_TRY(file_->Close());
  BITSNAP_TRY(PlaceFile());
  pending_ = false;
  if (!overwrite_) lock.reset();
  BITSNAP_TRY(MakeDurable(fs, folder_ / RankFileName(id_), {folder_, store_.directory}));
  if (overwrite_) RemoveReplaced();
  lock.reset();
  UpdateLatest(store_, step_, id_.world_size);
  return {};
}

// A link that is there stays as long as it leads to another file: the rank file in place may lean
// on it. True when this save made the link.
Result<bool> PendingFile::PlaceBase() {
  FileSystem& fs = *store_.file_system;
  base_link_ = BaseLinkName(id_, base_->step);
  const Result<SnapshotReader> there = OpenBaseAt(store_, folder_ / base_link_, *base_);
  if (!there && there.error().kind != ErrorKind::kNotFound) {
    base_link_ = BaseLinkName(id_, base_->step, ToHex(base_->index_hash));
  }
  BITSNAP_ASSIGN(const FileType before, fs.Type(folder_ / base_link_));
  BITSNAP_TRY(fs.Rename(base_temporary_, folder_ / base_link_));
  if (before == FileType::kNone) return true;
  (void)fs.Remove(base_temporary_);  // renaming between two links of one file does nothing
  return false;
}

// The base's link first: a file in place has its base beside it at every instant.
Result<void> PendingFile::PlaceFile() {
  FileSystem& fs = *store_.file_system;
  const auto target = folder_ / RankFileName(id_);
  BITSNAP_ASSIGN(const bool is_claim, IsClaim(fs, target));
  BITSNAP_ASSIGN(const FileType there, fs.Type(target));
  if (!overwrite_ && !is_claim && there != FileType::kNone) return IsThere(target, step_);
  bool made_link = false;
  if (base_) {
    BITSNAP_ASSIGN(made_link, PlaceBase());
  }
  const bool replace = overwrite_ || is_claim;
  Result<void> placed =
      replace ? fs.Rename(temporary_, target) : fs.RenameNoReplace(temporary_, target);
  // When it is there after all, nobody can be locked out here, and that file may need the link.
  if (!placed && made_link && placed.error().kind != ErrorKind::kAlreadyExists) {
    (void)fs.Remove(folder_ / base_link_);
  }
  return placed;
}

// What killed saves left. What another save of this rank and step is writing now stays.
void PendingFile::RemoveAbandoned() const {
  FileSystem& fs = *store_.file_system;
  const auto names = fs.List(folder_);
  if (!names) return;
  std::vector<std::string> others;
  for (const std::string& name : *names) {
    if (RankOfTemporary(name) == id_ && !name.ends_with(ending_)) others.push_back(name);
  }
  if (others.empty()) return;
  const auto lock = fs.LockDirectory(folder_);
  if (!lock) return;
  for (const std::string& name : others) {
    if (IsAbandoned(fs, folder_, name)) (void)fs.Remove(folder_ / name);
  }
}

// After an overwrite: links to bases that the new file does not lean on, and once all ranks have
// saved, the files of a run with another number of ranks. Restoring does without, so that errors do
// no harm.
void PendingFile::RemoveReplaced() const {
  const auto names = store_.file_system->List(folder_);
  if (!names) return;
  std::vector<std::string> replaced, of_other_world;
  for (const std::string& name : *names) {
    const auto other = ParseRankFileName(name);
    if (other && other->world_size != id_.world_size) of_other_world.push_back(name);
    if (IsBaseLinkOf(name, id_) && name != base_link_) replaced.push_back(name);
  }
  if (!of_other_world.empty() && (IsPartial(store_).value_or(false) || IsSavedByAll())) {
    replaced.insert(replaced.end(), of_other_world.begin(), of_other_world.end());
  }
  for (const std::string& name : replaced) (void)store_.file_system->Remove(folder_ / name);
}

// Whether this save's files of all ranks are there and sound.
bool PendingFile::IsSavedByAll() const {
  const StepSurvey survey = SurveyStep(store_, step_);
  for (uint32_t rank = 0; rank < id_.world_size; ++rank) {
    const auto file = survey.files.find({rank, id_.world_size});
    const bool is_of_save =
        file != survey.files.end() && file->second && file->second->header.save_id == save_id_;
    if (!is_of_save) return false;
  }
  return true;
}

}  // namespace bitsnap
