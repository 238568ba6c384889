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

namespace {

// A number that no difference of widths reaches, for a code with more than kMaxZeros zeros.
constexpr uint32_t kNoNumber = 62;
constexpr unsigned kMaxZeros = 5;

// Reads Elias' gamma code of a number and one: as many zeros as it has bits below its highest, a
// one, and these bits.
uint32_t ReadGamma(BitReader& in) {
  const uint32_t ahead = in.Peek(2 * kMaxZeros + 1);
  const unsigned low = std::countr_zero(ahead | 1u << (kMaxZeros + 1));
  if (low > kMaxZeros) return kNoNumber;
  in.Skip(2 * low + 1);
  return ((1u << low) | (ahead >> (low + 1) & ((1u << low) - 1))) - 1;
}

// Symbols alternate between steps forth and back: the width of a count is closest to that of the
// symbol before last.
constexpr size_t kAlike = 2;

unsigned Width(uint32_t count) { return static_cast<unsigned>(std::bit_width(count)); }

// Bits of a Rounded count below its highest one that are stored.
unsigned LowBits(unsigned width) { return width == 0 ? 0 : std::min(width - 1, 2u); }

}  // namespace

void WriteCounts(const Counts& counts, BitWriter& out) {
  size_t last = counts.size() - 1;
  while (counts[last] == 0) --last;
  out.Write(last, 8);
  for (size_t s = 0; s <= last; ++s) {
    const unsigned width = Width(counts[s]);
    const int change = static_cast<int>(width - (s < kAlike ? 0 : Width(counts[s - kAlike])));
    // The gamma code, of `zeros` zeros, a one and as many bits, and behind it the count's.
    const uint32_t number = static_cast<uint32_t>(change < 0 ? -2 * change - 1 : 2 * change) + 1;
    const unsigned zeros = Width(number) - 1, low = LowBits(width);
    const uint32_t gamma = ((number << 1 & ((2u << zeros) - 1)) | 1) << zeros;
    const uint32_t below = width == 0 ? 0 : counts[s] >> (width - 1 - low) & ((1u << low) - 1);
    out.Write(gamma | uint64_t{below} << (2 * zeros + 1), 2 * zeros + 1 + low);
  }
}

std::optional<Counts> ReadCounts(size_t symbols, BitReader& in) {
  Counts counts{};
  const size_t last = in.Read(8);
  if (last >= symbols) return std::nullopt;
  for (size_t s = 0; s <= last; ++s) {
    const uint32_t zigzag = ReadGamma(in);
    const unsigned change = zigzag % 2 != 0 ? -(zigzag / 2 + 1) : zigzag / 2;
    const unsigned width = (s < kAlike ? 0 : Width(counts[s - kAlike])) + change;
    if (width > kMaxCountBits) return std::nullopt;  // below zero, too
    const unsigned low = LowBits(width);
    if (width > 0) counts[s] = (1u << low | in.Read(low)) << (width - 1 - low);
  }
  if (counts[last] == 0) return std::nullopt;
  return counts;
}

void FillEncodeTable(const Frequencies& frequencies, size_t context, EncodeTable& table) {
  uint64_t start = 0;
  for (size_t s = 0; s < frequencies.size(); ++s) {
    const uint64_t frequency = frequencies[s];
    if (frequency == 0) continue;
    const uint64_t reciprocal = std::min<uint64_t>((uint64_t{1} << 32) / frequency, UINT32_MAX);
    table[256 * context + s] = reciprocal << 32 | start << 16 | frequency;
    start += frequency;
  }
}

void FillDecodeTable(const Frequencies& frequencies, size_t context, DecodeTable table) {
  // Runs of whole vectors, as far as the table reaches: what is too much, the next symbol replaces.
  constexpr uint32_t kRun = 8;
  uint32_t* entry = &table[kScale * context];
  const uint32_t* const end = entry + kScale;
  for (uint32_t s = 0; s < frequencies.size(); ++s) {
    const uint32_t frequency = frequencies[s];
    if (frequency == 0) continue;
    const uint32_t common = (frequency - 1) << 8 | s;
    uint32_t i = 0;
    for (; i < frequency && entry + kRun <= end; i += kRun) {
      for (uint32_t k = 0; k < kRun; ++k) *entry++ = (i + k) << 20 | common;
    }
    entry -= i > frequency ? i - frequency : 0;
    for (; i < frequency; ++i) *entry++ = i << 20 | common;
  }
}

}  // namespace bitsnap::context_rans
