#include "codec/cluster/kernel.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace bitsnap::cluster {
namespace {

constexpr size_t kLanes = 8;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <class Term>
double SumInLanes(std::span<const float> values, Term term) {
  std::array<double, kLanes> sums{};
  const size_t whole = values.size() - values.size() % kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += term(values[i + lane]);
  }
  for (size_t i = whole; i < values.size(); ++i) sums[i % kLanes] += term(values[i]);
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}

// Boundaries in the order of a breadth-first walk of their balanced search tree, whose node i has
// the children 2i and 2i + 1: a step down is a comparison and an addition, and no branch that the
// CPU could mispredict.
class SearchTree {
 public:
  // Requires: `boundaries` ascend and are fewer than kMaxClusters.
  explicit SearchTree(std::span<const float> boundaries)
      : leaves_(std::bit_ceil(boundaries.size() + 1)) {
    for (size_t node = 1; node < leaves_; ++node) {
      const size_t first_of_level = std::bit_floor(node);
      const size_t below = leaves_ / first_of_level;  // leaves under this node
      const size_t rank = (node - first_of_level) * below + below / 2 - 1;
      nodes_[node] = rank < boundaries.size() ? boundaries[rank] : kInfinity;
    }
  }

  // How many boundaries are <= value. Requires: `value` is finite.
  size_t CountUpTo(float value) const {
    size_t node = 1;
    while (node < leaves_) node = 2 * node + (value >= nodes_[node] ? 1 : 0);
    return node - leaves_;
  }

 private:
  size_t leaves_;
  std::array<float, kMaxClusters> nodes_;
};

// Labels are packed and unpacked in groups of eight, which fill `bits` whole bytes.
constexpr size_t kGroup = 8;

}  // namespace

Moments Measure(std::span<const float> values) {
  const double count = static_cast<double>(values.size());
  const double mean = SumInLanes(values, [](float v) { return double{v}; }) / count;
  const double squares = SumInLanes(values, [mean](float v) { return (v - mean) * (v - mean); });
  return {mean, std::sqrt(squares / count)};
}

void AssignLabels(std::span<const float> values, std::span<const float> boundaries,
                  std::span<uint8_t> labels, std::span<Range> ranges) {
  const SearchTree tree(boundaries);
  std::fill(ranges.begin(), ranges.end(), Range{kInfinity, -kInfinity});
  for (size_t i = 0; i < values.size(); ++i) {
    const float value = values[i];
    const size_t label = tree.CountUpTo(value);
    labels[i] = static_cast<uint8_t>(label);
    Range& range = ranges[label];
    if (value < range.low) range.low = value;
    if (value > range.high) range.high = value;
  }
  for (Range& range : ranges) {
    if (range.low > range.high) range = {0, 0};
  }
}

void Quantize(std::span<const float> values, std::span<const uint8_t> labels,
              std::span<const Range> ranges, MutableBytes codes) {
  // Doubles, because high - low may overflow a float.
  std::array<double, kMaxClusters> lows;
  std::array<double, kMaxClusters> scales;
  for (size_t l = 0; l < ranges.size(); ++l) {
    const double width = double{ranges[l].high} - double{ranges[l].low};
    lows[l] = ranges[l].low;
    scales[l] = width > 0 ? (kCodes - 1) / width : 0;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const double place = (values[i] - lows[labels[i]]) * scales[labels[i]] + 0.5;
    codes[i] = static_cast<std::byte>(static_cast<int>(place));
  }
}

void PackLabels(std::span<const uint8_t> labels, int bits, MutableBytes packed) {
  for (size_t i = 0; i < labels.size(); i += kGroup) {
    const size_t members = std::min(kGroup, labels.size() - i);
    uint64_t word = 0;
    for (size_t j = 0; j < members; ++j) word |= uint64_t{labels[i + j]} << (j * bits);
    const size_t offset = i / kGroup * bits;
    // Whole words where they fit: what one writes too much, the next overwrites.
    const size_t room = packed.size() - offset;
    if (room >= sizeof(word)) {
      std::memcpy(&packed[offset], &word, sizeof(word));
    } else {
      std::memcpy(&packed[offset], &word, room);
    }
  }
}

void BuildTable(std::span<const Range> ranges, std::span<float> table) {
  for (size_t l = 0; l < ranges.size(); ++l) {
    const double low = ranges[l].low;
    const double high = ranges[l].high;
    for (size_t c = 0; c < kCodes; ++c) {
      const double up = static_cast<double>(static_cast<int>(c));
      const double value = (low * (255.0 - up) + high * up) / 255.0;
      table[l * kCodes + c] = static_cast<float>(value);
    }
  }
}

size_t Lookup(Bytes packed, int bits, Bytes codes, std::span<const float> table, MutableBytes out) {
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  uint64_t largest = 0;
  for (size_t i = 0; i < codes.size(); i += kGroup) {
    const size_t offset = i / kGroup * bits;
    const size_t room = packed.size() - offset;
    uint64_t word = 0;
    if (room >= sizeof(word)) {
      std::memcpy(&word, &packed[offset], sizeof(word));
    } else {
      std::memcpy(&word, &packed[offset], room);
    }
    const size_t members = std::min(kGroup, codes.size() - i);
    std::array<float, kGroup> values;
    for (size_t j = 0; j < members; ++j) {
      const uint64_t label = word & mask;
      word >>= bits;
      largest = std::max(largest, label);
      values[j] = table[label * kCodes + static_cast<size_t>(codes[i + j])];
    }
    std::memcpy(&out[i * sizeof(float)], values.data(), members * sizeof(float));
  }
  return largest;
}

}  // namespace bitsnap::cluster
