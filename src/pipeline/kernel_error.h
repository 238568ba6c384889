// The loop of MeasureError.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace bitsnap {

// So many sums side by side, so that vectors give the same bits on every CPU.
inline constexpr size_t kErrorLanes = 16;

struct LaneSums {
  std::array<uint32_t, kErrorLanes> values{}, nonzero{};
  std::array<double, kErrorLanes> squared{};
  std::array<float, kErrorLanes> relative{}, largest{};
};

// Adds the errors of fp32 values; those after the last whole kErrorLanes go to the first sum.
void SumErrors(Bytes original, Bytes decoded, LaneSums& sums);

}  // namespace bitsnap
