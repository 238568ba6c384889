// Which earlier snapshot a new one leans on, and with it how each tensor is coded.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <bitsnap/store.h>

#include "store/save_input.h"
#include "store/step.h"

namespace bitsnap {

struct SavePlan {
  std::optional<SnapshotReader> base;  // absent: the snapshot stands alone
  uint64_t base_step = 0;
  std::string why;  // this base, or none
  std::vector<EncodeTask> tasks;

  const SnapshotReader* reader() const { return base ? &*base : nullptr; }
};

// Follows options.base. kMissingBase or kInvalidArgument when a step was asked for that cannot be a
// base; an automatic choice never fails for what it finds in the store.
Result<SavePlan> PlanSave(const StoreLocation& store, const SaveOptions& options,
                          const SaveInput& input);

// Without a base, whatever the options say.
Result<SavePlan> PlanStandalone(const SaveOptions& options, const SaveInput& input,
                                std::string why);

}  // namespace bitsnap
