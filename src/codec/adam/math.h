// Logarithm and power of two by additions and multiplications alone, so that every CPU computes the
// same bits: libm's differ from one machine to the next. kernel.cc does the same in vectors, step
// by step.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace bitsnap::adam {

// The least and the bound of what Log2 takes and Exp2 gives, a little inside the normal numbers.
inline constexpr float kMinNormal = 0x1p-124f;
inline constexpr float kMaxNormal = 0x1p+126f;

// log2(1 + t) = t * (c0 + c1 t + …) to 2e-6, for 1 + t in [sqrt(1/2), sqrt(2)).
inline constexpr float kLog2[] = {0x1.71548cp+0f, -0x1.71571cp-1f, 0x1.ec2f2cp-2f, -0x1.6fce2ap-2f,
                                  0x1.2e2eb4p-2f, -0x1.157aeep-2f, 0x1.68c932p-3f};
inline constexpr int32_t kSqrtHalfBits = 0x3f3504f3;

// 2^f = 1 + f * (c0 + c1 f + …) to 5e-7, for f in [0, 1).
inline constexpr float kExp2[] = {0x1.62e43ep-1f, 0x1.ebf16ap-3f, 0x1.c7f812p-5f, 0x1.2d46aap-7f,
                                  0x1.d57d32p-10f};
inline constexpr float kMinExponent = -124;
inline constexpr float kMaxExponent = 126;

// Requires: kMinNormal <= x < kMaxNormal.
inline float Log2(float x) {
  const auto bits = std::bit_cast<int32_t>(x);
  const int32_t exponent = (bits - kSqrtHalfBits) >> 23;
  const float t = std::bit_cast<float>(bits - (exponent << 23)) - 1.0f;
  float p = kLog2[6];
  for (int k = 5; k >= 0; --k) p = p * t + kLog2[k];
  return static_cast<float>(exponent) + t * p;
}

// x is moved into [kMinExponent, kMaxExponent] first. Requires: x is not NaN.
inline float Exp2(float x) {
  x = x < kMinExponent ? kMinExponent : x;
  x = x > kMaxExponent ? kMaxExponent : x;
  const float whole = std::floor(x);
  const float f = x - whole;
  float p = kExp2[4];
  for (int k = 3; k >= 0; --k) p = p * f + kExp2[k];
  const float power = 1.0f + f * p;
  return std::bit_cast<float>(std::bit_cast<int32_t>(power) + (static_cast<int32_t>(whole) << 23));
}

// Smaller |m| decode to +0. One exponent above the denormals, where CPUs begin to differ.
inline constexpr float kFlushBelow = 0x1p-125f;

// Interleaved sums of MeasureError: as many as the widest vector has lanes.
inline constexpr size_t kSums = 16;

}  // namespace bitsnap::adam
