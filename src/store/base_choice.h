// Which earlier snapshot a new one leans on.
#pragma once

#include <optional>
#include <string>

#include <bitsnap/store.h>

#include "store/save_input.h"
#include "store/step.h"

namespace bitsnap {

struct ChosenBase {
  std::optional<SnapshotReader> file;  // absent: the snapshot stands alone
  uint64_t step = 0;                   // of the base
  std::string why;

  const SnapshotReader* reader() const { return file ? &*file : nullptr; }
  static ChosenBase None(std::string why) { return {std::nullopt, 0, std::move(why)}; }
};

// Follows options.base. kMissingBase or kInvalidArgument when a step was asked for that cannot be a
// base; an automatic choice never fails for what it finds in the store.
Result<ChosenBase> ChooseBase(const StoreLocation& store, const SaveOptions& options,
                              const SaveInput& input);

}  // namespace bitsnap
