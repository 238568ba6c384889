#include "pipeline/kernel_error.h"

#include <bit>
#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "pipeline/kernel_error.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// Plain loops, compiled once for each target: compilers turn them into vector code by themselves.
HWY_BEFORE_NAMESPACE();
namespace bitsnap::HWY_NAMESPACE {

template <class T>
HWY_INLINE T Load(const std::byte* bytes, size_t index) {
  T value;
  std::memcpy(&value, bytes + index * sizeof(value), sizeof(value));
  return value;
}

// Without branches: masks are all ones or none.
HWY_INLINE void Add(const std::byte* original, const std::byte* decoded, size_t i, size_t lane,
                    LaneSums& sums) {
  const auto magnitude = Load<uint32_t>(original, i) & 0x7fffffffu;
  const uint32_t finite = -uint32_t{magnitude < 0x7f800000u};
  const uint32_t counts = finite & -uint32_t{magnitude > 0};
  const float difference = std::fabs(Load<float>(original, i) - Load<float>(decoded, i));
  const auto error = std::bit_cast<float>(std::bit_cast<uint32_t>(difference) & finite);
  const auto divisor =
      std::bit_cast<float>((magnitude & counts) | (std::bit_cast<uint32_t>(1.0f) & ~counts));
  const float quotient = error / divisor;
  sums.values[lane] -= finite;
  sums.nonzero[lane] -= counts;
  sums.squared[lane] += double{error} * error;
  sums.relative[lane] += std::bit_cast<float>(std::bit_cast<uint32_t>(quotient) & counts);
  sums.largest[lane] = sums.largest[lane] < error ? error : sums.largest[lane];
}

void SumErrors(Bytes original, Bytes decoded, LaneSums& out) {
  const std::byte* HWY_RESTRICT x = original.data();
  const std::byte* HWY_RESTRICT y = decoded.data();
  const size_t count = original.size() / sizeof(float);
  LaneSums sums = out;
  size_t i = 0;
  for (; i + kErrorLanes <= count; i += kErrorLanes) {
    for (size_t lane = 0; lane < kErrorLanes; ++lane) Add(x, y, i + lane, lane, sums);
  }
  for (; i < count; ++i) Add(x, y, i, 0, sums);
  out = sums;
}

}  // namespace bitsnap::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitsnap {

HWY_EXPORT(SumErrors);

void SumErrors(Bytes original, Bytes decoded, LaneSums& sums) {
  HWY_DYNAMIC_DISPATCH(SumErrors)(original, decoded, sums);
}

}  // namespace bitsnap
#endif  // HWY_ONCE
