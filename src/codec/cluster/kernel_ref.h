// The plain version of kernel.h, function by function, written as spec.md says it: the oracle in
// tests. Same preconditions, same results to the last bit.
#pragma once

#include "codec/cluster/kernel.h"

namespace bitsnap::cluster::ref {

Moments Measure(std::span<const float> values);
void AssignLabels(std::span<const float> values, std::span<const float> boundaries,
                  std::span<uint8_t> labels, std::span<Range> ranges);
void Quantize(std::span<const float> values, std::span<const uint8_t> labels,
              std::span<const Range> ranges, MutableBytes codes);
void PackLabels(std::span<const uint8_t> labels, int bits, MutableBytes packed);

// Label i of packed labels.
size_t LabelAt(Bytes packed, int bits, size_t i);
// What a code on a range decodes to.
float Value(const Range& range, std::byte code);

}  // namespace bitsnap::cluster::ref
