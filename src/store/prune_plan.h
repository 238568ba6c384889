// What pruning will do to a store, decided before anything is touched.
#pragma once

#include <vector>

#include <bitsnap/retention.h>

#include "store/descent.h"
#include "store/folder.h"
#include "store/step.h"

namespace bitsnap {

struct RemovalPlan {
  uint64_t step = 0;
  FolderContents contents;
};

struct ThinningPlan {
  uint64_t step = 0;
  std::vector<RankFileId> files;  // those that have something to lose
};

struct PrunePlan {
  std::vector<RemovalPlan> removals;  // deltas before bases
  std::vector<ThinningPlan> thinnings;
  PruneReport report;  // as it will be when all succeeds
  Line line;
  bool line_is_durable = false;  // a step of the current run is whole, wherever its files are
};

// What is known besides the policy.
struct PruneScope {
  std::optional<Lineage> lineage;  // of the save that prunes; absent: the store's current line
  std::optional<uint64_t> saved;   // the step just saved, which stays
  std::optional<RankFileId> rank;  // only this one's files are read before anything goes
  bool dry_run = false;
  Progress progress;
};

// kInvalidArgument for a policy that says nothing or has a zero in it.
Result<void> CheckPolicy(const RetentionPolicy& policy);

// CheckPolicy's errors too.
Result<PrunePlan> PlanPrune(const StoreLocation& store, const RetentionPolicy& policy,
                            const PruneScope& scope);

// Store::Prune.
Result<PruneReport> PruneStore(const StoreLocation& store, const RetentionPolicy& policy,
                               const PruneScope& scope);

}  // namespace bitsnap
