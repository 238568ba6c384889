// What a .bsnap file says about itself: header, index and footer as C++ values. docs/format.md is
// the byte-by-byte specification. Codec ids and payloads are opaque here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <bitsnap/lineage.h>
#include <bitsnap/tensor.h>

#include "base/checksum.h"

namespace bitsnap {

// Known before the first tensor: stands at the very front of the file.
struct SnapshotHeader {
  uint64_t step = 0;
  uint32_t rank = 0;
  uint32_t world_size = 1;  // rank < world_size
  uint64_t save_id = 0;     // the same in all rank files of one save
  bool operator==(const SnapshotHeader&) const = default;
};

struct BlockRecord {
  uint8_t codec = 0;
  uint32_t coded_bytes = 0;     // 0 is allowed
  uint64_t coded_checksum = 0;  // Checksum64 of the payload
  uint64_t raw_checksum = 0;    // Checksum64 of what the decoder must give
  bool operator==(const BlockRecord&) const = default;
};

// Where a tensor's bytes are.
enum class Storage : uint8_t {
  kBlocks = 0,        // in this file, blocks back to back from `data_offset`
  kSameAsBase = 1,    // equal to tensor `base_tensor` of the base
  kSameAsTensor = 2,  // equal to tensor `same_as` of this file, which has a smaller index and is
                      // not itself kSameAsTensor
  kSecondOfPair = 3,  // in the blocks of tensor `same_as` of this file
};

struct TensorRecord {
  TensorInfo info;  // role present
  Storage storage = Storage::kBlocks;
  // Index of the base's tensor that the blocks lean on or that this tensor equals; the same dtype
  // and number of bytes. Absent for kSameAsTensor.
  std::optional<uint32_t> base_tensor;
  uint32_t same_as = 0;      // 0 unless kSameAsTensor or kSecondOfPair
  uint64_t data_offset = 0;  // of the first block, from the start of the file; ignored without
  std::vector<BlockRecord> blocks;  // ceil(BlockedBytes / block_bytes) of them
  // Index of the tensor that shares this one's blocks: each holds a range of this tensor's bytes
  // and then the same range of the other's, whose storage is kSecondOfPair and whose same_as names
  // this.
  std::optional<uint32_t> second;
  // Index of the tensor of this file that decoding needs besides; as many elements as this one has.
  // It has no peer itself and is no part of a pair.
  std::optional<uint32_t> peer;
  std::vector<std::byte> params;  // what the codecs of all its blocks share; opaque
  std::vector<Metric> error;
  std::string why;
};

struct BaseReference {
  uint64_t step = 0;
  Hash128 index_hash;  // SnapshotReader::index_hash of the base: of its header and index, which
                       // holds the checksums of all its blocks
  bool operator==(const BaseReference&) const = default;
};

struct SnapshotIndex {
  uint32_t block_bytes = 0;  // raw bytes of every block but a tensor's last; 1 to 2^30
  std::string profile;
  std::string metadata;               // opaque
  std::optional<BaseReference> base;  // absent: stands alone
  std::vector<TensorRecord> tensors;  // unique names
  Lineage lineage;                    // not in the file where the run is 0
};

// Raw bytes in the blocks of a tensor: its own, twice as many for a pair, 0 when they are
// elsewhere. nullopt when dtype and shape have no possible size.
std::optional<uint64_t> BlockedBytes(const TensorRecord& tensor);

// Coded bytes of its blocks.
uint64_t CodedBytes(const TensorRecord& tensor);

}  // namespace bitsnap
