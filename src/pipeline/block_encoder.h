// Codes one block by its unit's plan.
#pragma once

#include "codec/plan.h"
#include "pipeline/decode_block.h"
#include "pipeline/error_sums.h"

namespace bitsnap {

struct EncodedBlock {
  BlockRecord record;
  ErrorSums error;  // zero for a lossless codec
};

// Room that EncodeBlock needs for the payload of a block of `raw_bytes`.
size_t PayloadBound(size_t raw_bytes);

// Writes the smallest payload that the plan's codecs give to the front of `out`, or of a lossy plan
// that of the first codec that suits the block; raw if none makes the block smaller. Uses of the
// workspace `decoded`, `coded` and the scratch: the arguments may lie in the rest.
// Requires: out.size() >= PayloadBound(RawBytes(parts)).
EncodedBlock EncodeBlock(const UnitPlan& plan, const BlockContext& context, const Parts& parts,
                         MutableBytes out, Workspace& workspace);

}  // namespace bitsnap
