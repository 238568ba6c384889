// Pruning: first decide about the whole store, then remove step by step, then thin file by file.
#include <bitsnap/store.h>

#include "base/try.h"
#include "store/prune_plan.h"
#include "store/replace.h"
#include "store/thin.h"

namespace bitsnap {
namespace {

Result<void> ThinFile(const StoreLocation& store, uint64_t step, const RankFileId& id) {
  BITSNAP_ASSIGN(const SnapshotReader file, OpenRankFile(store, step, id));
  const auto kept = WithoutOptimizer(file.index());
  if (!kept) return {};  // another process was quicker
  BITSNAP_TRY(ReplaceFile(*store.file_system, file.path(),
                          [&](WritableFile& out) { return WriteThinned(file, *kept, out); }));
  if (!file.index().base || NeedsBase(file.index(), *kept)) return {};
  const std::string link = BaseLinkName(id, file.index().base->step);
  return RemoveIfThere(*store.file_system, store.StepFolder(step) / link);
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

void ReportDamage(uint64_t step, std::string why, PruneReport& report) {
  std::erase_if(report.thinned, [&](const PrunedStep& thinned) {
    if (thinned.step == step) report.bytes -= thinned.bytes;
    return thinned.step == step;
  });
  report.left_alone.push_back({step, "keeps its optimizer state: " + std::move(why)});
}

}  // namespace

Result<PruneReport> Store::Prune(const RetentionPolicy& policy, bool dry_run) {
  const StoreLocation store{directory_, file_system_};
  BITSNAP_ASSIGN(PrunePlan plan, PlanPrune(store, policy));
  if (dry_run) return std::move(plan.report);
  for (const RemovalPlan& removal : plan.removals) {
    BITSNAP_TRY(RemoveStep(store, removal.step, removal.contents));
  }
  if (!plan.removals.empty()) BITSNAP_TRY(file_system_->SyncDirectory(directory_));
  for (const ThinningPlan& thinning : plan.thinnings) {
    Result<void> thinned = ThinStep(store, thinning);
    if (thinned) continue;
    Error& error = thinned.error();
    if (!IsTheStepsFault(error.kind)) return tl::make_unexpected(std::move(error));
    ReportDamage(thinning.step, std::move(error.message), plan.report);
  }
  return std::move(plan.report);
}

}  // namespace bitsnap
