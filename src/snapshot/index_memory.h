// How much memory an index may take: in proportion to what the file really holds, so that a few
// megabytes that were made to deceive cannot fill a machine. Writer and reader go by the same
// bound: an index that shrinks so well that the reader would refuse it is stored plainly.
#pragma once

#include <cstdint>

#include "snapshot/index.h"

namespace bitsnap {

// Counted while an index is parsed, before the memory is taken.
struct IndexMemory {
  uint64_t raw_bytes = 0;  // of the uncompressed index; bounds all texts, shapes and params
  uint64_t tensors = 0;
  uint64_t metrics = 0;
  uint64_t blocks = 0;

  // Bytes that the index takes as C++ values, about. Requires: each that is counted has a byte in
  // the index at least, so that nothing overflows.
  uint64_t Bytes() const;
};

// Of an index that was encoded in `raw_bytes`.
IndexMemory MemoryOf(const SnapshotIndex& index, uint64_t raw_bytes);

// What an index of `stored_bytes` in the file may take: 64 MiB and 16 bytes a byte. A plain index
// is always within: no record takes 16 times its bytes.
constexpr uint64_t IndexMemoryLimit(uint64_t stored_bytes) {
  return (uint64_t{64} << 20) + 16 * stored_bytes;
}

}  // namespace bitsnap
