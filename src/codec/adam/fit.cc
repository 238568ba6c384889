#include "codec/adam/fit.h"

#include <algorithm>
#include <array>
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

// Of the elements looked at.
class Residuals {
 public:
  Residuals(std::span<const int16_t> indices, std::span<const int16_t> base,
            Prediction prediction) {
    ForSample(indices, [&](size_t i) {
      const int scaled = prediction.slope == 0 ? 0 : (base[i] * prediction.slope + (1 << 14)) >> 15;
      const int residual = indices[i] - scaled - prediction.offset;
      sum_ += std::abs(residual);
      residuals_[count_++] = static_cast<int16_t>(residual);
    });
  }

  uint64_t sum_of_magnitudes() const { return sum_; }
  std::span<const int16_t> all() const { return std::span(residuals_).first(count_); }

 private:
  uint64_t sum_ = 0;
  size_t count_ = 0;
  std::array<int16_t, 2 * (kGroups + 1) * kGroup> residuals_;
};

}  // namespace

int ShiftFor(std::span<const int16_t> residuals) {
  uint64_t sum = 0;
  for (int16_t residual : residuals) sum += std::abs(residual);
  int shift = 0;
  while (shift < kMaxShift && sum >> shift > residuals.size() * 3 / 2) ++shift;
  // What fits no half symbol takes 32 or 64 bits more; one more low bit saves little of a symbol.
  const auto too_large = [&] {
    size_t escapes = 0;
    for (int16_t residual : residuals) {
      const int high = (residual >> shift) + kMiddle;
      escapes += high <= kZeroSymbol || high > 15;
    }
    return escapes * 512 > residuals.size();
  };
  while (shift < kMaxShift && too_large()) ++shift;
  return shift;
}

Plan PlanBlock(std::span<const int16_t> indices, std::span<const int16_t> base) {
  const Prediction mean = MeanOnly(indices);
  const Residuals from_mean(indices, {}, mean);
  if (!base.empty()) {
    const Prediction line = Line(indices, base);
    const Residuals from_base(indices, base, line);
    const uint64_t sum = from_mean.sum_of_magnitudes();
    // 1/64 of the magnitude is 0.02 bits an element.
    if (line.slope != 0 && from_base.sum_of_magnitudes() < sum - sum / 64) {
      return {line, ShiftFor(from_base.all())};
    }
  }
  return {mean, ShiftFor(from_mean.all())};
}

}  // namespace bitsnap::adam
