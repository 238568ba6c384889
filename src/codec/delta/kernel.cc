#include "codec/delta/kernel.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "codec/delta/symbols.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/delta/kernel.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef BITSNAP_DELTA_ONCE
#define BITSNAP_DELTA_ONCE
namespace bitsnap::delta {

// What Restore needs to know of a symbol.
template <class L>
struct StepTable {
  std::array<typename L::Word, 256> first{};  // the smallest size
  std::array<uint8_t, 256> extra_bits{};

  constexpr StepTable() {
    for (uint32_t s = 0; s < L::kSymbols; ++s) {
      const uint32_t bucket = (s + 1) / 2;
      first[s] = L::First(bucket);
      extra_bits[s] = static_cast<uint8_t>(L::ExtraBits(bucket));
    }
  }
};

template <class L>
inline constexpr StepTable<L> kStepTable;

template <class T>
T WordAt(const std::byte* p, size_t i) {
  T word;
  std::memcpy(&word, p + i * sizeof(T), sizeof(T));
  return word;
}

}  // namespace bitsnap::delta
#endif  // BITSNAP_DELTA_ONCE

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

// A bit for each of kStep symbols that has extra bits.
template <class L>
HWY_INLINE uint64_t SplitSymbols(const std::byte* symbols) {
  const hn::ScalableTag<uint8_t> d;
  const auto first = hn::Set(d, static_cast<uint8_t>(L::kFirstSplit));
  const auto v = hn::LoadU(d, reinterpret_cast<const uint8_t*>(symbols));
  uint64_t bits = 0;
  hn::StoreMaskBits(d, hn::Eq(hn::Max(v, first), v), reinterpret_cast<uint8_t*>(&bits));
  return bits;
}

#if HWY_TARGET == HWY_SCALAR

template <class L>
void StepSymbols(const std::byte* base, const std::byte* raw, std::byte* symbols) {
  using T = typename L::Word;
  const auto step = StepFrom<T>(WordAt<T>(base, 0), WordAt<T>(raw, 0));
  *symbols = static_cast<std::byte>(2 * L::Bucket(step.size) - step.back);
}

template <class L>
void StepExponents(const std::byte* base, std::byte* exponents) {
  using T = typename L::Word;
  const auto magnitude = static_cast<T>(WordAt<T>(base, 0) & (L::kSign - 1));
  *exponents = static_cast<std::byte>(magnitude >> L::kExponentShift);
}

template <class L>
void StepRestore(const std::byte* base, const std::byte* symbol, BitReader& extras,
                 std::byte* out) {
  using T = typename L::Word;
  const auto s = std::to_integer<uint8_t>(*symbol);
  const T size = static_cast<T>(kStepTable<L>.first[s] + extras.Read(kStepTable<L>.extra_bits[s]));
  const T word = ApplyStep<T>(WordAt<T>(base, 0), {size, s % 2 != 0});
  std::memcpy(out, &word, sizeof(T));
}

#else

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

// Buckets of u32 sizes below 2^24 that are not direct: exact as float, whose exponent and upper
// mantissa bits say them.
template <class L, class V>
HWY_INLINE V BucketsByFloat(V size) {
  const hn::DFromV<V> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::RebindToFloat<decltype(d)> df;
  const V bits = hn::BitCast(d, hn::ConvertTo(df, hn::BitCast(di, size)));
  constexpr uint32_t kOffset = (127 + L::kSplitBits - 1) << L::kSplitBits;
  return hn::Sub(hn::ShiftRight<23 - L::kSplitBits>(bits), hn::Set(d, kOffset));
}

template <class L>
HWY_INLINE VOf<L> Buckets(VOf<L> size) {
  const DOf<L> d;
  const auto direct = hn::Eq(hn::ShiftRight<L::kSplitBits + 1>(size), hn::Zero(d));
  if (hn::AllTrue(d, direct)) return size;
  VOf<L> split;
  if constexpr (sizeof(typename L::Word) == 4) {
    const auto fits = hn::Eq(hn::ShiftRight<24>(size), hn::Zero(d));
    const auto octaves = hn::IfThenZeroElse(fits, hn::Set(d, 8u << L::kSplitBits));
    const auto reduced = hn::IfThenElse(fits, size, hn::ShiftRight<8>(size));
    split = hn::Add(BucketsByFloat<L>(reduced), octaves);
  } else {
    const hn::RepartitionToWide<DOf<L>> d32;
    const auto even = hn::And(hn::BitCast(d32, size), hn::Set(d32, 0xffff));
    const auto odd = hn::ShiftRight<16>(hn::BitCast(d32, size));
    const auto low = hn::And(BucketsByFloat<L>(even), hn::Set(d32, 0xffff));
    split = hn::BitCast(d, hn::Or(low, hn::ShiftLeft<16>(BucketsByFloat<L>(odd))));
  }
  return hn::IfThenElse(direct, size, split);
}

