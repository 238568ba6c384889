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
  uint64_t begin = 0;  // first byte in the tensor, or in each of a pair
  size_t bytes = 0;    // of all parts, 1 to kBlockBytes
};

// Appends all blocks of a tensor of `bytes` bytes, or of a pair of two such tensors.
void AppendBlocks(size_t tensor, uint64_t bytes, size_t parts, std::vector<BlockRange>& blocks);

// Appends those of all tasks that have blocks.
void AppendBlocks(std::span<const EncodeTask> tasks, std::vector<BlockRange>& blocks);

// Consecutive runs of at most kBatchBytes, views of `blocks`.
std::vector<std::span<const BlockRange>> SplitIntoBatches(const std::vector<BlockRange>& blocks);

// What there is to code a block from, in the workspace. The tensors are read once, into a copy:
// they may lie in memory that another thread or process writes to, whatever it promised, and codecs
// look twice (to count, then to code). Only blocks of a plan without codecs are views of the
// tensor: EncodeBlock reads those once.
struct BlockData {
  BlockContext context;
  Bytes raw;          // of a pair, the first part
  Bytes second = {};  // of a pair, its other part, right behind the first
};

// Gathers it for a block of tasks[block.tensor], fetching the base's block in the form that
// its plan takes where the task has a base, unless base.file is null.
Result<BlockData> ReadBlockData(std::span<const EncodeTask> tasks, const BlockRange& block,
                                const SnapshotSource& base, Workspace& workspace);

}  // namespace bitsnap
