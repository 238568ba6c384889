#include "codec/delta/kernel.h"

#include <cstring>

#include "codec/delta/symbols.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/delta/kernel_extras.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "codec/delta/kernel_words-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bitsnap::delta::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

template <class L>
void StepExtras(const std::byte* base, const std::byte* raw, const std::byte* symbols,
                BitWriter& out) {
  using T = typename L::Word;
  const uint32_t bucket = (std::to_integer<uint32_t>(*symbols) + 1) / 2;
  const T size = StepFrom<T>(WordAt<T>(base, 0), WordAt<T>(raw, 0)).size;
  out.Write(size - L::First(bucket), L::ExtraBits(bucket));
}

template <class L>
void StepRestore(const std::byte* base, const std::byte* symbols, BitReader& extras,
                 std::byte* out) {
  using T = typename L::Word;
  const auto symbol = std::to_integer<uint32_t>(*symbols);
  const uint32_t bucket = (symbol + 1) / 2;
  const T size = static_cast<T>(L::First(bucket) + extras.Read(L::ExtraBits(bucket)));
  const T word = ApplyStep<T>(WordAt<T>(base, 0), {size, symbol % 2 != 0});
  std::memcpy(out, &word, sizeof(T));
}

#else

// Extra bits go to and from the stream in numbers of 64 bits, each with those of several words: as
// many as fit there, since a word has fewer extra bits than bits.
template <class L>
constexpr size_t kNumbers = kStep * sizeof(typename L::Word) / sizeof(uint64_t);

template <class V>
using Wide = hn::VFromD<hn::RepartitionToWide<hn::DFromV<V> > >;

// The even lanes, each zero-extended to the room of two; Odd likewise.
template <class V>
HWY_INLINE Wide<V> Even(V v) {
  const hn::RepartitionToWide<hn::DFromV<V> > d;
  return hn::And(hn::BitCast(d, v), hn::Set(d, hwy::LimitsMax<hn::TFromV<V> >()));
}
template <class V>
HWY_INLINE Wide<V> Odd(V v) {
  const hn::RepartitionToWide<hn::DFromV<V> > d;
  return hn::ShiftRight<8 * sizeof(hn::TFromV<V>)>(hn::BitCast(d, v));
}

// Each lane shifted left. In lanes of 32 bits at least: not every target of Highway 1.0.3 can
// shift narrower ones.
template <class V>
HWY_INLINE V ShiftLeftBy(V v, V bits) {
  if constexpr (sizeof(hn::TFromV<V>) == 2) {
    const hn::DFromV<V> d;
    const auto even = hn::BitCast(d, hn::Shl(Even(v), Even(bits)));
    const auto odd = hn::Shl(Odd(v), Odd(bits));
    return hn::OddEven(hn::BitCast(d, hn::ShiftLeft<16>(odd)), even);
  } else {
    return hn::Shl(v, bits);
  }
}

// The lowest `bits` of each lane. Requires: fewer than a lane has.
template <class V>
HWY_INLINE V LowBits(V v, V bits) {
  return hn::AndNot(ShiftLeftBy(hn::Set(hn::DFromV<V>(), hwy::LimitsMax<hn::TFromV<V> >()), bits),
                    v);
}

template <class V>
HWY_INLINE auto SumWidths(V widths) {
  if constexpr (sizeof(hn::TFromV<V>) == 8) {
    return widths;
  } else {
    return SumWidths(hn::Add(Even(widths), Odd(widths)));
  }
}

// Numbers of `widths` bits back to back, the first lowest.
template <class V>
HWY_INLINE auto Join(V numbers, V widths) {
  if constexpr (sizeof(hn::TFromV<V>) == 8) {
    return numbers;
  } else {
    const auto joined = hn::Or(Even(numbers), hn::Shl(Odd(numbers), Even(widths)));
    return Join(joined, hn::Add(Even(widths), Odd(widths)));
  }
}

