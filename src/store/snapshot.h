// Snapshot's other half: how the store makes one.
#pragma once

#include <bitsnap/store.h>

#include "store/step.h"

namespace bitsnap {

// Opens one rank file with its base for reading.
Result<Snapshot> OpenSnapshot(const StoreLocation& store, uint64_t step, const RankFileId& id);

}  // namespace bitsnap
