// Saving: choose a base, write to a temporary name, commit by renaming. Whatever fails on the way,
// the store stays as it was.
#include <chrono>
#include <set>

#include <fmt/format.h>

#include <bitsnap/store.h>

#include "base/parallel.h"
#include "base/try.h"
#include "store/base_choice.h"
#include "store/commit.h"
#include "store/save_input.h"

namespace bitsnap {
namespace {

// Saving against a base is an optimization: when the base cannot be read, the snapshot stands
// alone.
bool MayBeTheBasesFault(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kCorrupt:
    case ErrorKind::kTruncated:
    case ErrorKind::kNewerVersion:
    case ErrorKind::kMissingBase:
    case ErrorKind::kNotFound:
    case ErrorKind::kIo:
      return true;
    default:
      return false;
  }
}

SnapshotIndex MakeIndex(const SaveOptions& options, const ChosenBase& base,
                        std::vector<TensorRecord> tensors) {
  SnapshotIndex index;
  index.block_bytes = kBlockBytes;
  index.profile = ProfileName(options.profile);
  index.metadata = options.metadata;
  if (base.file) index.base = BaseReference{base.step, base.file->index_hash()};
  index.tensors = std::move(tensors);
  return index;
}

// Writes the rank file and commits it; `report` gets its sizes.
Result<void> WriteAndCommit(const StoreLocation& store, const SaveOptions& options,
                            const SaveInput& input, const ChosenBase& base, SaveReport& report) {
  BITSNAP_ASSIGN(PendingFile pending, PendingFile::Create(store, options));
  if (base.file) BITSNAP_TRY(pending.LinkBase(base.step));
  const SnapshotHeader header{options.step, options.rank, options.world_size, options.save_id};
  BITSNAP_ASSIGN(SnapshotWriter writer, SnapshotWriter::Start(pending.file(), header));
  const std::vector<EncodeTask> tasks = input.Tasks(options.profile, base.reader());
  BITSNAP_ASSIGN(auto records, EncodeTensors(tasks, base.reader(), ThreadCount(options.threads),
                                             options.progress, writer));
  report.roles = input.RoleBytesOf(records);
  BITSNAP_TRY(writer.Finish(MakeIndex(options, base, std::move(records))));
  report.stored_bytes = writer.offset();
  return pending.Commit();
}

}  // namespace

Result<SaveReport> Store::Save(std::span<const TensorView> tensors, const SaveOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const StoreLocation store{directory_, file_system_};
  BITSNAP_ASSIGN(const SaveInput input, SaveInput::Create(tensors, options));
  BITSNAP_TRY(CheckStepIsFree(store, options));
  BITSNAP_ASSIGN(ChosenBase base, ChooseBase(store, options, input));

  SaveReport report;
  report.step = options.step;
  report.raw_bytes = input.raw_bytes();
  Result<void> written = WriteAndCommit(store, options, input, base, report);
  if (!written && base.file && MayBeTheBasesFault(written.error().kind)) {
    base = ChosenBase::None(
        fmt::format("step {} cannot be leaned on: {}", base.step, written.error().message));
    written = WriteAndCommit(store, options, input, base, report);
  }
  if (!written) return tl::make_unexpected(std::move(written).error());

  if (base.file) report.base_step = base.step;
  report.base_reason = base.why;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace bitsnap
