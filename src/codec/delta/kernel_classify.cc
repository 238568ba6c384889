#include "codec/delta/kernel.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/delta/kernel_classify.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "codec/delta/kernel_words-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bitsnap::delta::HWY_NAMESPACE {

using ByteTag = hn::ScalableTag<uint8_t>;
using ByteVector = hn::VFromD<ByteTag>;

// Replaces each vector of bytes by what `map` makes of it.
template <class Map>
HWY_INLINE void MapBytes(MutableBytes bytes, const Map& map) {
  const ByteTag d;
  const auto step = [&](std::byte* p) HWY_ATTR {
    auto* at = reinterpret_cast<uint8_t*>(p);
    hn::StoreU(map(hn::LoadU(d, at)), d, at);
  };
  ForEachStep(
      bytes.size(), [&](size_t i) HWY_ATTR { step(&bytes[i]); },
      [&](size_t i, size_t count) HWY_ATTR {
        std::byte padded[kStep] = {};
        std::memcpy(padded, &bytes[i], count);
        step(padded);
        std::memcpy(&bytes[i], padded, count);
      });
}

// Bounds without gaps: what a byte is above them, or all of them. Requires: first > 0.
void ClassifyDense(uint8_t first, size_t count, MutableBytes bytes) {
  const ByteTag d;
  const auto below = hn::Set(d, static_cast<uint8_t>(first - 1));
  const auto most = hn::Set(d, static_cast<uint8_t>(count));
  MapBytes(bytes, [&](ByteVector v) HWY_ATTR { return hn::Min(hn::SaturatedSub(v, below), most); });
}

void ClassifySparse(std::span<const uint8_t> bounds, MutableBytes bytes) {
  const ByteTag d;
  MapBytes(bytes, [&](ByteVector v) HWY_ATTR {
    auto reached = hn::Zero(d);
    for (uint8_t bound : bounds) {
      // v >= bound, as a byte of ones, taken away.
      const auto limit = hn::Set(d, bound);
      reached = hn::Sub(reached, hn::VecFromMask(d, hn::Eq(hn::Max(v, limit), v)));
    }
    return reached;
  });
}

#if HWY_TARGET != HWY_SCALAR

// Bounds that lie close together, by a table of what reaches how many of them.
// Requires: bounds[0] > 0, and the last is less than kNear above it.
constexpr size_t kNear = 31;

void ClassifyNear(std::span<const uint8_t> bounds, MutableBytes bytes) {
  alignas(16) uint8_t reached[kNear + 1];
  for (size_t i = 0; i <= kNear; ++i) {
    // An entry is for bytes i - 1 above the first bound, or i = 0 below it.
    size_t count = 0;
    while (count < bounds.size() && bounds[count] < bounds[0] + i) ++count;
    reached[i] = static_cast<uint8_t>(count);
  }
  const ByteTag d;
  const auto low = hn::LoadDup128(d, reached), high = hn::LoadDup128(d, reached + 16);
  const auto below = hn::Set(d, static_cast<uint8_t>(bounds[0] - 1));
  const auto most = hn::Set(d, static_cast<uint8_t>(kNear));
  const auto half = hn::Set(d, uint8_t{16}), index_bits = hn::Set(d, uint8_t{15});
  MapBytes(bytes, [&](ByteVector v) HWY_ATTR {
    const auto entry = hn::Min(hn::SaturatedSub(v, below), most);
    const auto index = hn::And(entry, index_bits);
    const auto is_high = hn::Eq(hn::And(entry, half), half);
    return hn::IfThenElse(is_high, hn::TableLookupBytes(high, index),
                          hn::TableLookupBytes(low, index));
  });
}

#endif

void ClassifyAny(std::span<const uint8_t> bounds, MutableBytes bytes) {
  if (bounds.empty()) {
    std::ranges::fill(bytes, std::byte{0});
    return;
  }
  const size_t span = bounds.back() - bounds.front();
  if (span + 1 == bounds.size() && bounds[0] > 0) {
    ClassifyDense(bounds[0], bounds.size(), bytes);
#if HWY_TARGET != HWY_SCALAR
  } else if (span < kNear && bounds[0] > 0) {
    ClassifyNear(bounds, bytes);
#endif
  } else {
    ClassifySparse(bounds, bytes);
  }
}

}  // namespace bitsnap::delta::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitsnap::delta {

HWY_EXPORT(ClassifyAny);

void Classify(std::span<const uint8_t> bounds, MutableBytes exponents) {
  HWY_DYNAMIC_DISPATCH(ClassifyAny)(bounds, exponents);
}

}  // namespace bitsnap::delta
#endif  // HWY_ONCE
