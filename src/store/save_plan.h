// Which earlier snapshot a new one may lean on, and with it the plan of a save.
#pragma once

#include <span>

#include <bitsnap/store.h>

#include "planning/plan.h"
#include "store/step.h"

namespace bitsnap {

PlanOptions PlanOptionsOf(const SaveOptions& options);

// Follows options.base. kMissingBase or kInvalidArgument when a step was asked for that cannot be a
// base; an automatic choice never fails for what it finds in the store.
Result<SavePlan> PlanSave(const StoreLocation& store, const SaveOptions& options,
                          std::span<const TensorView> tensors);

}  // namespace bitsnap
