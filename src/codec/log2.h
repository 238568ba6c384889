// Logarithms in integer arithmetic, for encoders' estimates: one that went by floating point could
// choose differently on another machine.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace bitsnap {

// Fractional bits of Log2's results.
inline constexpr int kLog2Fraction = 16;

namespace internal {

inline constexpr int kLog2TableBits = 8;

// log2(1 + i / 256), by repeated squaring.
inline constexpr auto kLog2Table = [] {
  std::array<uint32_t, 1 << kLog2TableBits> table{};
  for (uint64_t i = 0; i < table.size(); ++i) {
    uint64_t x = (i << (30 - kLog2TableBits)) + (uint64_t{1} << 30);
    for (int bit = 0; bit < kLog2Fraction; ++bit) {
      x = x * x >> 30;
      table[i] = table[i] << 1 | static_cast<uint32_t>(x >> 31);
      x >>= x >> 31;
    }
  }
  return table;
}();

}  // namespace internal

// Fixed-point log2. Requires: 0 < x < 2^24.
inline uint64_t Log2(uint32_t x) {
  constexpr int kTableBits = internal::kLog2TableBits;
  const int top = std::bit_width(x) - 1;
  const uint32_t mantissa = (x << (24 - top) >> (24 - kTableBits)) & ((1 << kTableBits) - 1);
  return (static_cast<uint64_t>(top) << kLog2Fraction) + internal::kLog2Table[mantissa];
}

}  // namespace bitsnap
