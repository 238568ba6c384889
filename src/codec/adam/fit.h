// How the encoder predicts a block's indices and cuts their residuals. Integer arithmetic and
// single IEEE operations, so that every CPU decides alike.
#pragma once

#include <cstdint>
#include <span>

#include "codec/adam/residual.h"

namespace bitsnap::adam {

struct Plan {
  Prediction prediction;
  int shift = 0;
};

// Looks at a part of the block: the best straight line from the base's indices where that pays for
// reading them, else the mean alone. Requires: `base` empty or as long as `indices`.
Plan PlanBlock(std::span<const int16_t> indices, std::span<const int16_t> base);

// Low bits of a residual of this mean magnitude that are noise: the symbols above them then have a
// deviation of 3 to 6, and neither their table nor the bits' lost skew costs much.
int ShiftFor(uint64_t sum_of_magnitudes, uint64_t count);

}  // namespace bitsnap::adam
