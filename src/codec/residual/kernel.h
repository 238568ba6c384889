// fp32 values as what they are beyond their 16-bit copies.
//
// All arithmetic is on the bits: `Ordered` maps a float's bits to an integer that grows with the
// value, so that a residual is the number of floats between a value and its 16-bit copy.
#pragma once

#include <cstdint>
#include <span>

#include <bitsnap/dtype.h>

#include "base/bytes.h"

namespace bitsnap::residual {

// Its own inverse on the bits of a float.
inline uint32_t Ordered(uint32_t bits) {
  return bits ^ (static_cast<uint32_t>(static_cast<int32_t>(bits) >> 31) >> 1);
}

// Writes the fp32 bits of 16-bit weights. Requires: dtype is kBF16 or kF16, weights.size() is twice
// bits.size().
void Widen(DType dtype, Bytes weights, std::span<uint32_t> bits);

// q[i] is the residual of values[i] to the float `widened[i]`, divided by 2^dropped and rounded
// down. Returns how many of them do not fit: their q is outside [-2^(kept-1), 2^(kept-1)), kept
// being 16 - dropped, or NaN or Inf is involved and bits are dropped; their q is 0. Requires:
// dropped < 16; all three of one length (values in bytes).
size_t Subtract(Bytes values, std::span<const uint32_t> widened, unsigned dropped,
                std::span<int32_t> q);

// values[i] from widened[i] and q[i]: the middle of what Subtract took for the same. With dropped
// == 0 every bit is back.
void Add(std::span<const uint32_t> widened, std::span<const int32_t> q, unsigned dropped,
         MutableBytes values);

// Whether Subtract took a value for an exception.
bool Fits(uint32_t value, uint32_t widened, unsigned dropped);

// kept <= 8: planes[i] = q[i] + 2^(kept-1). More: the low bytes of that, then the high bytes.
// Requires: planes.size() is q.size() or twice that.
void ToPlanes(std::span<const int32_t> q, unsigned kept, MutableBytes planes);

// The inverse. `high` is null for kept <= 8.
void FromPlanes(const std::byte* low, const std::byte* high, unsigned kept, std::span<int32_t> q);

}  // namespace bitsnap::residual
