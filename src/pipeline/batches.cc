#include "pipeline/batches.h"

#include <algorithm>

#include "base/try.h"

namespace bitsnap {

void AppendBlocks(size_t tensor, uint64_t bytes, std::vector<BlockRange>& blocks) {
  size_t block = 0;
  for (uint64_t begin = 0; begin < bytes; begin += kBlockBytes) {
    const size_t size = static_cast<size_t>(std::min<uint64_t>(kBlockBytes, bytes - begin));
    blocks.push_back({tensor, block++, begin, size});
  }
}

std::vector<std::span<const BlockRange>> SplitIntoBatches(const std::vector<BlockRange>& blocks) {
  std::vector<std::span<const BlockRange>> batches;
  size_t begin = 0, bytes = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (bytes + blocks[i].bytes > kBatchBytes) {
      batches.emplace_back(blocks.data() + begin, i - begin);
      begin = i;
      bytes = 0;
    }
    bytes += blocks[i].bytes;
  }
  if (begin < blocks.size()) batches.emplace_back(blocks.data() + begin, blocks.size() - begin);
  return batches;
}

Result<EncodedBlock> EncodeTaskBlock(const EncodeTask& task, const BlockRange& block,
                                     const SnapshotSource& base, MutableBytes out,
                                     Workspace& workspace) {
  BlockContext context{task.tensor->info.dtype, block.bytes, std::nullopt};
  if (task.base_tensor) {
    const MutableBytes target = MutableBytes(workspace.base).first(block.bytes);
    BITSNAP_TRY(DecodeBlock(base, *task.base_tensor, block.block, target, workspace));
    context.base = target;
  }
  const Bytes raw = task.tensor->bytes.subspan(block.begin, block.bytes);
  return EncodeBlock(task.plan, context, raw, out, workspace);
}

}  // namespace bitsnap
