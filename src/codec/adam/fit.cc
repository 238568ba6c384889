#include "codec/adam/fit.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "codec/adam/kernel.h"

namespace bitsnap::adam {
namespace {

// So many groups are enough, and quick.
constexpr size_t kGroups = 32;

// Calls body(i) for the elements looked at that have an index.
template <class Body>
void ForSample(std::span<const int16_t> indices, Body body) {
  const size_t stride = std::max<size_t>(1, indices.size() / (kGroups * kGroup)) * kGroup;
  for (size_t first = 0; first < indices.size(); first += stride) {
    const size_t end = std::min(first + kGroup, indices.size());
    for (size_t i = first; i < end; ++i) {
      if (indices[i] > kZero) body(i);
    }
  }
}

int16_t RoundedRatio(double numerator, double denominator, double limit) {
  const double ratio = std::clamp(numerator / denominator, -limit, limit);
  return static_cast<int16_t>(std::floor(ratio + 0.5));
}

Prediction MeanOnly(std::span<const int16_t> indices) {
  int64_t count = 0, sum = 0;
  ForSample(indices, [&](size_t i) {
    ++count;
    sum += indices[i];
  });
  if (count == 0) return {};
  return {0, RoundedRatio(static_cast<double>(sum), static_cast<double>(count), kMaxIndex)};
}

// Least squares.
Prediction Line(std::span<const int16_t> indices, std::span<const int16_t> base) {
  int64_t count = 0, sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0;
  ForSample(indices, [&](size_t i) {
    const int32_t x = base[i], y = indices[i];
    ++count;
    sum_x += x;
    sum_y += y;
    sum_xx += x * x;
    sum_xy += x * y;
  });
  const int64_t spread = count * sum_xx - sum_x * sum_x;
  if (spread <= 0) return {};
  const auto covariance = static_cast<double>(count * sum_xy - sum_x * sum_y);
  const int16_t slope = RoundedRatio(covariance * 0x1p15, static_cast<double>(spread), 0x7fff);
  const auto rest = static_cast<double>(sum_y) - slope * 0x1p-15 * static_cast<double>(sum_x);
  return {slope, RoundedRatio(rest, static_cast<double>(count), kMaxIndex)};
}

Magnitudes Residuals(std::span<const int16_t> indices, std::span<const int16_t> base,
                     Prediction prediction) {
  Magnitudes magnitudes;
  ForSample(indices, [&](size_t i) {
    const int scaled = prediction.slope == 0 ? 0 : (base[i] * prediction.slope + (1 << 14)) >> 15;
    magnitudes.Add(std::abs(indices[i] - scaled - prediction.offset));
  });
  return magnitudes;
}

}  // namespace

int ShiftFor(const Magnitudes& magnitudes) {
  int shift = 0;
  while (shift < kMaxShift && magnitudes.sum >> shift > 5 * magnitudes.count) ++shift;
  // What fits no symbol takes 32 bits or more, one more low bit takes at most one of each.
  const auto too_large = [&](int at) {
    uint64_t escapes = 0;
    for (int width = at + 8; width < 16; ++width) escapes += magnitudes.bits[width];
    return escapes * 32 > magnitudes.count;
  };
  while (shift < kMaxShift && too_large(shift)) ++shift;
  return shift;
}

Plan PlanBlock(std::span<const int16_t> indices, std::span<const int16_t> base) {
  Prediction prediction = MeanOnly(indices);
  Magnitudes magnitudes = Residuals(indices, {}, prediction);
  if (!base.empty()) {
    const Prediction line = Line(indices, base);
    const Magnitudes with_base = Residuals(indices, base, line);
    // 1/64 of the magnitude is 0.02 bits an element.
    if (line.slope != 0 && with_base.sum < magnitudes.sum - magnitudes.sum / 64) {
      prediction = line;
      magnitudes = with_base;
    }
  }
  return {prediction, ShiftFor(magnitudes)};
}

}  // namespace bitsnap::adam
