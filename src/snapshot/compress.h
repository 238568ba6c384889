// How the index is stored: as it is, or as one zstd frame.
#pragma once

#include <vector>

#include <bitsnap/result.h>

#include "base/bytes.h"
#include "snapshot/layout.h"

namespace bitsnap {

// Largest uncompressed index.
inline constexpr uint64_t kMaxIndexBytes = uint64_t{1} << 30;

struct StoredIndex {
  IndexCoding coding;
  std::vector<std::byte> bytes;
};

// Compresses where that helps and a reader of the frame may still take `memory` (IndexMemory).
StoredIndex StoreIndex(Bytes raw, uint64_t memory);

// Appends the uncompressed index of exactly `raw_bytes` to `out`. Memory grows with what `stored`
// really holds, whatever `raw_bytes` claims.
Result<void> UnstoreIndex(IndexCoding coding, Bytes stored, uint64_t raw_bytes,
                          std::vector<std::byte>* out);

}  // namespace bitsnap
