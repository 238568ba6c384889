#include "store/commit.h"

#include <fmt/format.h>

#include "base/try.h"
#include "store/latest.h"
#include "store/replace.h"

namespace bitsnap {

Result<void> CheckStepIsFree(const StoreLocation& store, const SaveOptions& options) {
  const auto ids = ListRankFiles(store, options.step);
  if (!ids && ids.error().kind == ErrorKind::kNotFound) return {};
  if (!ids) return tl::make_unexpected(ids.error());
  if (options.overwrite) return {};
  for (const RankFileId& id : *ids) {
    if (id.world_size != options.world_size) {
      return Fail(
          ErrorKind::kInvalidArgument,
          fmt::format("{}: holds ranks of a run with {} rank(s), this one has {}; save "
                      "another step, or overwrite",
                      store.StepFolder(options.step).string(), id.world_size, options.world_size));
    }
    if (id.rank == options.rank) {
      return Fail(
          ErrorKind::kAlreadyExists,
          fmt::format("{}: step {} is saved already; save another step, or overwrite",
                      (store.StepFolder(options.step) / RankFileName(id)).string(), options.step));
    }
  }
  return {};
}

PendingFile::PendingFile(const StoreLocation& store, const SaveOptions& options)
    : store_(store),
      step_(options.step),
      id_{options.rank, options.world_size},
      overwrite_(options.overwrite),
      folder_(store.StepFolder(options.step)),
      temporary_(folder_ / TemporaryName(RankFileName(id_))) {}

PendingFile::PendingFile(PendingFile&& other) noexcept
    : store_(other.store_),
      step_(other.step_),
      id_(other.id_),
      overwrite_(other.overwrite_),
      folder_(std::move(other.folder_)),
      temporary_(std::move(other.temporary_)),
      base_link_(std::move(other.base_link_)),
      made_folder_(other.made_folder_),
      made_base_link_(other.made_base_link_),
      pending_(std::exchange(other.pending_, false)),
      file_(std::move(other.file_)) {}

Result<PendingFile> PendingFile::Create(const StoreLocation& store, const SaveOptions& options) {
  PendingFile pending(store, options);
  Result<void> made = store.file_system->CreateDirectory(pending.folder_);
  if (!made && made.error().kind != ErrorKind::kAlreadyExists) {
    return tl::make_unexpected(std::move(made).error());
  }
  pending.made_folder_ = made.has_value();
  BITSNAP_TRY(CheckFolder(store, pending.folder_));
  pending.RemoveStale();
  BITSNAP_ASSIGN(pending.file_, store.file_system->Create(pending.temporary_));
  return pending;
}

PendingFile::~PendingFile() {
  if (!pending_) return;
  // Errors are left alone: this runs because something else failed, which is what gets reported.
  if (file_) (void)store_.file_system->Remove(temporary_);
  if (made_base_link_) (void)store_.file_system->Remove(folder_ / base_link_);
  if (made_folder_) (void)store_.file_system->Remove(folder_);
}

Result<void> PendingFile::LinkBase(const BaseReference& reference) {
  base_link_ = BaseLinkName(id_, reference.step);
  const auto base = store_.StepFolder(reference.step) / RankFileName(id_);
  const auto link = folder_ / base_link_;
  Result<void> linked = store_.file_system->Link(base, link);
  if (!linked && linked.error().kind == ErrorKind::kAlreadyExists) {
    // Left by an earlier save of this step; the base may have been replaced since.
    BITSNAP_TRY(store_.file_system->Remove(link));
    linked = store_.file_system->Link(base, link);
  }
  made_base_link_ = linked.has_value();
  BITSNAP_TRY(linked);
  // Another process may have replaced or thinned the base since it was opened.
  return OpenBaseAt(store_, link, reference).map([](const SnapshotReader&) {});
}

Result<void> PendingFile::PutBase(const BaseReference& reference, Bytes content) {
  base_link_ = BaseLinkName(id_, reference.step);
  BITSNAP_TRY(ReplaceFile(*store_.file_system, folder_ / base_link_,
                          [&](WritableFile& file) { return file.Append(content); }));
  made_base_link_ = true;
  return {};
}

Result<void> PendingFile::Commit() {
  FileSystem& fs = *store_.file_system;
  BITSNAP_TRY(file_->Sync());
  BITSNAP_TRY(file_->Close());
  const auto target = folder_ / RankFileName(id_);
  BITSNAP_TRY(overwrite_ ? fs.Rename(temporary_, target) : fs.RenameNoReplace(temporary_, target));
  pending_ = false;
  BITSNAP_TRY(fs.SyncDirectory(folder_));
  BITSNAP_TRY(fs.SyncDirectory(store_.directory));
  RemoveReplaced();
  UpdateLatest(store_, step_, id_.world_size);
  return {};
}

// Temporary files of the same rank and step can only be left by a save that was killed: a rank
// saves a step once at a time.
void PendingFile::RemoveStale() const {
  const auto names = store_.file_system->List(folder_);
  if (!names) return;
  for (const std::string& name : *names) {
    if (IsTemporaryOf(name, RankFileName(id_))) (void)store_.file_system->Remove(folder_ / name);
  }
}

// After an overwrite: links to bases that the new file does not lean on, and the files of a run
// with another number of ranks. Restoring does without, so that errors do no harm.
void PendingFile::RemoveReplaced() const {
  const auto names = store_.file_system->List(folder_);
  if (!overwrite_ || !names) return;
  for (const std::string& name : *names) {
    const auto other = ParseRankFileName(name);
    const bool other_world = other && other->world_size != id_.world_size;
    const bool old_link = IsBaseLinkOf(name, id_) && name != base_link_;
    if (other_world || old_link) (void)store_.file_system->Remove(folder_ / name);
  }
}

}  // namespace bitsnap
