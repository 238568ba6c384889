#include "pipeline/blocks.h"

#include <algorithm>
#include <cstring>

#include "base/try.h"

namespace bitsnap {
namespace {

Part PartOfTensor(const TensorView& tensor, const BlockRange& block) {
  const size_t word = WordBytes(tensor.info.dtype);
  return {tensor.info.dtype, tensor.bytes.subspan(block.first_word * word, block.words * word)};
}

// Copies a part of the caller's memory to `room`, which is larger.
Part Own(const Part& part, MutableBytes room) {
  std::memcpy(room.data(), part.bytes.data(), part.bytes.size());
  return {part.dtype, room.first(part.bytes.size())};
}

// Its blocks are copied to where they are written, and nothing else is done with them.
bool StaysRaw(const UnitPlan& plan) { return plan.codecs.empty() && plan.others.empty(); }

}  // namespace

UnitShape ShapeOf(std::span<const TensorView> tensors, const Unit& unit) {
  PartList<DType> dtypes;
  for (uint32_t tensor : unit.tensors) dtypes.push_back(tensors[tensor].info.dtype);
  return {dtypes, tensors[unit.tensors.front()].bytes.size() / WordBytes(dtypes.front())};
}

void AppendBlocks(std::span<const TensorView> tensors, const Unit& unit, size_t number,
                  std::vector<BlockRange>& blocks) {
  const UnitShape shape = ShapeOf(tensors, unit);
  for (uint64_t block = 0; block < shape.blocks(); ++block) {
    const size_t words = shape.Words(block);
    blocks.push_back({number, block, shape.FirstWord(block), words, words * shape.row_bytes()});
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

Result<BlockData> ReadBlockData(std::span<const TensorView> tensors, const Unit& unit,
                                const BlockRange& block, const SnapshotSource& base,
                                Workspace& workspace) {
  BlockData data{.context = {.params = unit.params, .first_word = block.first_word}, .parts = {}};
  data.context.advice = unit.advice;
  MutableBytes room = Room(workspace.raw, block.bytes);
  for (uint32_t tensor : unit.tensors) {
    const Part part = PartOfTensor(tensors[tensor], block);
    data.parts.push_back(StaysRaw(unit.plan) ? part : Own(part, room));
    room = room.subspan(part.bytes.size());
  }
  if (unit.peer) {
    const Part peer = PartOfTensor(tensors[*unit.peer], block);
    data.context.peer = Own(peer, Room(workspace.peer, peer.bytes.size()));
  }
  if (unit.base_tensors.empty() || base.file == nullptr) return data;
  if (BaseFormOf(unit.plan) == BaseForm::kCoded) {
    const auto place = LocateUnit(base, unit.base_tensors);
    BITSNAP_ASSIGN(data.context.coded_base, ReadCodedBlock(*place, block.block, workspace.base));
  } else {
    const MutableParts base_parts = CutLike(data.parts, Room(workspace.base, block.bytes));
    BITSNAP_ASSIGN(data.context.base,
                   DecodeParts(base, unit.base_tensors, block.first_word, base_parts, workspace));
  }
  return data;
}

}  // namespace bitsnap
