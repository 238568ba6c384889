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

// How many low bits of these residuals to store as they are: those that are noise, and more where
// that leaves fewer residuals without a half symbol.
int ShiftFor(std::span<const int16_t> residuals);

}  // namespace bitsnap::adam
