#include "codec/entropy/context_rans.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace bitsnap::context_rans {

Frequencies Normalize(const Counts& counts) {
  const uint64_t total = std::accumulate(counts.begin(), counts.end(), uint64_t{0});
  Frequencies frequencies{};
  int32_t sum = 0;
  for (size_t s = 0; s < counts.size(); ++s) {
    if (counts[s] == 0) continue;
    const uint64_t scaled = (uint64_t{counts[s]} * kScale + total / 2) / total;
    frequencies[s] = static_cast<uint16_t>(std::max<uint64_t>(scaled, 1));
    sum += frequencies[s];
  }
  // Rounding is made good by the largest frequencies, where it costs least.
  int32_t missing = static_cast<int32_t>(kScale) - sum;
  while (missing != 0) {
    uint16_t& largest = *std::ranges::max_element(frequencies);
    const int32_t step = std::max(missing, -(largest / 16 + 1));
    largest = static_cast<uint16_t>(largest + step);
    missing -= step;
  }
  return frequencies;
}

void WriteFrequencies(const Frequencies& frequencies, BitWriter& out) {
  constexpr size_t kMaxMoreZeros = 15;
  uint32_t sum = 0;
  for (size_t s = 0; sum < kScale; ++s) {
    const uint32_t frequency = frequencies[s];
    const auto width = static_cast<unsigned>(std::bit_width(frequency));
    out.Write(width, 4);
    if (frequency == 0) {
      size_t more = 0;
      while (more < kMaxMoreZeros && frequencies[s + 1] == 0) ++more, ++s;
      out.Write(more, 4);
    } else {
      out.Write(frequency - (1u << (width - 1)), width - 1);
    }
    sum += frequency;
  }
}

std::optional<Frequencies> ReadFrequencies(size_t symbols, BitReader& in) {
  Frequencies frequencies{};
  uint32_t sum = 0;
  for (size_t s = 0; s < symbols && sum < kScale; ++s) {
    const unsigned width = in.Read(4);
    if (width == 0) {
      s += in.Read(4);
      continue;
    }
    const uint32_t frequency = 1u << (width - 1) | in.Read(width - 1);
    sum += frequency;
    if (sum <= kScale) frequencies[s] = static_cast<uint16_t>(frequency);
  }
  if (sum != kScale) return std::nullopt;
  return frequencies;
}

void FillEncodeTable(const Frequencies& frequencies, size_t context, EncodeTable& table) {
  uint32_t start = 0;
  for (size_t s = 0; s < frequencies.size(); ++s) {
    const uint32_t frequency = frequencies[s];
    if (frequency == 0) continue;
    table.ranges[256 * context + s] = EncodeEntry::Range(start, frequency);
    table.reciprocals[256 * context + s] = EncodeEntry::Reciprocal(frequency);
    start += frequency;
  }
}

void FillDecodeTable(const Frequencies& frequencies, size_t context, DecodeTable table) {
  uint32_t* entry = &table[kScale * context];
  for (uint32_t s = 0; s < frequencies.size(); ++s) {
    const uint32_t frequency = frequencies[s];
    if (frequency == 0) continue;
    const uint32_t common = (frequency - 1) << 8 | s;
    for (uint32_t i = 0; i < frequency; ++i) *entry++ = i << 20 | common;
  }
}

}  // namespace bitsnap::context_rans
