#include "codec/residual/kernel.h"

#include <bit>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/residual/kernel.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// Plain loops, compiled once for each target: compilers turn them into vector code by themselves.
HWY_BEFORE_NAMESPACE();
namespace bitsnap::residual::HWY_NAMESPACE {

template <class T>
HWY_INLINE T Load(const std::byte* bytes, size_t index) {
  T value;
  std::memcpy(&value, bytes + index * sizeof(T), sizeof(T));
  return value;
}

// Its own inverse.
HWY_INLINE uint32_t Ordered(uint32_t bits) {
  return bits ^ (static_cast<uint32_t>(static_cast<int32_t>(bits) >> 31) >> 1);
}

struct Bfloat16 {
  static HWY_INLINE uint32_t Widen(uint16_t bits) { return static_cast<uint32_t>(bits) << 16; }
};

struct Float16 {
  // By integers alone: a thread that flushes denormals to zero must get the same bits.
  static HWY_INLINE uint32_t Widen(uint16_t half) {
    const uint32_t sign = (half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1f;
    const uint32_t mantissa = half & 0x3ffu;
    if (exponent == 31) return sign | 0x7f800000u | mantissa << 13;
    if (exponent != 0) return sign | (exponent + 112) << 23 | mantissa << 13;
    if (mantissa == 0) return sign;
    const uint32_t shift = static_cast<uint32_t>(std::countl_zero(mantissa)) - 21;
    return sign | (113 - shift) << 23 | (mantissa << shift & 0x3ffu) << 13;
  }
};

HWY_INLINE uint32_t Middle(uint32_t ordered_copy, int32_t quotient, unsigned dropped) {
  const uint32_t middle = (uint32_t{1} << dropped) >> 1;
  return Ordered(ordered_copy + (static_cast<uint32_t>(quotient) << dropped) + middle);
}

HWY_INLINE uint32_t IsFinite(uint32_t bits) { return (bits & 0x7f800000u) != 0x7f800000u; }

template <class Copy, bool kHigh>
size_t SplitAs(const std::byte* HWY_RESTRICT copies, const std::byte* HWY_RESTRICT values,
               size_t count, unsigned kept, std::byte* HWY_RESTRICT planes,
               std::byte* HWY_RESTRICT exceptions) {
  const unsigned dropped = kAllBits - kept;
  const int32_t bias = 1 << (kept - 1);
  uint32_t total = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto value = Load<uint32_t>(values, i);
    const uint32_t copy = Ordered(Copy::Widen(Load<uint16_t>(copies, i)));
    const int32_t quotient = static_cast<int32_t>(Ordered(value) - copy) >> dropped;
    // As one comparison: -bias <= quotient < bias.
    const uint32_t biased = static_cast<uint32_t>(quotient) + static_cast<uint32_t>(bias);
    // Integers, so that nothing branches.
    const uint32_t in_range = biased < 2 * static_cast<uint32_t>(bias);
    const uint32_t finite = IsFinite(value) & IsFinite(Middle(copy, quotient, dropped));
    const uint32_t fits = in_range & (finite | static_cast<uint32_t>(dropped == 0));
    const uint32_t exception = fits ^ 1;
    planes[i] = static_cast<std::byte>(biased);
    if constexpr (kHigh) planes[count + i] = static_cast<std::byte>(biased >> 8);
    exceptions[i] = static_cast<std::byte>(exception);
    total += exception;
  }
  return total;
}

template <class Copy, bool kHigh>
void JoinAs(const std::byte* HWY_RESTRICT copies, const std::byte* HWY_RESTRICT low,
            const std::byte* HWY_RESTRICT high, size_t count, unsigned kept,
            std::byte* HWY_RESTRICT values) {
  const unsigned dropped = kAllBits - kept;
  const int32_t bias = 1 << (kept - 1);
  for (size_t i = 0; i < count; ++i) {
    auto biased = static_cast<int32_t>(low[i]);
    if constexpr (kHigh) biased |= static_cast<int32_t>(high[i]) << 8;
    const uint32_t copy = Ordered(Copy::Widen(Load<uint16_t>(copies, i)));
    const uint32_t value = Middle(copy, biased - bias, dropped);
    std::memcpy(values + i * sizeof(value), &value, sizeof(value));
  }
}

template <class Copy>
size_t SplitOf(const std::byte* copies, const std::byte* values, size_t count, unsigned kept,
               std::byte* planes, std::byte* exceptions) {
  const auto split = kept > 8 ? SplitAs<Copy, true> : SplitAs<Copy, false>;
  return split(copies, values, count, kept, planes, exceptions);
}

template <class Copy>
void JoinOf(const std::byte* copies, const std::byte* low, const std::byte* high, size_t count,
            unsigned kept, std::byte* values) {
  const auto join = kept > 8 ? JoinAs<Copy, true> : JoinAs<Copy, false>;
  join(copies, low, high, count, kept, values);
}

size_t SplitAny(DType dtype, const std::byte* copies, const std::byte* values, size_t count,
                unsigned kept, std::byte* planes, std::byte* exceptions) {
  const auto split = dtype == DType::kBF16 ? SplitOf<Bfloat16> : SplitOf<Float16>;
  return split(copies, values, count, kept, planes, exceptions);
}

void JoinAny(DType dtype, const std::byte* copies, const std::byte* low, const std::byte* high,
             size_t count, unsigned kept, std::byte* values) {
  const auto join = dtype == DType::kBF16 ? JoinOf<Bfloat16> : JoinOf<Float16>;
  join(copies, low, high, count, kept, values);
}

}  // namespace bitsnap::residual::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitsnap::residual {

HWY_EXPORT(SplitAny);
HWY_EXPORT(JoinAny);

size_t Split(DType copy_dtype, Bytes copies, Bytes values, unsigned kept, MutableBytes planes,
             MutableBytes exceptions) {
  return HWY_DYNAMIC_DISPATCH(SplitAny)(copy_dtype, copies.data(), values.data(), exceptions.size(),
                                        kept, planes.data(), exceptions.data());
}

void Join(DType copy_dtype, Bytes copies, const std::byte* low, const std::byte* high,
          unsigned kept, MutableBytes values) {
  HWY_DYNAMIC_DISPATCH(JoinAny)
  (copy_dtype, copies.data(), low, high, values.size() / sizeof(uint32_t), kept, values.data());
}

}  // namespace bitsnap::residual
#endif  // HWY_ONCE
