// The file LATEST, for people and scripts.
#pragma once

#include "store/step.h"

namespace bitsnap {

// Writes the newest whole step's folder name into LATEST if `step`, which just got a rank file, is
// that. Never fails: LATEST is a convenience, and what was saved is saved.
void UpdateLatest(const StoreLocation& store, uint64_t step, uint32_t world_size);

Result<void> WriteLatest(const StoreLocation& store, uint64_t step);

// What it holds when `step` is the newest whole one.
std::string LatestContent(uint64_t step);

}  // namespace bitsnap
