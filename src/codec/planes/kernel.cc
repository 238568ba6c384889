#include "codec/planes/kernel.h"

#include <bit>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/planes/kernel.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace bitsnap::planes::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// u8 lanes to unsigned T lanes.
template <class D, class V>
HWY_INLINE auto Widen(D d, V bytes) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return hn::PromoteTo(d, hn::PromoteTo(hn::Rebind<uint32_t, D>(), bytes));
  } else {
    return hn::PromoteTo(d, bytes);
  }
}

#if HWY_TARGET != HWY_SCALAR
// Stores the planes of `kBytes` vectors of words of `kBytes` bytes: the lower halves of all words
// make vectors of half as wide words, and so do the upper halves.
template <size_t kBytes, class V>
HWY_INLINE void StorePlanes(const V* v, std::byte* const* planes, size_t at) {
  if constexpr (kBytes == 1) {
    hn::StoreU(v[0], hn::DFromV<V>(), reinterpret_cast<uint8_t*>(planes[0]) + at);
  } else {
    constexpr size_t kHalf = kBytes / 2;
    const hn::RepartitionToNarrow<hn::DFromV<V>> d;
    hn::VFromD<decltype(d)> lower[kHalf], upper[kHalf];
    for (size_t i = 0; i < kHalf; ++i) {
      const auto first = hn::BitCast(d, v[2 * i]);
      const auto second = hn::BitCast(d, v[2 * i + 1]);
      lower[i] = hn::ConcatEven(d, second, first);
      upper[i] = hn::ConcatOdd(d, second, first);
    }
    StorePlanes<kHalf>(lower, planes, at);
    StorePlanes<kHalf>(upper, planes + kHalf, at);
  }
}

// Splits the words from word `at` on, N * sizeof(T) of them for vectors of N words.
template <class T, bool kRotate>
HWY_INLINE void SplitVectors(Bytes raw, const MutablePlanePointers& planes, size_t at) {
  const hn::ScalableTag<T> d;
  hn::VFromD<decltype(d)> v[sizeof(T)];
  for (size_t i = 0; i < sizeof(T); ++i) {
    v[i] = hn::LoadU(d, reinterpret_cast<const T*>(raw.data()) + at + i * hn::Lanes(d));
    if constexpr (kRotate) {
      v[i] = hn::Or(hn::Add(v[i], v[i]), hn::ShiftRight<8 * sizeof(T) - 1>(v[i]));
    }
  }
  StorePlanes<sizeof(T)>(v, planes.data(), at);
}
#endif

template <class T, bool kRotate>
void SplitWords(Bytes raw, const MutablePlanePointers& planes) {
  const size_t words = raw.size() / sizeof(T);
  size_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  constexpr size_t kStep = hn::MaxLanes(hn::ScalableTag<uint8_t>());
  for (; i + kStep <= words; i += kStep) SplitVectors<T, kRotate>(raw, planes, i);
#endif
  for (; i < words; ++i) {
    T word;
    std::memcpy(&word, &raw[i * sizeof(T)], sizeof(word));
    if constexpr (kRotate) word = std::rotl(word, 1);
    for (size_t k = 0; k < sizeof(T); ++k) {
      planes[k][i] = static_cast<std::byte>(word >> (8 * k));
    }
  }
}

template <class T, size_t k = sizeof(T) - 1, class D>
HWY_INLINE auto LoadPlanes(D d, const PlanePointers& planes, size_t i) {
  const hn::Rebind<uint8_t, D> d8;
  const auto byte = Widen(d, hn::LoadU(d8, reinterpret_cast<const uint8_t*>(planes[k]) + i));
  const auto placed = hn::ShiftLeft<8 * static_cast<int>(k)>(byte);
  if constexpr (k == 0) {
    return placed;
  } else {
    return hn::Or(placed, LoadPlanes<T, k - 1>(d, planes, i));
  }
}

template <class T, bool kRotated, size_t N>
HWY_INLINE void MergeVector(hn::Simd<T, N, 0> d, const PlanePointers& planes, size_t i,
                            std::byte* out) {
  auto v = LoadPlanes<T>(d, planes, i);
  if constexpr (kRotated) {
    v = hn::Or(hn::ShiftRight<1>(v), hn::ShiftLeft<8 * sizeof(T) - 1>(v));
  }
  hn::StoreU(v, d, reinterpret_cast<T*>(out) + i);
}

template <class T, bool kRotated>
void MergeWords(const PlanePointers& planes, MutableBytes out) {
  const hn::ScalableTag<T> d;
  const size_t words = out.size() / sizeof(T);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= words; i += hn::Lanes(d)) {
    MergeVector<T, kRotated>(d, planes, i, out.data());
  }
  for (; i < words; ++i) MergeVector<T, kRotated>(hn::CappedTag<T, 1>(), planes, i, out.data());
}

template <class T>
void SplitIf(bool rotate, Bytes raw, const MutablePlanePointers& planes) {
  rotate ? SplitWords<T, true>(raw, planes) : SplitWords<T, false>(raw, planes);
}

template <class T>
void MergeIf(bool rotated, const PlanePointers& planes, MutableBytes out) {
  rotated ? MergeWords<T, true>(planes, out) : MergeWords<T, false>(planes, out);
}

void SplitAny(size_t word_bytes, bool rotate, Bytes raw, const MutablePlanePointers& planes) {
  if (word_bytes == 2) return SplitIf<uint16_t>(rotate, raw, planes);
  if (word_bytes == 4) return SplitIf<uint32_t>(rotate, raw, planes);
  SplitIf<uint64_t>(rotate, raw, planes);
}

void MergeAny(size_t word_bytes, bool rotated, const PlanePointers& planes, MutableBytes out) {
  if (word_bytes == 2) return MergeIf<uint16_t>(rotated, planes, out);
  if (word_bytes == 4) return MergeIf<uint32_t>(rotated, planes, out);
  MergeIf<uint64_t>(rotated, planes, out);
}

}  // namespace bitsnap::planes::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitsnap::planes {

HWY_EXPORT(SplitAny);
HWY_EXPORT(MergeAny);

void Split(size_t word_bytes, bool rotate, Bytes raw, const MutablePlanePointers& planes) {
  if (word_bytes == 1) {
    std::memcpy(planes[0], raw.data(), raw.size());
  } else {
    HWY_DYNAMIC_DISPATCH(SplitAny)(word_bytes, rotate, raw, planes);
  }
}

void Merge(size_t word_bytes, bool rotated, const PlanePointers& planes, MutableBytes out) {
  if (word_bytes == 1) {
    std::memcpy(out.data(), planes[0], out.size());
  } else {
    HWY_DYNAMIC_DISPATCH(MergeAny)(word_bytes, rotated, planes, out);
  }
}

}  // namespace bitsnap::planes
#endif  // HWY_ONCE
