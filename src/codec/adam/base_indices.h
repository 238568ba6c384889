// The indices that codec `adam` stored in the base's block, as a prediction of those of a block of
// `adam_delta`: no value of the base is computed but those of its escapes.
#pragma once

#include <cstdint>
#include <span>

#include <bitsnap/result.h>

#include "codec/adam/params.h"
#include "codec/adam/payload.h"
#include "codec/codec.h"

namespace bitsnap::adam {

// The base's block and where it begins in its tensor. A view.
struct BaseBlock {
  Params params;
  uint64_t first;
  Bytes payload;
  size_t elements;
};

// Gives them tile by tile, from the first on. A view of the payload and of the scratch.
class BaseIndices {
 public:
  // Takes two slots of the scratch, of which `work_slot` is free again afterwards. kCorrupt where
  // the payload is malformed or leans on a base itself. Requires: Covers(the block's end).
  static Result<BaseIndices> Open(const BaseBlock& block, size_t slot, size_t work_slot,
                                  Scratch& scratch);

  // The next `count` indices: 0 where both moments are zero, and of the escaped values, rounded to
  // the nearest, or 0 where they have no place on the base's grids. kCorrupt where escapes lack.
  // Requires: not beyond the block; all before were whole tiles; count <= kTile; both spans hold
  // WholeGroups(count), in which what is beyond `count` becomes unspecified.
  Result<void> Next(size_t count, std::span<int16_t> kv, std::span<int16_t> ku);

 private:
  BaseIndices(const BaseBlock& block, const Streams& streams, std::span<const uint8_t> symbols,
              const ByteReader& escapes)
      : block_(block), streams_(streams), symbols_(symbols), escapes_(escapes) {}

  void PlaceEscapes(std::span<int16_t> kv, std::span<int16_t> ku);

  BaseBlock block_;
  Streams streams_;
  std::span<const uint8_t> symbols_;
  ByteReader escapes_;  // from the next one on
  size_t done_ = 0;
};

}  // namespace bitsnap::adam
