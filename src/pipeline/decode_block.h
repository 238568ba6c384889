// One block of a snapshot file at a time, with all that it leans on.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "pipeline/source.h"
#include "pipeline/unit_shape.h"

namespace bitsnap {

// Which block: the tensor is one whose storage is kBlocks.
struct BlockId {
  const SnapshotReader* file = nullptr;
  size_t tensor = 0;
  uint64_t block = 0;
  bool operator==(const BlockId&) const = default;
};

// One thread's working memory for coding blocks, kept from block to block.
struct Workspace {
  // A block may lean on blocks that lean on others (a master on its weight, that on the base's):
  // each depth has its own buffers, of kBlockBytes once used.
  struct Level {
    std::vector<std::byte> base, peer, coded;
    // The last block decoded for a part of it: its neighbour often wants the other part.
    std::vector<std::byte> block;
    BlockId id;
  };
  static constexpr size_t kLevels = 4;

  Scratch scratch;
  std::array<Level, kLevels> levels;
  // For the encoder; `raw` for whole blocks of which parts are wanted, too.
  std::vector<std::byte> raw, peer, base, decoded, coded;
};

// The first `bytes` of a buffer of the workspace, made to hold at least kBlockBytes.
MutableBytes Room(std::vector<std::byte>& buffer, size_t bytes);

// Where a tensor's bytes are: a part of the blocks of a unit, in the source's file or its base.
struct Place {
  SnapshotSource source;  // whose `file` holds the blocks
  size_t tensor = 0;      // whose record lists them: the first of the unit
  size_t part = 0;        // which tensor of the unit it is
  UnitShape shape;
};

Place Locate(const SnapshotSource& source, size_t tensor);

// Where the tensors are as all of one unit, in this order; nullopt where they are not.
std::optional<Place> LocateUnit(const SnapshotSource& source, std::span<const uint32_t> tensors);

// A block of that place as it lies in its file, its payload in `room`.
Result<CodedBlock> ReadCodedBlock(const Place& place, uint64_t block, std::vector<std::byte>& room);

// Decodes one block, each part to its own place, and checks it end to end; only its payload at
// levels above 0, where another block leans on it.
// Requires: `parts` are those of the unit whose first tensor this is.
Result<void> DecodeBlock(const SnapshotSource& source, size_t tensor, uint64_t block,
                         const MutableParts& parts, Workspace& workspace, size_t level = 0);

// Fills `out` from byte `offset` of a tensor, wherever it is. Requires: the range lies in it.
Result<void> DecodeRange(const SnapshotSource& source, size_t tensor, uint64_t offset,
                         MutableBytes out, Workspace& workspace, size_t level = 0);

// Fills each part from word `first_word` of the tensor of its number.
Result<PartList<Bytes>> DecodeParts(const SnapshotSource& source, std::span<const uint32_t> tensors,
                                    uint64_t first_word, const MutableParts& parts,
                                    Workspace& workspace, size_t level = 0);

}  // namespace bitsnap
