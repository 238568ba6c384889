// What the kernels of this folder share, for one SIMD target at a time: words in vectors.
// Requires: hwy/highway.h is included.

#if defined(BITSNAP_DELTA_KERNEL_WORDS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef BITSNAP_DELTA_KERNEL_WORDS_INL_H
#undef BITSNAP_DELTA_KERNEL_WORDS_INL_H
#else
#define BITSNAP_DELTA_KERNEL_WORDS_INL_H
#endif

#include <cstring>

#include "codec/delta/kernel.h"
#include "codec/delta/symbols.h"

HWY_BEFORE_NAMESPACE();
namespace bitsnap::delta::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class L>
using DOf = hn::ScalableTag<typename L::Word>;
template <class L>
using VOf = hn::VFromD<DOf<L>>;

// Words that the kernels take at once: a vector of bytes.
constexpr size_t kStep = hn::MaxLanes(hn::ScalableTag<uint8_t>());
static_assert(kGroup % kStep == 0);

template <class T>
T WordAt(const std::byte* p, size_t i) {
  T word;
  std::memcpy(&word, p + i * sizeof(T), sizeof(T));
  return word;
}

#if HWY_TARGET != HWY_SCALAR

template <class L>
HWY_INLINE VOf<L> LoadWords(const std::byte* p) {
  return hn::LoadU(DOf<L>(), reinterpret_cast<const typename L::Word*>(p));
}

template <class V>
HWY_INLINE V Negative(V v) {  // all ones where the highest bit is set
  const hn::DFromV<V> d;
  const hn::RebindToSigned<decltype(d)> ds;
  return hn::BitCast(d, hn::ShiftRight<8 * sizeof(hn::TFromV<V>) - 1>(hn::BitCast(ds, v)));
}

template <class V>
HWY_INLINE V Ordered(V word) {
  return hn::Xor(word, hn::ShiftRight<1>(Negative(word)));
}

// By how much each word is above its base, as two's complement.
template <class L>
HWY_INLINE VOf<L> StepsOf(VOf<L> base, VOf<L> raw) {
  const auto sign = hn::And(base, hn::Set(DOf<L>(), L::kSign));
  return hn::Sub(Ordered(hn::Xor(raw, sign)), hn::Xor(base, sign));
}

// The low bytes of kStep words.
template <class V>
HWY_INLINE auto LowBytes(const V* v) {
  if constexpr (sizeof(hn::TFromV<V>) == 1) {
    return v[0];
  } else {
    const hn::RepartitionToNarrow<hn::DFromV<V>> d;
    hn::VFromD<decltype(d)> low[sizeof(hn::TFromV<V>) / 2];
    for (size_t i = 0; i < sizeof(hn::TFromV<V>) / 2; ++i) {
      low[i] = hn::ConcatEven(d, hn::BitCast(d, v[2 * i + 1]), hn::BitCast(d, v[2 * i]));
    }
    return LowBytes(low);
  }
}

// Bytes to words.
template <class D>
HWY_INLINE hn::VFromD<D> Widen(D d, const std::byte* p) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<uint8_t, D>(), reinterpret_cast<const uint8_t*>(p)));
}

#endif

// Calls `vectors(i)` for each i at which kStep words from i on remain, then `rest(i, count)`.
template <class Vectors, class Rest>
HWY_INLINE void ForEachStep(size_t words, const Vectors& vectors, const Rest& rest) {
  size_t i = 0;
  for (; i + kStep <= words; i += kStep) vectors(i);
  if (i < words) rest(i, words - i);
}

}  // namespace bitsnap::delta::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
