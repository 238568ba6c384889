// The loops of codec `adam` between indices and what is entropy-coded: an index minus its
// prediction is cut into half a symbol and
// low bits, which are noise and stored as bit planes. The halves of v and u make one symbol of 8
// bits: one entropy coder for both is twice as quick.
#pragma once

#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace bitsnap::adam {

// Arrays of indices and symbols hold a whole number of groups, however few elements a block has.
inline constexpr size_t kGroup = 64;

// The prediction of an index from the base's: round(base * slope / 2^15) + offset, modulo 2^16.
struct Prediction {
  int16_t slope = 0;
  int16_t offset = 0;
};

// Half symbols, of 4 bits: the pair is stored as it is; v and m are +0; the residual's high
// bits plus kMiddle.
inline constexpr uint8_t kEscapeSymbol = 0;
inline constexpr uint8_t kZeroSymbol = 1;
inline constexpr int kMiddle = 8;
inline constexpr int kMaxShift = 10;

// Where in a symbol a stream's half stands.
enum class Half { kHigh, kLow };

// Bytes of a bit plane.
inline size_t PlaneBytes(size_t elements) { return (elements + 7) / 8; }

// Cuts `indices`, of which the first `elements` count, into half symbols and `shift` bit planes,
// lowest first, one behind the other; bits after the last element are 0. The high half is written
// first and clears the other. An index whose residual fits no
// symbol becomes kEscape. Requires: `indices` within ±kMaxIndex, kEscape or kZero; `base` above
// kZero, or empty where slope is 0; |offset| <= kMaxIndex; sizes are the same multiple of
// kGroup, at least `elements`; 0 <= shift <= kMaxShift; planes.size() == shift *
// PlaneBytes(elements).
void Split(std::span<int16_t> indices, std::span<const int16_t> base, Prediction prediction,
           int shift, uint8_t zero_symbol, size_t elements, Half half, std::span<uint8_t> symbols,
           MutableBytes planes);

// Bit planes of a part of a block that begins with a group: from `first` on, plane after plane
// `stride` bytes apart.
struct PlanesView {
  Bytes first;
  size_t stride;
};

// The inverse of a part of it: kEscapeSymbol gives kEscape, kZeroSymbol kZero. Takes any symbols,
// planes and prediction; sums wrap modulo 2^16. Requires: as for Split, but of the planes, which
// hold PlaneBytes(elements) each.
void Join(std::span<const uint8_t> symbols, const PlanesView& planes, std::span<const int16_t> base,
          Prediction prediction, int shift, size_t elements, Half half, std::span<int16_t> indices);

}  // namespace bitsnap::adam
