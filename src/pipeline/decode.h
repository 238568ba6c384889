// Coded blocks of a snapshot back to tensors, in parallel.
#pragma once

#include <span>

#include <bitsnap/options.h>

#include "pipeline/source.h"

namespace bitsnap {

// Fills every request's span, decoding only the blocks that it touches.
// kInvalidArgument for a request outside its tensor. Requires: CheckSource passed.
Result<void> ReadTensors(const SnapshotSource& source, std::span<const ReadRequest> requests,
                         unsigned threads, const Progress& progress);

// Decodes and checks every block that restoring the snapshot would need.
// Requires: CheckSource passed.
Result<void> VerifyTensors(const SnapshotSource& source, unsigned threads,
                           const Progress& progress);

}  // namespace bitsnap