// The inverse of Join.
template <class V>
HWY_INLINE V Split(hn::VFromD<hn::Repartition<uint64_t, hn::DFromV<V> > > joined, V widths) {
  const hn::DFromV<V> d;
  if constexpr (sizeof(hn::TFromV<V>) == 8) {
    return joined;
  } else {
    const auto first = Even(widths);
    const auto pairs = Split(joined, hn::Add(first, Odd(widths)));
    const auto odd = hn::ShiftLeft<8 * sizeof(hn::TFromV<V>)>(hn::Shr(pairs, first));
    return hn::BitCast(d, hn::Or(LowBits(pairs, first), odd));
  }
}

// How many extra bits each of kStep symbols has, into `widths`. Returns whether any has some.
template <class L>
HWY_INLINE bool Widths(const std::byte* symbols, std::byte* widths) {
  const hn::ScalableTag<uint8_t> d;
  const auto one = hn::Set(d, uint8_t{1});
  const auto symbol = hn::LoadU(d, reinterpret_cast<const uint8_t*>(symbols));
  const auto width = hn::SaturatedSub(hn::ShiftRight<L::kSplitBits + 1>(hn::Add(symbol, one)), one);
  hn::Store(width, d, reinterpret_cast<uint8_t*>(widths));
  return !hn::AllTrue(d, hn::Eq(width, hn::Zero(d)));
}

template <class L>
HWY_INLINE void StepExtras(const std::byte* base, const std::byte* raw, const std::byte* symbols,
                           BitWriter& out) {
  const DOf<L> d;
  const hn::Repartition<uint64_t, DOf<L> > d64;
  alignas(64) std::byte width_bytes[kStep];
  if (!Widths<L>(symbols, width_bytes)) return;
  alignas(64) uint64_t numbers[kNumbers<L>], widths[kNumbers<L>];
  for (size_t k = 0; k < sizeof(typename L::Word); ++k) {
    const auto step = StepsOf<L>(LoadWords<L>(base + k * kStep), LoadWords<L>(raw + k * kStep));
    const auto back = Negative(step);
    const auto size = hn::Sub(hn::Xor(step, back), back);
    const auto width = Widen(d, width_bytes + k * hn::MaxLanes(d));
    hn::Store(Join(LowBits(size, width), width), d64, numbers + k * hn::MaxLanes(d64));
    hn::Store(SumWidths(width), d64, widths + k * hn::MaxLanes(d64));
  }
  out.WriteEach(numbers, widths, kNumbers<L>);
}

template <class L>
HWY_INLINE VOf<L> Applied(VOf<L> base, VOf<L> size, VOf<L> back) {
  const auto sign = hn::And(base, hn::Set(DOf<L>(), L::kSign));
  const auto step = hn::Sub(hn::Xor(size, back), back);
  return hn::Xor(Ordered(hn::Add(hn::Xor(base, sign), step)), sign);
}

// kStep words.
template <class L>
HWY_INLINE void StepRestore(const std::byte* base, const std::byte* symbols, BitReader& extras,
                            std::byte* out) {
  using T = typename L::Word;
  const DOf<L> d;
  const hn::Repartition<uint64_t, DOf<L> > d64;
  constexpr size_t kLanes = hn::MaxLanes(DOf<L>());
  const auto one = hn::Set(d, T{1});
  alignas(64) std::byte width_bytes[kStep];
  VOf<L> size[sizeof(T)], back[sizeof(T)];
  for (size_t k = 0; k < sizeof(T); ++k) {
    const auto symbol = Widen(d, symbols + k * kLanes);
    back[k] = hn::Sub(hn::Zero(d), hn::And(symbol, one));
    size[k] = hn::ShiftRight<1>(hn::Add(symbol, one));
  }
  if (Widths<L>(symbols, width_bytes)) {
    alignas(64) uint64_t numbers[kNumbers<L>], widths[kNumbers<L>];
    VOf<L> width[sizeof(T)];
    for (size_t k = 0; k < sizeof(T); ++k) {
      width[k] = Widen(d, width_bytes + k * kLanes);
      hn::Store(SumWidths(width[k]), d64, widths + k * hn::MaxLanes(d64));
    }
    extras.ReadEach(widths, kNumbers<L>, numbers);
    for (size_t k = 0; k < sizeof(T); ++k) {
      const auto extra = Split(hn::Load(d64, numbers + k * hn::MaxLanes(d64)), width[k]);
      const auto first = hn::Sub(size[k], hn::ShiftLeft<L::kSplitBits>(width[k]));
      size[k] = hn::Add(ShiftLeftBy(first, width[k]), extra);
    }
  }
  for (size_t k = 0; k < sizeof(T); ++k) {
    hn::StoreU(Applied<L>(LoadWords<L>(base + k * kStep), size[k], back[k]), d,
               reinterpret_cast<T*>(out + k * kStep));
  }
}

