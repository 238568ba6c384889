// Units to coded blocks in a snapshot file, in parallel and in bounded memory.
#pragma once

#include <vector>

#include <bitsnap/options.h>
#include <bitsnap/result.h>

#include "snapshot/reader.h"
#include "snapshot/writer.h"

namespace bitsnap {

struct EncodeInput;

// Appends the payloads of all units to `writer` and returns what the index says of blocks and
// tensors. `base` is null when no unit has base_tensors. The same bytes whatever the number of
// threads.
// Holds at most kBatchesPerThread batches of kBatchBytes and one Workspace for each thread, and the
// coded blocks of one unit that has a bound: these reach the file once their error is known.
Result<SnapshotIndex> EncodeUnits(const EncodeInput& input, const SnapshotReader* base,
                                  unsigned threads, const Progress& progress,
                                  SnapshotWriter& writer);

}  // namespace bitsnap
