// The uncompressed index as bytes and back: docs/format.md, "Index".
#pragma once

#include <vector>

#include <bitsnap/result.h>

#include "base/bytes.h"
#include "snapshot/index.h"

namespace bitsnap {

// Appends the index to `out`. Requires: FindFault (index_rules.h) finds none.
void EncodeIndex(const SnapshotIndex& index, std::vector<std::byte>* out);

// kCorrupt or kUnsupportedVersion; the messages leave naming the file to the caller. What it
// returns has the right number of blocks for each tensor; the other rules are FindFault's.
// kCorrupt, too, before it takes more memory than `memory_limit` (IndexMemory).
Result<SnapshotIndex> ParseIndex(Bytes bytes, uint64_t memory_limit);

}  // namespace bitsnap
