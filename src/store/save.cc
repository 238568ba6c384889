// Saving: choose a base, write to a temporary name, commit by renaming. Whatever fails on the way,
// the store stays as it was.
#include <chrono>
#include <set>

#include <fmt/format.h>

#include <bitsnap/store.h>

#include "base/parallel.h"
#include "base/try.h"
#include "store/commit.h"
#include "store/descent.h"
#include "store/pairs.h"
#include "store/prune_plan.h"
#include "store/save_input.h"
#include "store/save_plan.h"
#include "store/sound.h"

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

SnapshotIndex MakeIndex(const SaveOptions& options, const SavePlan& plan,
                        std::vector<TensorRecord> tensors) {
  SnapshotIndex index;
  index.block_bytes = kBlockBytes;
  index.profile = ProfileName(options.profile);
  index.metadata = options.metadata;
  index.lineage = options.lineage.value_or(Lineage());
  if (plan.base) index.base = BaseReference{plan.base_step, plan.base->index_hash()};
  index.tensors = std::move(tensors);
  return index;
}

// Changes the plan to one without the base, if that may be at fault; otherwise fails with `error`.
Result<void> LeaveBase(const SaveOptions& options, const SaveInput& input, Error error,
                       SavePlan& plan) {
  if (!plan.base || !MayBeTheBasesFault(error.kind)) return tl::make_unexpected(std::move(error));
  BITSNAP_ASSIGN(plan, PlanStandalone(options, input,
                                      fmt::format("step {} cannot be leaned on: {}",
                                                  plan.base_step, error.message)));
  return {};
}

// Writes the rank file and commits it; `report` gets its sizes. False, and nothing is left, when a
// pair came out too far off, or the base could not be read, and the plan was changed for that. From
// the first sync on nothing is tried again.
Result<bool> TryPlan(const StoreLocation& store, const SaveOptions& options, const SaveInput& input,
                     SavePlan& plan, SaveReport& report) {
  BITSNAP_ASSIGN(PendingFile pending, PendingFile::Create(store, options));
  if (plan.base) {
    Result<void> linked =
        pending.LinkBase({plan.base_step, plan.base->index_hash()}, plan.base->path());
    if (!linked) {
      BITSNAP_TRY(LeaveBase(options, input, std::move(linked).error(), plan));
      return false;
    }
  }
  const SnapshotHeader header{options.step, options.rank, options.world_size, options.save_id};
  BITSNAP_ASSIGN(SnapshotWriter writer, SnapshotWriter::Start(pending.file(), header));
  auto records = EncodeTensors(plan.tasks, plan.reader(), ThreadCount(options.threads),
                               options.progress, writer);
  if (!records) {
    BITSNAP_TRY(LeaveBase(options, input, std::move(records).error(), plan));
    return false;
  }
  if (PartTooFarOff(*records, plan.tasks)) return false;
  report.roles = input.RoleBytesOf(*records);
  BITSNAP_ASSIGN(const Hash128 index_hash,
                 writer.Finish(MakeIndex(options, plan, *std::move(records))));
  report.stored_bytes = writer.offset();
  BITSNAP_TRY(pending.Commit());
  RememberSound(store, options.step, {options.rank, options.world_size}, index_hash);
  return true;
}

Result<void> WriteAndCommit(const StoreLocation& store, const SaveOptions& options,
                            const SaveInput& input, SavePlan& plan, SaveReport& report) {
  for (;;) {
    BITSNAP_ASSIGN(const bool committed, TryPlan(store, options, input, plan, report));
    if (committed) return {};
  }
}

void Retain(const StoreLocation& store, const SaveOptions& options, SaveReport& report) {
  const PruneScope scope{options.lineage, options.step, RankFileId{options.rank, options.world_size}};
  Result<PruneReport> pruned = PruneStore(store, *options.retention, scope);
  if (pruned) {
    report.pruned = *std::move(pruned);
  } else {
    report.prune_error = std::move(pruned).error();
  }
}

}  // namespace

Result<void> Store::Check(std::span<const TensorView> tensors, const SaveOptions& options) const {
  BITSNAP_TRY(CheckSaveInput(tensors, options));
  if (options.retention) BITSNAP_TRY(CheckPolicy(*options.retention));
  return CheckStepIsFree({directory_, file_system_}, options);
}

Result<SaveReport> Store::Save(std::span<const TensorView> tensors, const SaveOptions& given) {
  const auto start = std::chrono::steady_clock::now();
  const StoreLocation store{directory_, file_system_};
  BITSNAP_TRY(Check(tensors, given));
  SaveOptions options = given;
  if (!options.lineage) {
    BITSNAP_ASSIGN(options.lineage, JoinLine(store));
  }
  options.overwrite |= IsLeftBehind(store, options, *options.lineage);
  const SaveInput input = SaveInput::Create(tensors);
  BITSNAP_ASSIGN(SavePlan plan, PlanSave(store, options, input));

  SaveReport report;
  report.step = options.step;
  report.raw_bytes = input.raw_bytes();
  BITSNAP_TRY(WriteAndCommit(store, options, input, plan, report));

  if (plan.base) report.base_step = plan.base_step;
  report.base_reason = plan.why;
  const auto& retention = options.retention;
  if (retention && (options.rank == 0 || retention->whole_up_to))
    Retain(store, options, report);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace bitsnap
