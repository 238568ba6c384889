// Saving: choose a base, write to a temporary name, commit by renaming. Whatever fails on the way,
// the store stays as it was.
#include <chrono>
#include <map>
#include <optional>

#include <fmt/format.h>

#include <bitsnap/store.h>

#include "base/parallel.h"
#include "base/try.h"
#include "pipeline/encode.h"
#include "pipeline/source.h"
#include "store/commit.h"
#include "store/descent.h"
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
    case ErrorKind::kUnsupportedVersion:
    case ErrorKind::kMissingBase:
    case ErrorKind::kNotFound:
    case ErrorKind::kIo:
      return true;
    default:
      return false;
  }
}

// Raw bytes and coded bytes by role. A pair's coded bytes are halved between the two.
std::map<Role, RoleBytes> RoleBytesOf(std::span<const TensorRecord> records) {
  std::map<Role, RoleBytes> roles;
  for (const TensorRecord& record : records) {
    RoleBytes& role = roles[*record.info.role];
    role.raw_bytes += RawBytes(record);
    uint64_t coded = CodedBytes(record);
    if (record.second) {
      roles[*records[*record.second].info.role].stored_bytes += coded / 2;
      coded -= coded / 2;
    }
    role.stored_bytes += coded;
  }
  return roles;
}

// All blocks and what the index says. The base is read here and nowhere later.
Result<SnapshotIndex> WriteBlocks(const SaveOptions& options, const SavePlan& plan,
                                  PendingFile& pending, SnapshotWriter& writer) {
  std::optional<BaseReference> base;
  if (plan.base) {
    base = {plan.base_step, plan.base->index_hash()};
    BITSNAP_TRY(pending.LinkBase(*base, plan.base->path()));
  }
  BITSNAP_ASSIGN(SnapshotIndex index,
                 EncodeUnits(*plan.input, plan.reader(), ThreadCount(options.threads),
                             options.progress, writer));
  index.profile = ProfileName(options.profile);
  index.metadata = options.metadata;
  index.lineage = options.lineage.value_or(Lineage());
  index.base = base;
  return index;
}

// Changes the plan to one without the base, if that may be at fault; otherwise fails with `error`.
Result<void> LeaveBase(std::span<const TensorView> tensors, const SaveOptions& options, Error error,
                       SavePlan& plan) {
  if (!plan.base || !MayBeTheBasesFault(error.kind)) return tl::make_unexpected(std::move(error));
  BITSNAP_ASSIGN(plan, PlanStandalone(tensors, PlanOptionsOf(options),
                                      fmt::format("step {} cannot be leaned on: {}", plan.base_step,
                                                  error.message)));
  return {};
}

// Writes the rank file and commits it; `report` gets its sizes. False, and nothing is left, when
// the base could not be read and the plan was changed for that. From the first sync on nothing is
// tried again.
Result<bool> TryPlan(const StoreLocation& store, std::span<const TensorView> tensors,
                     const SaveOptions& options, SavePlan& plan, SaveReport& report) {
  BITSNAP_ASSIGN(PendingFile pending, PendingFile::Create(store, options));
  const SnapshotHeader header{options.step, options.rank, options.world_size, options.save_id};
  BITSNAP_ASSIGN(SnapshotWriter writer, SnapshotWriter::Start(pending.file(), header));
  Result<SnapshotIndex> index = WriteBlocks(options, plan, pending, writer);
  if (!index) {
    BITSNAP_TRY(LeaveBase(tensors, options, std::move(index).error(), plan));
    return false;
  }
  report.roles = RoleBytesOf(index->tensors);
  BITSNAP_ASSIGN(const Hash128 index_hash, writer.Finish(*index));
  report.stored_bytes = writer.offset();
  BITSNAP_TRY(pending.Commit());
  RememberSound(store, options.step, {options.rank, options.world_size}, index_hash);
  return true;
}

void Retain(const StoreLocation& store, const SaveOptions& options, SaveReport& report) {
  const PruneScope scope{options.lineage, options.step,
                         RankFileId{options.rank, options.world_size}};
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
  BITSNAP_ASSIGN(SavePlan plan, PlanSave(store, options, tensors));

  SaveReport report;
  report.step = options.step;
  for (const TensorView& tensor : tensors) report.raw_bytes += tensor.bytes.size();
  for (bool committed = false; !committed;) {
    BITSNAP_ASSIGN(committed, TryPlan(store, tensors, options, plan, report));
  }

  if (plan.base) report.base_step = plan.base_step;
  report.base_reason = plan.why;
  const auto& retention = options.retention;
  if (retention && (options.rank == 0 || retention->whole_up_to)) Retain(store, options, report);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace bitsnap
