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

// log2(1 + t) = t * (c0 + c1 t + …) to 5e-6, for 1 + t in [sqrt(1/2), sqrt(2)).
inline constexpr float kLog2[] = {0x1.7154fcp+0f,  -0x1.714436p-1f, 0x1.eb2eecp-2f,
                                  -0x1.76a2c8p-2f, 0x1.4780c6p-2f,  -0x1.b1385ep-3f};
inline constexpr int32_t kSqrtHalfBits = 0x3f3504f3;

// 2^f = 1 + f * (c0 + c1 f + …) to 2e-5, for f in [0, 1).
inline constexpr float kExp2[] = {0x1.62e25ap-1f, 0x1.ecep-3f, 0x1.b57832p-5f, 0x1.a3132ep-7f};
inline constexpr float kMinExponent = -124;
inline constexpr float kMaxExponent = 126;

// A larger v gets no index: the encoder's products stay within the normal numbers.
inline constexpr float kMaxPlaced = 0x1p+120f;

// For the encoder, which may choose an index that is next to the nearest. log2(1 + t) as kLog2
// does, to 1e-4; 2^x = 1 + x * (c0 + c1 x), to x^3 / 18.
inline constexpr float kRoughLog2[] = {0x1.71173ap+0f, -0x1.7326a4p-1f, 0x1.08f6fep-1f,
                                       -0x1.518a78p-2f};
inline constexpr float kRoughExp2[] = {0x1.62e430p-1f, 0x1.ebfbe0p-3f};

template <size_t N>
float Log2With(const float (&coefficients)[N], float x) {
  const auto bits = std::bit_cast<int32_t>(x);
  const int32_t exponent = (bits - kSqrtHalfBits) >> 23;
  const float t = std::bit_cast<float>(bits - (exponent << 23)) - 1.0f;
  float p = coefficients[N - 1];
  for (size_t k = N - 1; k-- > 0;) p = p * t + coefficients[k];
  return static_cast<float>(exponent) + t * p;
}

// Requires: kMinNormal <= x < kMaxNormal.
inline float Log2(float x) { return Log2With(kLog2, x); }
inline float RoughLog2(float x) { return Log2With(kRoughLog2, x); }

inline float RoughExp2(float x) { return 1.0f + x * (x * kRoughExp2[1] + kRoughExp2[0]); }

// x is moved into [kMinExponent, kMaxExponent] first. Requires: x is not NaN.
inline float Exp2(float x) {
  x = x < kMinExponent ? kMinExponent : x;
  x = x > kMaxExponent ? kMaxExponent : x;
  const float whole = std::floor(x);
  const float f = x - whole;
  float p = kExp2[3];
  for (int k = 2; k >= 0; --k) p = p * f + kExp2[k];
  const float power = 1.0f + f * p;
  return std::bit_cast<float>(std::bit_cast<int32_t>(power) + (static_cast<int32_t>(whole) << 23));
}

// What LogV adds to the bits of a float, before it drops the lower ones, to be right on average
// and rounded.
inline constexpr int32_t kLogBias = 0x085600 - 0x3f800000;

// Smaller |m| decode to +0. One exponent above the denormals, where CPUs begin to differ.
inline constexpr float kFlushBelow = 0x1p-125f;

// An m other than 0 counts as a place at least this far from 0 when errors are summed: its square
// is a normal number, so that an update which is too small to be seen is an error of 100 %, not of
// 0, and beside places that have an index it is nothing.
inline constexpr float kLeastPlace = 0x1p-60f;
// m^ below this counts as flushed: the sums know the denominator to 1.2 % only.
inline constexpr float kMayFlushBelow = kFlushBelow * 1.0625f;

// Interleaved sums of MeasureError: as many as the widest vector has lanes.
inline constexpr size_t kSums = 16;

}  // namespace bitsnap::adam
