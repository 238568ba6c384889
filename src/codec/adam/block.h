// One block of a pair to a payload and back; spec.md says what its bytes mean.
#pragma once

#include <cstdint>
#include <optional>

#include <bitsnap/result.h>

#include "base/bytes.h"
#include "codec/adam/params.h"
#include "codec/codec.h"

namespace bitsnap::adam {

// Everything besides the block itself. The base's parts are empty where there is none.
struct BlockFrame {
  Params params;
  uint64_t first;  // index of the block's first element in its tensor
  Bytes base_v;
  Bytes base_m;
};

// The least size of EncodeBlock's `out`.
size_t BlockBound(size_t elements);

// Returns the coded size; nullopt when that is not below `limit`.
// Requires: v and m of the same size, a multiple of 4 and not 0; Covers(the block's end).
std::optional<size_t> EncodeBlock(const BlockFrame& frame, Bytes v, Bytes m, size_t limit,
                                  MutableBytes out, Scratch& scratch);

// Requires: as for EncodeBlock, of `coded` nothing.
Result<void> DecodeBlock(const BlockFrame& frame, Bytes coded, MutableBytes v, MutableBytes m,
                         Scratch& scratch);

}  // namespace bitsnap::adam
