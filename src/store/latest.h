// The file LATEST, for people and scripts.
#pragma once

#include "store/step.h"

namespace bitsnap {

// Where `step`, which just got a rank file, is whole: marks the steps that its run has left behind,
// and writes its folder's name into LATEST if it is the newest of the current line. Never fails:
// both are for people and for the case of damage, and what was saved is saved.
void UpdateLatest(const StoreLocation& store, uint64_t step, uint32_t world_size);

Result<void> WriteLatest(const StoreLocation& store, uint64_t step);

// What it holds when `step` is the newest whole one.
std::string LatestContent(uint64_t step);

}  // namespace bitsnap