template <class L>
HWY_INLINE VOf<L> SymbolsOf(VOf<L> base, VOf<L> raw) {
  const auto sign = hn::And(base, hn::Set(DOf<L>(), L::kSign));
  const auto step = hn::Sub(Ordered(hn::Xor(raw, sign)), hn::Xor(base, sign));
  const auto back = Negative(step);
  const auto bucket = Buckets<L>(hn::Sub(hn::Xor(step, back), back));
  return hn::Add(hn::Add(bucket, bucket), back);
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

template <class L>
void StepSymbols(const std::byte* base, const std::byte* raw, std::byte* symbols) {
  constexpr size_t kVectorBytes = kStep;
  VOf<L> v[sizeof(typename L::Word)];
  for (size_t k = 0; k < sizeof(typename L::Word); ++k) {
    v[k] =
        SymbolsOf<L>(LoadWords<L>(base + k * kVectorBytes), LoadWords<L>(raw + k * kVectorBytes));
  }
  hn::StoreU(LowBytes(v), hn::ScalableTag<uint8_t>(), reinterpret_cast<uint8_t*>(symbols));
}

template <class L>
void StepExponents(const std::byte* base, std::byte* exponents) {
  VOf<L> v[sizeof(typename L::Word)];
  for (size_t k = 0; k < sizeof(typename L::Word); ++k) {
    const auto word = LoadWords<L>(base + k * kStep);
    v[k] = hn::ShiftRight<L::kExponentShift>(hn::AndNot(hn::Set(DOf<L>(), L::kSign), word));
  }
  hn::StoreU(LowBytes(v), hn::ScalableTag<uint8_t>(), reinterpret_cast<uint8_t*>(exponents));
}

// Bytes to words.
template <class D>
HWY_INLINE hn::VFromD<D> Widen(D d, const std::byte* p) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<uint8_t, D>(), reinterpret_cast<const uint8_t*>(p)));
}

template <class L>
HWY_INLINE VOf<L> Applied(VOf<L> base, VOf<L> size, VOf<L> back) {
  const auto sign = hn::And(base, hn::Set(DOf<L>(), L::kSign));
  const auto step = hn::Sub(hn::Xor(size, back), back);
  return hn::Xor(Ordered(hn::Add(hn::Xor(base, sign), step)), sign);
}

// Replaces the sizes of symbols with extra bits, given as bits of `split`.
template <class L>
HWY_INLINE void AddExtras(const std::byte* symbols, uint64_t split, BitReader& extras,
                          typename L::Word* sizes) {
  using T = typename L::Word;
  for (; split != 0; split &= split - 1) {
    const size_t i = std::countr_zero(split);
    const auto symbol = std::to_integer<uint8_t>(symbols[i]);
    sizes[i] =
        static_cast<T>(kStepTable<L>.first[symbol] + extras.Read(kStepTable<L>.extra_bits[symbol]));
  }
}

// kStep words.
template <class L>
HWY_INLINE void StepRestore(const std::byte* base, const std::byte* symbols, BitReader& extras,
                            std::byte* out) {
  using T = typename L::Word;
  const DOf<L> d;
  constexpr size_t kLanes = kStep / sizeof(T);
  const auto one = hn::Set(d, T{1});
  alignas(64) T sizes[kStep];
  VOf<L> size[sizeof(T)], back[sizeof(T)];
  for (size_t k = 0; k < sizeof(T); ++k) {
    const auto symbol = Widen(d, symbols + k * kLanes);
    back[k] = hn::Sub(hn::Zero(d), hn::And(symbol, one));
    size[k] = hn::ShiftRight<1>(hn::Add(symbol, one));
  }
  if (const uint64_t split = SplitSymbols<L>(symbols); split != 0) {
    for (size_t k = 0; k < sizeof(T); ++k) hn::Store(size[k], d, sizes + k * kLanes);
    AddExtras<L>(symbols, split, extras, sizes);
    for (size_t k = 0; k < sizeof(T); ++k) size[k] = hn::Load(d, sizes + k * kLanes);
  }
  for (size_t k = 0; k < sizeof(T); ++k) {
    hn::StoreU(Applied<L>(LoadWords<L>(base + k * kStep), size[k], back[k]), d,
               reinterpret_cast<T*>(out + k * kStep));
  }
}

