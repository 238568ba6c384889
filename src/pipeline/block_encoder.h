// Codes one block by its tensor's plan.
#pragma once

#include "pipeline/error_sums.h"
#include "pipeline/source.h"
#include "policy/plan.h"
#include "snapshot/index.h"

namespace bitsnap {

struct EncodedBlock {
  BlockRecord record;
  ErrorSums error;  // zero for a lossless codec
};

// Room that EncodeBlock needs for the payload of a block of `raw_bytes`.
size_t PayloadBound(size_t raw_bytes);

// Writes the smallest payload that the plan's codecs give to the front of `out`, raw if none of
// them makes the block smaller. Uses of the workspace `decoded`, `coded` and the scratch: the
// arguments may lie in the rest.
// Requires: out.size() >= PayloadBound(raw.size()).
EncodedBlock EncodeBlock(const TensorPlan& plan, const BlockContext& context, Bytes raw,
                         MutableBytes out, Workspace& workspace);

// The same of a pair's block, by the first of the plan's codecs that suits it, others included.
EncodedBlock EncodePairBlock(const TensorPlan& plan, const BlockContext& context, Bytes first,
                             Bytes second, MutableBytes out, Workspace& workspace);

}  // namespace bitsnap