#endif

template <class L>
void WriteExtras(Bytes base, Bytes raw, Bytes symbols, BitWriter& out) {
  constexpr size_t kWord = sizeof(typename L::Word);
  BitWriter writer = out;  // a copy can live in registers
  ForEachStep(
      symbols.size(),
      [&](size_t i)
          HWY_ATTR { StepExtras<L>(&base[i * kWord], &raw[i * kWord], &symbols[i], writer); },
      [&](size_t i, size_t count) HWY_ATTR {
        // Words of zeros have no extra bits.
        std::byte padded_base[kStep * kWord] = {}, padded_raw[kStep * kWord] = {};
        std::byte padded[kStep] = {};
        std::memcpy(padded_base, &base[i * kWord], count * kWord);
        std::memcpy(padded_raw, &raw[i * kWord], count * kWord);
        std::memcpy(padded, &symbols[i], count);
        StepExtras<L>(padded_base, padded_raw, padded, writer);
      });
  out = writer;
}

template <class L>
void Restore(Bytes base, Bytes symbols, BitReader& extras, MutableBytes out) {
  constexpr size_t kWord = sizeof(typename L::Word);
  BitReader reader = extras;  // a copy can live in registers
  ForEachStep(
      symbols.size(),
      [&](size_t i)
          HWY_ATTR { StepRestore<L>(&base[i * kWord], &symbols[i], reader, &out[i * kWord]); },
      [&](size_t i, size_t count) HWY_ATTR {
        std::byte padded_base[kStep * kWord] = {}, padded[kStep] = {}, words[kStep * kWord];
        std::memcpy(padded_base, &base[i * kWord], count * kWord);
        std::memcpy(padded, &symbols[i], count);
        StepRestore<L>(padded_base, padded, reader, words);
        std::memcpy(&out[i * kWord], words, count * kWord);
      });
  extras = reader;
}

void WriteExtrasAny(DType dtype, Bytes base, Bytes raw, Bytes symbols, BitWriter& out) {
  WithLayout(dtype, [&]<class L>(L) { WriteExtras<L>(base, raw, symbols, out); });
}
void RestoreAny(DType dtype, Bytes base, Bytes symbols, BitReader& extras, MutableBytes out) {
  WithLayout(dtype, [&]<class L>(L) { Restore<L>(base, symbols, extras, out); });
}

}  // namespace bitsnap::delta::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitsnap::delta {

HWY_EXPORT(WriteExtrasAny);
HWY_EXPORT(RestoreAny);

void WriteExtras(DType dtype, Bytes base, Bytes raw, Bytes symbols, BitWriter& out) {
  HWY_DYNAMIC_DISPATCH(WriteExtrasAny)(dtype, base, raw, symbols, out);
}

void Restore(DType dtype, Bytes base, Bytes symbols, BitReader& extras, MutableBytes out) {
  HWY_DYNAMIC_DISPATCH(RestoreAny)(dtype, base, symbols, extras, out);
}

}  // namespace bitsnap::delta
#endif  // HWY_ONCE
