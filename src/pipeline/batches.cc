#include "pipeline/batches.h"

#include <algorithm>
#include <cstring>

#include "base/try.h"

namespace bitsnap {

void AppendBlocks(size_t tensor, uint64_t bytes, size_t parts, std::vector<BlockRange>& blocks) {
  const size_t part_bytes = kBlockBytes / parts;
  size_t block = 0;
  for (uint64_t begin = 0; begin < bytes; begin += part_bytes) {
    const auto size = static_cast<size_t>(std::min<uint64_t>(part_bytes, bytes - begin));
    blocks.push_back({tensor, block++, begin, parts * size});
  }
}

void AppendBlocks(std::span<const EncodeTask> tasks, std::vector<BlockRange>& blocks) {
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (!tasks[i].has_blocks()) continue;
    AppendBlocks(i, tasks[i].tensor->bytes.size(), tasks[i].parts(), blocks);
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

namespace {

Result<Bytes> BaseOf(std::span<const EncodeTask> tasks, const EncodeTask& task,
                     const BlockRange& block, const SnapshotSource& base, Workspace& workspace) {
  const size_t part_bytes = block.bytes / task.parts();
  const MutableBytes out = Room(workspace.base, block.bytes);
  BITSNAP_TRY(DecodeRange(base, *task.base_tensor, block.begin, out.first(part_bytes), workspace));
  if (task.second) {
    BITSNAP_TRY(DecodeRange(base, *tasks[*task.second].base_tensor, block.begin,
                            out.subspan(part_bytes), workspace));
  }
  return out;
}

// Requires: the base has the pair of these tasks as one, too.
Result<CodedBlock> CodedBaseOf(std::span<const EncodeTask> tasks, const EncodeTask& task,
                               const BlockRange& block, const SnapshotSource& base,
                               Workspace& workspace) {
  const auto place = LocatePair(base, *task.base_tensor, *tasks[*task.second].base_tensor);
  return ReadCodedBlock(*place, block.block, workspace.base);
}

// Copies a part of the caller's memory to `room`.
Bytes Own(Bytes part, MutableBytes room) {
  std::memcpy(room.data(), part.data(), part.size());
  return room.first(part.size());
}

// Its blocks are copied to where they are written, and nothing else is done with them.
bool StaysRaw(const TensorPlan& plan) { return plan.codecs.empty() && plan.others.empty(); }

PeerBlock PeerOf(const TensorView& peer, const TensorInfo& info, const BlockRange& block,
                 Workspace& workspace) {
  const size_t word = WordBytes(info.dtype), peer_word = WordBytes(peer.info.dtype);
  const Bytes part =
      peer.bytes.subspan(block.begin / word * peer_word, block.bytes / word * peer_word);
  return {peer.info.dtype, Own(part, Room(workspace.peer, part.size()))};
}

}  // namespace

Result<BlockData> ReadBlockData(std::span<const EncodeTask> tasks, const BlockRange& block,
                                const SnapshotSource& base, Workspace& workspace) {
  const EncodeTask& task = tasks[block.tensor];
  const TensorInfo& info = task.tensor->info;
  BlockContext context{.dtype = info.dtype, .raw_bytes = block.bytes, .params = task.params};
  context.advice = task.advice;
  context.first_word = block.begin / WordBytes(info.dtype);
  context.row_words = RowWords(info);
  if (task.base_tensor && base.file != nullptr) {
    if (BaseFormOf(task.plan) == BaseForm::kCoded) {
      BITSNAP_ASSIGN(context.coded_base, CodedBaseOf(tasks, task, block, base, workspace));
    } else {
      BITSNAP_ASSIGN(context.base, BaseOf(tasks, task, block, base, workspace));
    }
  }
  if (task.peer) context.peer = PeerOf(*tasks[*task.peer].tensor, info, block, workspace);
  const size_t part_bytes = block.bytes / task.parts();
  const MutableBytes room = Room(workspace.raw, block.bytes);
  const auto own = [&](const EncodeTask& part, size_t at) {
    const Bytes bytes = part.tensor->bytes.subspan(block.begin, part_bytes);
    return StaysRaw(task.plan) ? bytes : Own(bytes, room.subspan(at));
  };
  BlockData data{context, own(task, 0)};
  if (task.second) data.second = own(tasks[*task.second], part_bytes);
  return data;
}

}  // namespace bitsnap
