#include "codec/entropy/estimate.h"

#include <cstring>

#include "codec/log2.h"

namespace bitsnap {
namespace {

constexpr size_t kRun = 64;  // consecutive bytes that are sampled together
constexpr size_t kRuns = 256;

// Several tables, because increments of one counter wait for each other.
using Tables = std::array<Counts, 4>;

void Count(Bytes run, Tables& tables) {
  size_t i = 0;
  for (; i + 8 <= run.size(); i += 8) {
    uint64_t bytes;
    std::memcpy(&bytes, &run[i], sizeof(bytes));
    for (size_t k = 0; k < 8; ++k) ++tables[k % 4][bytes >> (8 * k) & 0xff];
  }
  for (; i < run.size(); ++i) ++tables[0][std::to_integer<uint8_t>(run[i])];
}

Counts Sum(const Tables& tables) {
  Counts sum;
  for (size_t s = 0; s < sum.size(); ++s) {
    sum[s] = tables[0][s] + tables[1][s] + tables[2][s] + tables[3][s];
  }
  return sum;
}

}  // namespace

Counts CountSymbols(Bytes plane) {
  Tables tables{};
  Count(plane, tables);
  return Sum(tables);
}

Counts SampleSymbols(Bytes plane) {
  if (plane.size() <= kRun * kRuns) return CountSymbols(plane);
  Tables tables{};
  const size_t stride = plane.size() / kRuns;
  for (size_t r = 0; r < kRuns; ++r) Count(plane.subspan(r * stride, kRun), tables);
  return Sum(tables);
}

size_t EstimateCodedBytes(const Counts& sample, size_t symbols) {
  constexpr size_t kStateBytes = 32 * 4;  // rANS states at the end of the stream
  constexpr size_t kTableBytesPerSymbol = 2;
  // A sample looks less random than what it is drawn from, by about half a nat a distinct symbol
  // over the whole sample (the Miller-Madow correction).
  constexpr uint64_t kBias = 47274;  // 0.5 / ln 2

  uint64_t bits = 0;
  uint32_t sampled = 0;
  size_t distinct = 0;
  for (uint32_t count : sample) {
    if (count == 0) continue;
    bits -= count * Log2(count);  // wraps; made good below
    sampled += count;
    ++distinct;
  }
  bits += sampled * Log2(sampled) + kBias * (distinct - 1);
  const uint64_t bits_per_symbol = bits / sampled;
  const size_t payload = symbols * bits_per_symbol >> (kLog2Fraction + 3);
  return payload + kStateBytes + kTableBytesPerSymbol * distinct;
}

}  // namespace bitsnap
