#include "codec/adam/sample.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "codec/adam/fit.h"
#include "codec/adam/math.h"

namespace bitsnap::adam {
namespace {

constexpr size_t kRun = 64;

// A sample's spread is taken from the sums of its parts of so many pairs, if it has that many.
constexpr size_t kPart = 256, kFewParts = 64;

// What rANS and bit planes make of indices, escapes included, in bits an element.
double EstimateBits(std::span<const int16_t> indices) {
  constexpr double kEscapeBits = 64;
  std::vector<int16_t> known;
  std::ranges::copy_if(indices, std::back_inserter(known), [](int16_t k) { return k > kZero; });
  const int shift = ShiftFor(known);
  uint32_t histogram[16] = {};
  for (int16_t k : indices) {
    const int symbol = k <= kZero ? k - kEscape : (k >> shift) + kMiddle;
    ++histogram[symbol < 0 || symbol > 15 ? kEscapeSymbol : symbol];
  }
  const auto total = static_cast<double>(indices.size());
  double bits = histogram[kEscapeSymbol] * kEscapeBits + static_cast<double>(known.size()) * shift;
  for (uint32_t n : histogram) {
    if (n > 0) bits += n * double{Log2(static_cast<float>(total / n))};
  }
  return bits / total;
}

}  // namespace

Sample::Sample(Bytes v, Bytes m, float eps, size_t wanted)
    : eps_(eps), elements_(v.size() / sizeof(float)) {
  const size_t all = (elements_ + kRun - 1) / kRun;
  const size_t count = std::min(all, wanted / kRun);
  for (size_t r = 0; r < count; ++r) {
    const uint64_t first = all * r / count * kRun;
    runs_.push_back(first);
    const size_t bytes = std::min(kRun, elements_ - first) * sizeof(float);
    const auto append = [&](std::vector<std::byte>& to, Bytes from) {
      const Bytes run = from.subspan(first * sizeof(float), bytes);
      to.insert(to.end(), run.begin(), run.end());
    };
    append(v_, v);
    append(m_, m);
  }
  logs_.resize(v_.size() / sizeof(float));
  anchors_.resize(size());
  LogV(v_, kNoLog, logs_);
}

void Sample::SetAnchors(const Params& params) {
  for (size_t r = 0; r < runs_.size(); ++r) {
    const size_t at = r * kRun;
    FillAnchors(params, runs_[r], std::span(anchors_).subspan(at, std::min(kRun, size() - at)));
  }
}

UpdateSums Sample::Measure(const Grid& grid, Stretch stretch) const {
  return MeasureError(v_, m_, anchors_, grid, stretch);
}

Sample::Estimate Sample::EstimateAll(const Grid& grid) const {
  std::vector<UpdateSums> parts;
  UpdateSums sums;
  for (size_t first = 0; first < size(); first += kPart) {
    const size_t count = std::min(kPart, size() - first);
    const auto part = [&](const std::vector<std::byte>& bytes) {
      return Bytes(bytes).subspan(first * sizeof(float), count * sizeof(float));
    };
    const auto part_anchors = std::span(anchors_).subspan(first, count);
    parts.push_back(MeasureError(part(v_), part(m_), part_anchors, grid, 1));
    sums.Add(parts.back());
  }
  Estimate estimate{0, std::numeric_limits<double>::infinity()};
  if (!(sums.norm2 > 0) || parts.size() < kFewParts) return estimate;
  estimate.error2 = sums.error2 / sums.norm2;
  double square = 0;
  for (const UpdateSums& part : parts) {
    const double distance = part.error2 - estimate.error2 * part.norm2;
    square += distance * distance;
  }
  const double unseen = 1 - static_cast<double>(size()) / static_cast<double>(elements_);
  estimate.deviation = std::sqrt(square * unseen) / sums.norm2;
  return estimate;
}

double Sample::UpdateRms() const {
  const Grid grid{.v_step = 1, .u_step = 0x1p-9f, .eps = eps_};
  const double norm2 = Measure(grid, 1).norm2;
  return std::sqrt(norm2 / static_cast<double>(size())) * grid.u_step;
}

double Sample::Bits(const Grid& grid, Stretch stretch) const {
  std::vector<int16_t> kv(size()), ku(size());
  Quantize(v_, m_, anchors_, grid, stretch, {kv, ku});
  return EstimateBits(kv) + EstimateBits(ku);
}

}  // namespace bitsnap::adam
