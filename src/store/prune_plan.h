// What pruning will do to a store, decided before anything is touched.
#pragma once

#include <vector>

#include <bitsnap/retention.h>

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
};

// kInvalidArgument for a policy that says nothing or has a zero in it.
Result<void> CheckPolicy(const RetentionPolicy& policy);

// CheckPolicy's errors too.
Result<PrunePlan> PlanPrune(const StoreLocation& store, const RetentionPolicy& policy);

}  // namespace bitsnap
