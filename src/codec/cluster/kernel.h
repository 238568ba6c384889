// Cluster quantization's loops. They use only IEEE additions, subtractions, multiplications,
// divisions and square roots in a fixed order, so that every CPU computes the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace bitsnap::cluster {

inline constexpr size_t kMaxClusters = 256;
inline constexpr size_t kCodes = 256;  // values that a cluster's code can take

// What a cluster's codes span; laid out as in the payload.
struct Range {
  float low;
  float high;
};
static_assert(sizeof(Range) == 8);

struct Moments {
  double mean;
  double deviation;  // of the population
};

// Element i is added to sum i % 8, then the eight sums in order.
// Requires: values are finite and at least one.
Moments Measure(std::span<const float> values);

// labels[i] = how many boundaries are <= values[i]; ranges[l] = the least and greatest value of
// label l, {0, 0} where no value has it.
// Requires: values are finite and none is -0.0, boundaries ascend, labels.size() == values.size(),
// ranges.size() == boundaries.size() + 1 <= kMaxClusters.
void AssignLabels(std::span<const float> values, std::span<const float> boundaries,
                  std::span<uint8_t> labels, std::span<Range> ranges);

// codes[i] = where values[i] lies in its label's range, from 0 (low) to 255 (high), to the nearest.
// Requires: labels and ranges as AssignLabels left them, codes.size() == values.size().
void Quantize(std::span<const float> values, std::span<const uint8_t> labels,
              std::span<const Range> ranges, MutableBytes codes);

// Bytes of `count` packed labels.
inline size_t PackedBytes(size_t count, int bits) { return (count * bits + 7) / 8; }

// Label i takes the bits from i * bits on, least significant first; bits left over are 0.
// Requires: labels < 2^bits, 1 <= bits <= 8, packed.size() == PackedBytes(labels.size(), bits).
void PackLabels(std::span<const uint8_t> labels, int bits, MutableBytes packed);

// table[l * kCodes + c] = what label l and code c decode to, always within the label's range.
// Requires: ranges are finite with low <= high, table.size() == ranges.size() * kCodes.
void BuildTable(std::span<const Range> ranges, std::span<float> table);

// Stores table[label * kCodes + code] as float into `out` for every element, and returns the
// largest label met. Requires: packed.size() == PackedBytes(codes.size(), bits), table.size() ==
// 2^bits * kCodes, out.size() == 4 * codes.size().
size_t Lookup(Bytes packed, int bits, Bytes codes, std::span<const float> table, MutableBytes out);

}  // namespace bitsnap::cluster
