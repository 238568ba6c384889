// Work of the size that is worth handing to a thread: runs of blocks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pipeline/block_encoder.h"
#include "pipeline/encode.h"

namespace bitsnap {

struct BlockRange {
  size_t tensor = 0;
  size_t block = 0;    // in its tensor
  uint64_t begin = 0;  // first byte in the tensor
  size_t bytes = 0;    // 1 to kBlockBytes
};

// Appends all blocks of a tensor of `bytes` bytes.
void AppendBlocks(size_t tensor, uint64_t bytes, std::vector<BlockRange>& blocks);

// Consecutive runs of at most kBatchBytes, views of `blocks`.
std::vector<std::span<const BlockRange>> SplitIntoBatches(const std::vector<BlockRange>& blocks);

// Codes one block of a task, fetching the base's block where the task has one.
Result<EncodedBlock> EncodeTaskBlock(const EncodeTask& task, const BlockRange& block,
                                     const SnapshotSource& base, MutableBytes out,
                                     Workspace& workspace);

}  // namespace bitsnap