#endif

// Calls `vectors(i)` for each i at which kStep words from i on remain, then `rest(i, count)`.
template <class Vectors, class Rest>
HWY_INLINE void ForEachStep(size_t words, const Vectors& vectors, const Rest& rest) {
  size_t i = 0;
  for (; i + kStep <= words; i += kStep) vectors(i);
  if (i < words) rest(i, words - i);
}

template <class L>
void MakeSymbols(Bytes base, Bytes raw, MutableBytes symbols) {
  constexpr size_t kWord = sizeof(typename L::Word);
  ForEachStep(
      symbols.size(),
      [&](size_t i) { StepSymbols<L>(&base[i * kWord], &raw[i * kWord], &symbols[i]); },
      [&](size_t i, size_t count) {
        std::byte padded_base[kStep * kWord] = {}, padded_raw[kStep * kWord] = {}, out[kStep];
        std::memcpy(padded_base, &base[i * kWord], count * kWord);
        std::memcpy(padded_raw, &raw[i * kWord], count * kWord);
        StepSymbols<L>(padded_base, padded_raw, out);
        std::memcpy(&symbols[i], out, count);
      });
}

template <class L>
void Exponents(Bytes base, MutableBytes exponents) {
  constexpr size_t kWord = sizeof(typename L::Word);
  ForEachStep(
      exponents.size(), [&](size_t i) { StepExponents<L>(&base[i * kWord], &exponents[i]); },
      [&](size_t i, size_t count) {
        std::byte padded_base[kStep * kWord] = {}, out[kStep];
        std::memcpy(padded_base, &base[i * kWord], count * kWord);
        StepExponents<L>(padded_base, out);
        std::memcpy(&exponents[i], out, count);
      });
}

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

template <class T>
HWY_INLINE size_t CountChanged(const std::byte* base, const std::byte* raw) {
  const hn::ScalableTag<T> d;
  const auto load = [&](const std::byte* p, size_t i)
                        HWY_ATTR { return hn::LoadU(d, reinterpret_cast<const T*>(p) + i); };
  size_t changed = 0;
  for (size_t i = 0; i < kGroup; i += hn::Lanes(d)) {
    changed += hn::CountTrue(d, hn::Ne(load(base, i), load(raw, i)));
  }
  return changed;
}

template <class T>
size_t FindChanged(Bytes base, Bytes raw, std::span<uint64_t> groups) {
  constexpr size_t kGroupBytes = kGroup * sizeof(T);
  size_t total = 0;
  const auto note = [&](size_t group, size_t changed) {
    if (group % 64 == 0) groups[group / 64] = 0;
    groups[group / 64] |= uint64_t{changed > 0} << group % 64;
    total += changed;
  };
  size_t group = 0;
  for (; (group + 1) * kGroupBytes <= raw.size(); ++group) {
    note(group, CountChanged<T>(&base[group * kGroupBytes], &raw[group * kGroupBytes]));
  }
  if (const size_t rest = raw.size() % kGroupBytes; rest > 0) {
    std::byte padded_base[kGroupBytes] = {}, padded_raw[kGroupBytes] = {};
    std::memcpy(padded_base, &base[group * kGroupBytes], rest);
    std::memcpy(padded_raw, &raw[group * kGroupBytes], rest);
    note(group, CountChanged<T>(padded_base, padded_raw));
  }
  return total;
}

template <class L>
HWY_INLINE void WriteExtra(const std::byte* base, const std::byte* raw, size_t i, BitWriter& out) {
  using T = typename L::Word;
  const T size = StepFrom<T>(WordAt<T>(base, i), WordAt<T>(raw, i)).size;
  const auto bits = static_cast<unsigned>(std::bit_width(size) - 1 - L::kSplitBits);
  out.Write(size & ((T{1} << bits) - 1), bits);
}

