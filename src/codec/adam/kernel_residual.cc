#include "codec/adam/kernel_residual.h"

#include <cstring>

#include "codec/adam/kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/adam/kernel_residual.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace bitsnap::adam::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<int16_t>;
using V = hn::VFromD<D>;

HWY_INLINE V Predict(const int16_t* base, size_t i, Prediction prediction) {
  const D d;
  const V offset = hn::Set(d, prediction.offset);
  if (base == nullptr) return offset;
  const V slope = hn::Set(d, prediction.slope);
  return hn::Add(hn::MulFixedPoint15(hn::LoadU(d, base + i), slope), offset);
}

// A group's part of a plane; the last one may be shorter than 8 bytes.
HWY_INLINE size_t GroupBytes(size_t group, size_t plane_bytes) {
  return HWY_MIN(plane_bytes - group * 8, size_t{8});
}

void Split(std::span<int16_t> indices, std::span<const int16_t> base, Prediction prediction,
           int shift, uint8_t zero_symbol, size_t elements, Half half, std::span<uint8_t> symbols,
           MutableBytes planes) {
  const D d;
  const hn::Rebind<uint8_t, D> d8;
  const int16_t* from = prediction.slope == 0 ? nullptr : base.data();
  const size_t plane_bytes = PlaneBytes(elements);
  for (size_t group = 0; group * kGroup < elements; ++group) {
    uint64_t bits[kMaxShift] = {};
    for (size_t lane = 0; lane < kGroup; lane += hn::Lanes(d)) {
      const size_t i = group * kGroup + lane;
      const V k = hn::LoadU(d, indices.data() + i);
      const V residual = hn::Sub(k, Predict(from, i, prediction));
      const V high = hn::ShiftRightSame(residual, shift);
      const auto special = hn::Lt(k, hn::Set(d, int16_t{kZero + 1}));
      const auto fits = hn::And(hn::Gt(high, hn::Set(d, int16_t{kZeroSymbol - kMiddle})),
                                hn::Lt(high, hn::Set(d, int16_t{16 - kMiddle})));
      const V ordinary = hn::IfThenElseZero(fits, hn::Add(high, hn::Set(d, int16_t{kMiddle})));
      const auto zero = hn::Eq(k, hn::Set(d, kZero));
      const V symbol = hn::IfThenElse(zero, hn::Set(d, int16_t{zero_symbol}),
                                      hn::IfThenElseZero(hn::Not(special), ordinary));
      const auto byte = hn::DemoteTo(
          d8, half == Half::kHigh
                  ? hn::ShiftLeft<4>(symbol)
                  : hn::Or(symbol, hn::PromoteTo(d, hn::LoadU(d8, symbols.data() + i))));
      hn::StoreU(byte, d8, symbols.data() + i);
      hn::StoreU(hn::IfThenElse(hn::Or(special, fits), k, hn::Set(d, kEscape)), d,
                 indices.data() + i);
      for (int b = 0; b < shift; ++b) {
        uint64_t part = 0;
        const V bit = hn::Set(d, static_cast<int16_t>(1 << b));
        hn::StoreMaskBits(d, hn::TestBit(residual, bit), reinterpret_cast<uint8_t*>(&part));
        bits[b] |= part << lane;
      }
    }
    const size_t left = elements - group * kGroup;
    const uint64_t counted = left < kGroup ? (uint64_t{1} << left) - 1 : ~uint64_t{0};
    for (int b = 0; b < shift; ++b) {
      bits[b] &= counted;
      std::memcpy(planes.data() + b * plane_bytes + group * 8, &bits[b],
                  GroupBytes(group, plane_bytes));
    }
  }
}

void Join(std::span<const uint8_t> symbols, const PlanesView& planes, std::span<const int16_t> base,
          Prediction prediction, int shift, size_t elements, Half half,
          std::span<int16_t> indices) {
  const D d;
  const hn::Rebind<uint8_t, D> d8;
  const int16_t* from = prediction.slope == 0 ? nullptr : base.data();
  const size_t plane_bytes = PlaneBytes(elements);
  for (size_t group = 0; group * kGroup < elements; ++group) {
    uint64_t bits[kMaxShift] = {};
    for (int b = 0; b < shift; ++b) {
      std::memcpy(&bits[b], planes.first.data() + b * planes.stride + group * 8,
                  GroupBytes(group, plane_bytes));
    }
    for (size_t lane = 0; lane < kGroup; lane += hn::Lanes(d)) {
      const size_t i = group * kGroup + lane;
      const V both = hn::PromoteTo(d, hn::LoadU(d8, symbols.data() + i));
      const V symbol =
          half == Half::kHigh ? hn::ShiftRight<4>(both) : hn::And(both, hn::Set(d, int16_t{15}));
      V residual = hn::ShiftLeftSame(hn::Sub(symbol, hn::Set(d, int16_t{kMiddle})), shift);
      for (int b = 0; b < shift; ++b) {
        const uint64_t part = bits[b] >> lane;
        const auto mask = hn::LoadMaskBits(d, reinterpret_cast<const uint8_t*>(&part));
        residual =
            hn::Or(residual, hn::IfThenElseZero(mask, hn::Set(d, static_cast<int16_t>(1 << b))));
      }
      const auto special = hn::Lt(symbol, hn::Set(d, int16_t{kZeroSymbol + 1}));
      const V k = hn::Add(residual, Predict(from, i, prediction));
      hn::StoreU(hn::IfThenElse(special, hn::Add(symbol, hn::Set(d, kEscape)), k), d,
                 indices.data() + i);
    }
  }
}

}  // namespace bitsnap::adam::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitsnap::adam {

HWY_EXPORT(Split);
HWY_EXPORT(Join);

void Split(std::span<int16_t> indices, std::span<const int16_t> base, Prediction prediction,
           int shift, uint8_t zero_symbol, size_t elements, Half half, std::span<uint8_t> symbols,
           MutableBytes planes) {
  HWY_DYNAMIC_DISPATCH(Split)
  (indices, base, prediction, shift, zero_symbol, elements, half, symbols, planes);
}

void Join(std::span<const uint8_t> symbols, const PlanesView& planes, std::span<const int16_t> base,
          Prediction prediction, int shift, size_t elements, Half half,
          std::span<int16_t> indices) {
  HWY_DYNAMIC_DISPATCH(Join)(symbols, planes, base, prediction, shift, elements, half, indices);
}

}  // namespace bitsnap::adam
#endif  // HWY_ONCE
