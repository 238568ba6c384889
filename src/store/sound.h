// Which rank files are known to be sound to the last block, so that what others stand on is read
// once.
#pragma once

#include <functional>

#include "store/step.h"

namespace bitsnap {

// Reads every block of a file and checks its checksum; nothing is decoded.
Result<void> ReadBlocks(const SnapshotReader& file);

// Reads one rank's file and the base that it leans on, unless this process has read or written them
// since they were last changed.
Result<void> CheckSound(const StoreLocation& store, uint64_t step, const RankFileId& id);

// This process has just written the file, and synced it.
void RememberSound(const StoreLocation& store, uint64_t step, const RankFileId& id,
                   const Hash128& index_hash);

}  // namespace bitsnap
