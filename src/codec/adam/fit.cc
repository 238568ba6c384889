#include "codec/adam/fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "codec/adam/kernel.h"
#include "codec/adam/math.h"
#include "codec/adam/sampled_run.h"

namespace bitsnap::adam {
namespace {

// So many groups are enough, and quick.
constexpr size_t kGroups = 32;

// The elements looked at that have an index, with their base's.
class Looked {
 public:
  Looked(std::span<const int16_t> indices, std::span<const int16_t> base) {
    const size_t groups = (indices.size() + kGroup - 1) / kGroup;
    const size_t count = std::min(groups, kGroups);
    for (size_t r = 0; r < count; ++r) {
      const size_t first = SampledRun(groups, r, count) * kGroup;
      const size_t end = std::min(first + kGroup, indices.size());
      for (size_t i = first; i < end; ++i) {
        indices_[count_] = indices[i];
        base_[count_] = base.empty() ? int16_t{0} : base[i];
        count_ += indices[i] > kZero;
      }
    }
  }

  std::span<const int16_t> indices() const { return std::span(indices_).first(count_); }
  std::span<const int16_t> base() const { return std::span(base_).first(count_); }

 private:
  size_t count_ = 0;
  // One more for what is not counted.
  std::array<int16_t, kGroups * kGroup + 1> indices_;
  std::array<int16_t, kGroups * kGroup + 1> base_;
};

int16_t RoundedRatio(double numerator, double denominator, double limit) {
  const double ratio = std::clamp(numerator / denominator, -limit, limit);
  return static_cast<int16_t>(std::floor(ratio + 0.5));
}

Prediction MeanOnly(const Looked& looked) {
  if (looked.indices().empty()) return {};
  int64_t sum = 0;
  for (int16_t k : looked.indices()) sum += k;
  const auto count = static_cast<double>(looked.indices().size());
  return {0, RoundedRatio(static_cast<double>(sum), count, kMaxIndex)};
}

// Least squares.
Prediction Line(const Looked& looked) {
  const auto ys = looked.indices(), xs = looked.base();
  const auto count = static_cast<int64_t>(ys.size());
  int64_t sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0;
  for (size_t i = 0; i < ys.size(); ++i) {
    const int32_t x = xs[i], y = ys[i];
    sum_x += x;
    sum_y += y;
    sum_xx += x * x;
    sum_xy += x * y;
  }
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
  Residuals(const Looked& looked, Prediction prediction) : count_(looked.indices().size()) {
    const auto indices = looked.indices(), base = looked.base();
    for (size_t i = 0; i < count_; ++i) {
      const int scaled = (base[i] * prediction.slope + (1 << 14)) >> 15;
      const int residual = indices[i] - scaled - prediction.offset;
      sum_ += std::abs(residual);
      residuals_[i] = static_cast<int16_t>(residual);
    }
  }

  int64_t sum_of_magnitudes() const { return sum_; }
  std::span<const int16_t> all() const { return std::span(residuals_).first(count_); }

 private:
  int64_t sum_ = 0;
  size_t count_;
  std::array<int16_t, kGroups * kGroup> residuals_;
};

// Of all residuals, estimated: the entropy of their half symbols, low bits, and 64 for what fits no
// symbol.
double BitsAt(std::span<const int16_t> residuals, int shift) {
  std::array<uint32_t, 16> counts{};
  for (int16_t residual : residuals) {
    const int symbol = (residual >> shift) + kMiddle;
    ++counts[symbol <= kZeroSymbol || symbol > 15 ? kEscapeSymbol : symbol];
  }
  const auto total = static_cast<double>(residuals.size());
  double bits = 64.0 * counts[kEscapeSymbol] + total * shift;
  for (uint32_t count : counts) {
    if (count > 0) bits += count * double{Log2(static_cast<float>(total / count))};
  }
  return bits;
}

}  // namespace

int ShiftFor(std::span<const int16_t> residuals) {
  uint64_t sum = 0;
  for (int16_t residual : residuals) sum += std::abs(residual);
  // The half symbols have a deviation of about 2 then: with one low bit less, many would not fit.
  int best = 0;
  while (best < kMaxShift && sum >> best > residuals.size() * 3 / 2) ++best;
  double least = BitsAt(residuals, best);
  for (int shift = best + 1; shift <= kMaxShift; ++shift) {
    const double bits = BitsAt(residuals, shift);
    if (!(bits < least)) break;
    best = shift;
    least = bits;
  }
  return best;
}

Plan PlanBlock(std::span<const int16_t> indices, std::span<const int16_t> base) {
  const Looked looked(indices, base);
  const Prediction mean = MeanOnly(looked);
  const Residuals from_mean(looked, mean);
  if (!base.empty()) {
    const Prediction line = Line(looked);
    const Residuals from_base(looked, line);
    const int64_t sum = from_mean.sum_of_magnitudes();
    // 1/64 of the magnitude is 0.02 bits an element.
    if (line.slope != 0 && from_base.sum_of_magnitudes() < sum - sum / 64) {
      return {line, ShiftFor(from_base.all())};
    }
  }
  return {mean, ShiftFor(from_mean.all())};
}

}  // namespace bitsnap::adam
