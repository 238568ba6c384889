// Pruning: first decide about the whole store, then remove step by step, then thin file by file.
#include <bitsnap/store.h>

#include "base/try.h"
#include "store/prune_plan.h"
#include "store/replace.h"
#include "store/thin.h"

namespace bitsnap {
namespace {

Result<void> ThinFile(const StoreLocation& store, uint64_t step, const RankFileId& id) {
  FileSystem& file_system = *store.file_system;
  const auto path = store.StepFolder(step) / RankFileName(id);
  // Before it is opened, and not used again while it is open: what is replaced is what was read.
  BITSNAP_ASSIGN(const FileStatus read, file_system.Status(path));
  BITSNAP_ASSIGN(const SnapshotReader file, OpenRankFile(store, step, id));
  const auto kept = WithoutOptimizer(file.index());
  if (!kept) return {};  // another process was quicker
  const auto write = [&](WritableFile& out) { return WriteThinned(file, *kept, out); };
  const auto check = [&]() -> Result<void> {
    BITSNAP_ASSIGN(const FileStatus now, file_system.Status(path));
    if (now.id == read.id) return {};
    return Fail(ErrorKind::kNotFound, path.string() + ": was replaced meanwhile");
  };
  BITSNAP_ASSIGN(const auto lock, ReplaceFile(file_system, path, write, check));
  if (!file.index().base || NeedsBase(file.index(), *kept)) return {};
  for (const auto& place : PlacesOfBase(store, path.parent_path(), id, *file.index().base)) {
    if (place.parent_path() == path.parent_path()) {
      BITSNAP_TRY(RemoveIfThere(file_system, place));
    }
  }
  return {};
}

Result<void> ThinStep(const StoreLocation& store, const ThinningPlan& plan) {
  for (const RankFileId& id : plan.files) BITSNAP_TRY(ThinFile(store, plan.step, id));
  return {};
}

// An old step that is damaged, or gone meanwhile, is no reason to fail: it stays as it is.
bool IsTheStepsFault(ErrorKind kind) {
  return kind == ErrorKind::kCorrupt || kind == ErrorKind::kTruncated ||
         kind == ErrorKind::kNotFound;
}

// Another process saved the step again, and so it stays.
void ReportSavedAgain(uint64_t step, PruneReport& report) {
  std::erase_if(report.removed, [&](const PrunedStep& removed) {
    if (removed.step == step) report.bytes -= removed.bytes;
    return removed.step == step;
  });
  report.left_alone.push_back({step, "was saved again meanwhile"});
}

void ReportDamage(uint64_t step, std::string why, PruneReport& report) {
  std::erase_if(report.thinned, [&](const PrunedStep& thinned) {
    if (thinned.step == step) report.bytes -= thinned.bytes;
    return thinned.step == step;
  });
  report.left_alone.push_back({step, "keeps its optimizer state: " + std::move(why)});
}

}  // namespace

Result<PruneReport> PruneStore(const StoreLocation& store, const RetentionPolicy& policy,
                               const PruneScope& scope) {
  BITSNAP_ASSIGN(PrunePlan plan, PlanPrune(store, policy, scope));
  if (scope.dry_run) return std::move(plan.report);
  // Where machines have directories of their own, only here is it known that a step is whole.
  if (plan.line_is_durable) MarkAbandoned(store, plan.line);
  for (const RemovalPlan& removal : plan.removals) {
    BITSNAP_ASSIGN(const bool removed, RemoveStep(store, removal.step, removal.contents));
    if (!removed) ReportSavedAgain(removal.step, plan.report);
  }
  if (!plan.removals.empty()) BITSNAP_TRY(store.file_system->SyncDirectory(store.directory));
  for (const ThinningPlan& thinning : plan.thinnings) {
    Result<void> thinned = ThinStep(store, thinning);
    if (thinned) continue;
    Error& error = thinned.error();
    if (!IsTheStepsFault(error.kind)) return tl::make_unexpected(std::move(error));
    ReportDamage(thinning.step, std::move(error.message), plan.report);
  }
  return std::move(plan.report);
}

Result<PruneReport> Store::Prune(const RetentionPolicy& policy, bool dry_run,
                                 const Progress& progress) {
  PruneScope scope;
  scope.dry_run = dry_run;
  scope.progress = progress;
  return PruneStore({directory_, file_system_}, policy, scope);
}

}  // namespace bitsnap
