// How the encoder predicts a block's indices and cuts their residuals. Integer arithmetic and
// single IEEE operations, so that every CPU decides alike.
#pragma once

#include <cstdint>
#include <span>

#include "codec/adam/kernel_residual.h"

namespace bitsnap::adam {

struct Plan {
  Prediction prediction;
  int shift = 0;
};

// Looks at a part of the block: the best straight line from the base's indices where that pays for
// reading them, else the mean alone. Requires: `base` empty or as long as `indices`.
Plan PlanBlock(std::span<const int16_t> indices, std::span<const int16_t> base);

// How many low bits of these residuals are noise: the half symbols above them then have a deviation
// of 1 to 2. More where many residuals fit no half symbol else.
int ShiftFor(std::span<const int16_t> residuals);

}  // namespace bitsnap::adam
