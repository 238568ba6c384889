// fp32 values as what they are beyond their 16-bit copies.
//
// All arithmetic is on the bits: they are mapped to integers that grow with the value, so that a
// residual is the number of floats between a value and its 16-bit copy.
#pragma once

#include <cstdint>

#include <bitsnap/dtype.h>

#include "base/bytes.h"

namespace bitsnap::residual {

// The 16 bits that an fp32 value has beyond a 16-bit copy of it.
inline constexpr unsigned kAllBits = 16;

// The bits kept of a residual take one byte plane or two.
inline constexpr size_t PlanesOf(unsigned kept) { return kept > 8 ? 2 : 1; }

// Divides each value's residual by 2^(16 - kept), rounds it down, and writes the quotient plus
// 2^(kept-1): the low bytes of all values, then, if kept > 8, their high bytes. exceptions[i] is 1
// where the quotient does not fit `kept` bits, or where bits are dropped and NaN or Inf is
// involved; else 0. Returns how many there are. Requires: copies are n bf16 or fp16 values, values
// n fp32 ones, planes PlanesOf(kept) * n bytes, exceptions n bytes; kept is 1 to 16.
size_t Split(DType copy_dtype, Bytes copies, Bytes values, unsigned kept, MutableBytes planes,
             MutableBytes exceptions);

// Each value's 16-bit copy plus the middle of what Split takes for the same quotient: with all 16
// bits, the value itself. `high` is ignored for kept <= 8.
void Join(DType copy_dtype, Bytes copies, const std::byte* low, const std::byte* high,
          unsigned kept, MutableBytes values);

}  // namespace bitsnap::residual
