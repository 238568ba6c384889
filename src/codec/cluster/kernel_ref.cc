#include "codec/cluster/kernel_ref.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace bitsnap::cluster::ref {
namespace {

double Total(const std::array<double, 8>& sums) {
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}

}  // namespace

Moments Measure(std::span<const float> values) {
  const double count = static_cast<double>(values.size());
  std::array<double, 8> sums{};
  for (size_t i = 0; i < values.size(); ++i) sums[i % 8] += values[i];
  const double mean = Total(sums) / count;

  std::array<double, 8> squares{};
  for (size_t i = 0; i < values.size(); ++i) {
    const double distance = values[i] - mean;
    squares[i % 8] += distance * distance;
  }
  return {mean, std::sqrt(Total(squares) / count)};
}

void AssignLabels(std::span<const float> values, std::span<const float> boundaries,
                  std::span<uint8_t> labels, std::span<Range> ranges) {
  std::fill(ranges.begin(), ranges.end(), Range{0, 0});
  std::array<bool, kMaxClusters> seen{};
  for (size_t i = 0; i < values.size(); ++i) {
    const float value = values[i];
    const size_t label = std::count_if(boundaries.begin(), boundaries.end(),
                                       [value](float boundary) { return boundary <= value; });
    labels[i] = static_cast<uint8_t>(label);
    Range& range = ranges[label];
    range = seen[label] ? Range{std::min(range.low, value), std::max(range.high, value)}
                        : Range{value, value};
    seen[label] = true;
  }
}

void Quantize(std::span<const float> values, std::span<const uint8_t> labels,
              std::span<const Range> ranges, MutableBytes codes) {
  for (size_t i = 0; i < values.size(); ++i) {
    const Range& range = ranges[labels[i]];
    const double width = double{range.high} - double{range.low};
    const double place = width > 0 ? (values[i] - double{range.low}) * (255.0 / width) : 0;
    codes[i] = static_cast<std::byte>(static_cast<int>(place + 0.5));
  }
}

void PackLabels(std::span<const uint8_t> labels, int bits, MutableBytes packed) {
  std::fill(packed.begin(), packed.end(), std::byte{0});
  for (size_t bit = 0; bit < labels.size() * bits; ++bit) {
    const int value = labels[bit / bits] >> (bit % bits) & 1;
    packed[bit / 8] |= static_cast<std::byte>(value << (bit % 8));
  }
}

size_t LabelAt(Bytes packed, int bits, size_t i) {
  size_t label = 0;
  for (size_t b = 0; b < static_cast<size_t>(bits); ++b) {
    const size_t bit = i * bits + b;
    label |= (std::to_integer<size_t>(packed[bit / 8]) >> (bit % 8) & 1) << b;
  }
  return label;
}

float Value(const Range& range, std::byte code) {
  const double up = std::to_integer<int>(code);
  return static_cast<float>((range.low * (255.0 - up) + range.high * up) / 255.0);
}

}  // namespace bitsnap::cluster::ref
