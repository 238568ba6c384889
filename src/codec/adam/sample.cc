#include "codec/adam/sample.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "codec/adam/fit.h"
#include "codec/adam/math.h"
#include "codec/adam/sampled_run.h"

namespace bitsnap::adam {
namespace {

constexpr size_t kRun = 64;

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

Sample::Sample(Bytes v, Bytes m, float eps, size_t wanted) : eps_(eps) {
  const size_t elements = v.size() / sizeof(float);
  const size_t all = (elements + kRun - 1) / kRun;
  const size_t count = std::min(all, wanted / kRun);
  v_.reserve(count * kRun * sizeof(float));
  m_.reserve(count * kRun * sizeof(float));
  for (size_t r = 0; r < count; ++r) {
    const uint64_t first = SampledRun(all, r, count) * kRun;
    runs_.push_back(first);
    const size_t bytes = std::min(kRun, elements - first) * sizeof(float);
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
