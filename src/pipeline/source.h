// A snapshot file together with the base it leans on, block by block.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include <bitsnap/result.h>

#include "codec/codec.h"
#include "snapshot/reader.h"

namespace bitsnap {

// Neither reader is owned; both are safe to share between threads.
struct SnapshotSource {
  const SnapshotReader* file = nullptr;
  const SnapshotReader* base = nullptr;  // null when the snapshot stands alone
  // By number, tensors of `file` that are in memory already, whole and checked; the others are
  // empty. Null: none is.
  const std::vector<Bytes>* known = nullptr;
};

// Which block: the tensor is one whose storage is kBlocks.
struct BlockId {
  const SnapshotReader* file = nullptr;
  size_t tensor = 0;
  size_t block = 0;
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

// kCorrupt unless every tensor of the source can be decoded by this version: block sizes are
// kBlockBytes, and what leans on the base fits the base's tensors. All below require it.
Result<void> CheckSource(const SnapshotSource& source);

// Raw bytes of a tensor, and its words in a row (BlockContext::row_words).
uint64_t RawBytes(const TensorRecord& tensor);
uint64_t RowWords(const TensorInfo& info);

// Where bytes of a tensor are: in the source's file or its base, in blocks of its own or a pair's.
struct Place {
  SnapshotSource source;  // whose `file` holds the blocks
  size_t tensor = 0;      // whose storage is kBlocks
  size_t parts = 1;       // 2: its blocks are a pair's …
  size_t part = 0;        // … and this is which of the two

  // Raw bytes of the tensor in one block, all but the last.
  size_t bytes_per_block() const { return kBlockBytes / parts; }
};

Place Locate(const SnapshotSource& source, size_t tensor);

// Where both are as the two parts of one pair, in this order; nullopt where they are not.
std::optional<Place> LocatePair(const SnapshotSource& source, size_t first, size_t second);

// A block of that place as it lies in its file, its payload in `room`.
Result<CodedBlock> ReadCodedBlock(const Place& place, size_t block, std::vector<std::byte>& room);

// The codecs of a tensor's blocks, most used first, e.g. "planes+raw", or where else it is.
std::string CodecNames(const SnapshotReader& file, const TensorRecord& tensor);

// Decodes one block into `out`, all parts, and checks it end to end; only its payload at levels
// above 0, where another block leans on it.
// Requires: out.size() is file.RawBlockBytes of it.
Result<void> DecodeBlock(const SnapshotSource& source, size_t tensor, size_t block,
                         MutableBytes out, Workspace& workspace, size_t level = 0);

// The same of a pair's block, at level 0, each part to its own place, both half of RawBlockBytes.
Result<void> DecodePairBlock(const SnapshotSource& source, size_t tensor, size_t block,
                             MutableBytes first, MutableBytes second, Workspace& workspace);

// Fills `out` from byte `offset` of a tensor, wherever it is. Requires: the range lies in it.
Result<void> DecodeRange(const SnapshotSource& source, size_t tensor, uint64_t offset,
                         MutableBytes out, Workspace& workspace, size_t level = 0);

}  // namespace bitsnap
