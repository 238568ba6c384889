// The blocks that there are to code, in runs of the size that is worth handing to a thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pipeline/decode_block.h"
#include "pipeline/unit.h"

namespace bitsnap {

struct BlockRange {
  size_t unit = 0;
  uint64_t block = 0;       // in its unit
  uint64_t first_word = 0;  // in each tensor
  size_t words = 0;         // of each
  size_t bytes = 0;         // of all parts, 1 to kBlockBytes
};

// How the unit's blocks lie in its tensors.
UnitShape ShapeOf(std::span<const TensorView> tensors, const Unit& unit);

// Appends all blocks of `unit`, which has this number.
void AppendBlocks(std::span<const TensorView> tensors, const Unit& unit, size_t number,
                  std::vector<BlockRange>& blocks);

// Consecutive runs of at most kBatchBytes, views of `blocks`.
std::vector<std::span<const BlockRange>> SplitIntoBatches(const std::vector<BlockRange>& blocks);

// What there is to code a block from, in the workspace. The tensors are read once, into a copy:
// they may lie in memory that another thread or process writes to, whatever it promised, and codecs
// look twice (to count, then to code). Only blocks of a plan without codecs are views of the
// tensors: EncodeBlock reads those once.
struct BlockData {
  BlockContext context;
  Parts parts;
};

// Gathers it for a block of `unit`, fetching the base's block in the form that its plan takes where
// the unit has a base, unless base.file is null.
Result<BlockData> ReadBlockData(std::span<const TensorView> tensors, const Unit& unit,
                                const BlockRange& block, const SnapshotSource& base,
                                Workspace& workspace);

inline constexpr size_t kBatchBytes = size_t{1} << 20;

}  // namespace bitsnap
