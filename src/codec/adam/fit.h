// How the encoder predicts a block's indices and cuts their residuals. Integer arithmetic and
// single IEEE operations, so that every CPU decides alike.
#pragma once

#include <algorithm>
#include <bit>
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

// How large residuals are.
struct Magnitudes {
  uint64_t count = 0;
  uint64_t sum = 0;
  uint64_t bits[16] = {};  // residuals by the width of their magnitude

  void Add(uint32_t magnitude) {
    ++count;
    sum += magnitude;
    ++bits[std::min<int>(std::bit_width(magnitude), 15)];
  }
};

// How many low bits are noise: the symbols above them then have a deviation of 3 to 6, and neither
// their table nor the bits' lost skew costs much. More where many residuals fit no symbol else.
int ShiftFor(const Magnitudes& magnitudes);

}  // namespace bitsnap::adam
