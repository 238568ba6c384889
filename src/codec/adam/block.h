// One block of a pair to a payload and back; spec.md says what its bytes mean.
#pragma once

#include <cstdint>
#include <optional>

#include <bitsnap/result.h>

#include "base/bytes.h"
#include "codec/adam/base_indices.h"
#include "codec/adam/params.h"
#include "codec/codec.h"

namespace bitsnap::adam {

// Everything besides the block itself. A base is given decoded or coded; if not, its parts are
// empty and its block is null.
struct BlockFrame {
  Params params;
  uint64_t first;  // index of the block's first element in its tensor
  Bytes base_v = {};
  Bytes base_m = {};
  const BaseBlock* coded_base = nullptr;  // with at least as many elements
};

// The least size of EncodeBlock's `out`.
size_t BlockBound(size_t elements);

// v and m, fp32, of the same size, a multiple of 4 and not 0.
template <class Span>
struct Moments {
  Span v, m;
};

// Nullopt when the coded size is not below `limit` or the coded base is malformed. Leaves what
// DecodeBlock will give in `decoded`, and returns what is lost, unless that is empty. Requires:
// Covers(the block's end).
std::optional<Encoded> EncodeBlock(const BlockFrame& frame, const Moments<Bytes>& raw, size_t limit,
                                   MutableBytes out, const Moments<MutableBytes>& decoded,
                                   Scratch& scratch);

// Requires: as for EncodeBlock, of `coded` nothing.
Result<void> DecodeBlock(const BlockFrame& frame, Bytes coded, const Moments<MutableBytes>& out,
                         Scratch& scratch);

}  // namespace bitsnap::adam
