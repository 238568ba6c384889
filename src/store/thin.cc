#include "store/thin.h"

#include <algorithm>

#include <bitsnap/roles.h>

#include "base/try.h"
#include "snapshot/writer.h"

namespace bitsnap {
namespace {

bool HasTwin(const TensorRecord& tensor) {
  return tensor.storage == Storage::kSameAsTensor || tensor.storage == Storage::kSecondOfPair;
}

// Which tensors of the same file are needed to read `tensor`, or share its blocks.
std::vector<size_t> Needs(const TensorRecord& tensor) {
  std::vector<size_t> needs;
  if (HasTwin(tensor)) needs.push_back(tensor.same_as);
  if (tensor.second) needs.push_back(*tensor.second);
  if (tensor.peer) needs.push_back(*tensor.peer);
  return needs;
}

void Keep(const SnapshotIndex& index, size_t number, std::vector<bool>& kept) {
  if (kept[number]) return;
  kept[number] = true;
  for (const size_t other : Needs(index.tensors[number])) Keep(index, other, kept);
}

// The records that stay, naming each other by their new numbers.
std::vector<TensorRecord> Renumber(const SnapshotIndex& index, const std::vector<size_t>& kept) {
  std::vector<uint32_t> numbers(index.tensors.size());
  for (size_t i = 0; i < kept.size(); ++i) numbers[kept[i]] = static_cast<uint32_t>(i);
  std::vector<TensorRecord> records;
  for (const size_t number : kept) {
    TensorRecord& record = records.emplace_back(index.tensors[number]);
    if (HasTwin(record)) record.same_as = numbers[record.same_as];
    if (record.second) record.second = numbers[*record.second];
    if (record.peer) record.peer = numbers[*record.peer];
  }
  return records;
}

Result<void> CopyBlocks(const SnapshotReader& file, size_t tensor, SnapshotWriter& writer,
                        std::vector<std::byte>& buffer) {
  const auto& blocks = file.index().tensors[tensor].blocks;
  for (size_t block = 0; block < blocks.size(); ++block) {
    buffer.resize(blocks[block].coded_bytes);
    BITSNAP_TRY(file.ReadBlock(tensor, block, buffer));
    BITSNAP_TRY(writer.Append(buffer));
  }
  return {};
}

}  // namespace

std::optional<std::vector<size_t>> WithoutOptimizer(const SnapshotIndex& index) {
  std::vector<bool> keep(index.tensors.size());
  for (size_t i = 0; i < keep.size(); ++i) {
    if (!IsOptimizerState(index.tensors[i].info)) Keep(index, i, keep);
  }
  std::vector<size_t> kept;
  for (size_t i = 0; i < keep.size(); ++i) {
    if (keep[i]) kept.push_back(i);
  }
  if (kept.size() == keep.size()) return std::nullopt;
  return kept;
}

bool NeedsBase(const SnapshotIndex& index, const std::vector<size_t>& kept) {
  return std::ranges::any_of(
      kept, [&](size_t number) { return index.tensors[number].base_tensor.has_value(); });
}

uint64_t DroppedBytes(const SnapshotIndex& index, const std::vector<size_t>& kept) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < index.tensors.size(); ++i) {
    if (!std::ranges::binary_search(kept, i)) bytes += CodedBytes(index.tensors[i]);
  }
  return bytes;
}

Result<void> WriteThinned(const SnapshotReader& file, const std::vector<size_t>& kept,
                          WritableFile& out) {
  SnapshotIndex index = file.index();
  index.tensors = Renumber(file.index(), kept);
  if (!NeedsBase(file.index(), kept)) index.base.reset();
  BITSNAP_ASSIGN(SnapshotWriter writer, SnapshotWriter::Start(&out, file.header()));
  std::vector<std::byte> buffer;
  for (size_t i = 0; i < kept.size(); ++i) {
    index.tensors[i].data_offset = writer.offset();
    BITSNAP_TRY(CopyBlocks(file, kept[i], writer, buffer));
  }
  BITSNAP_TRY(writer.Finish(index));
  return {};
}

}  // namespace bitsnap