template <class L>
void WriteExtras(Bytes base, Bytes raw, Bytes symbols, BitWriter& out) {
  BitWriter writer = out;  // a copy can live in registers
  ForEachStep(
      symbols.size(),
      [&](size_t i) {
        for (uint64_t bits = SplitSymbols<L>(&symbols[i]); bits != 0; bits &= bits - 1) {
          WriteExtra<L>(base.data(), raw.data(), i + std::countr_zero(bits), writer);
        }
      },
      [&](size_t i, size_t count) {
        for (; count > 0; --count, ++i) {
          if (std::to_integer<uint32_t>(symbols[i]) < L::kFirstSplit) continue;
          WriteExtra<L>(base.data(), raw.data(), i, writer);
        }
      });
  out = writer;
}

template <class L>
void Restore(Bytes base, Bytes symbols, BitReader& extras, MutableBytes out) {
  constexpr size_t kWord = sizeof(typename L::Word);
  BitReader reader = extras;  // a copy can live in registers
  ForEachStep(
      symbols.size(),
      [&](size_t i) { StepRestore<L>(&base[i * kWord], &symbols[i], reader, &out[i * kWord]); },
      [&](size_t i, size_t count) {
        std::byte padded_base[kStep * kWord] = {}, padded[kStep] = {}, words[kStep * kWord];
        std::memcpy(padded_base, &base[i * kWord], count * kWord);
        std::memcpy(padded, &symbols[i], count);
        StepRestore<L>(padded_base, padded, reader, words);
        std::memcpy(&out[i * kWord], words, count * kWord);
      });
  extras = reader;
}

size_t FindChangedAny(DType dtype, Bytes base, Bytes raw, std::span<uint64_t> groups) {
  return WithLayout(dtype,
                    [&]<class L>(L) { return FindChanged<typename L::Word>(base, raw, groups); });
}
void MakeSymbolsAny(DType dtype, Bytes base, Bytes raw, MutableBytes symbols) {
  WithLayout(dtype, [&]<class L>(L) { MakeSymbols<L>(base, raw, symbols); });
}
void WriteExtrasAny(DType dtype, Bytes base, Bytes raw, Bytes symbols, BitWriter& out) {
  WithLayout(dtype, [&]<class L>(L) { WriteExtras<L>(base, raw, symbols, out); });
}
void ExponentsAny(DType dtype, Bytes base, MutableBytes exponents) {
  WithLayout(dtype, [&]<class L>(L) { Exponents<L>(base, exponents); });
}
void RestoreAny(DType dtype, Bytes base, Bytes symbols, BitReader& extras, MutableBytes out) {
  WithLayout(dtype, [&]<class L>(L) { Restore<L>(base, symbols, extras, out); });
}

}  // namespace bitsnap::delta::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitsnap::delta {

HWY_EXPORT(FindChangedAny);
HWY_EXPORT(MakeSymbolsAny);
HWY_EXPORT(WriteExtrasAny);
HWY_EXPORT(ExponentsAny);
HWY_EXPORT(ClassifyAny);
HWY_EXPORT(RestoreAny);

size_t FindChanged(DType dtype, Bytes base, Bytes raw, std::span<uint64_t> groups) {
  return HWY_DYNAMIC_DISPATCH(FindChangedAny)(dtype, base, raw, groups);
}

void MakeSymbols(DType dtype, Bytes base, Bytes raw, MutableBytes symbols) {
  HWY_DYNAMIC_DISPATCH(MakeSymbolsAny)(dtype, base, raw, symbols);
}

void WriteExtras(DType dtype, Bytes base, Bytes raw, Bytes symbols, BitWriter& out) {
  HWY_DYNAMIC_DISPATCH(WriteExtrasAny)(dtype, base, raw, symbols, out);
}

void Exponents(DType dtype, Bytes base, MutableBytes exponents) {
  HWY_DYNAMIC_DISPATCH(ExponentsAny)(dtype, base, exponents);
}

void Classify(std::span<const uint8_t> bounds, MutableBytes exponents) {
  HWY_DYNAMIC_DISPATCH(ClassifyAny)(bounds, exponents);
}

void Restore(DType dtype, Bytes base, Bytes symbols, BitReader& extras, MutableBytes out) {
  HWY_DYNAMIC_DISPATCH(RestoreAny)(dtype, base, symbols, extras, out);
}

}  // namespace bitsnap::delta
#endif  // HWY_ONCE
