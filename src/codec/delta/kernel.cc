#include "codec/delta/kernel.h"

#include "codec/delta/symbols.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/delta/kernel.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "codec/delta/kernel_words-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bitsnap::delta::HWY_NAMESPACE {

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

#else

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
    const hn::RepartitionToWide<DOf<L> > d32;
    const auto even = hn::And(hn::BitCast(d32, size), hn::Set(d32, 0xffff));
    const auto odd = hn::ShiftRight<16>(hn::BitCast(d32, size));
    const auto low = hn::And(BucketsByFloat<L>(even), hn::Set(d32, 0xffff));
    split = hn::BitCast(d, hn::Or(low, hn::ShiftLeft<16>(BucketsByFloat<L>(odd))));
  }
  return hn::IfThenElse(direct, size, split);
}

template <class L>
HWY_INLINE VOf<L> SymbolsOf(VOf<L> base, VOf<L> raw) {
  const auto step = StepsOf<L>(base, raw);
  const auto back = Negative(step);
  const auto bucket = Buckets<L>(hn::Sub(hn::Xor(step, back), back));
  return hn::Add(hn::Add(bucket, bucket), back);
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

#endif

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

size_t FindChangedAny(Bytes symbols, std::span<uint64_t> groups) {
  const hn::ScalableTag<uint8_t> d;
  size_t total = 0;
  const auto note = [&](size_t group, const std::byte* p) HWY_ATTR {
    size_t changed = 0;
    for (size_t i = 0; i < kGroup; i += kStep) {
      const auto v = hn::LoadU(d, reinterpret_cast<const uint8_t*>(p + i));
      changed += hn::CountTrue(d, hn::Ne(v, hn::Zero(d)));
    }
    if (group % 64 == 0) groups[group / 64] = 0;
    groups[group / 64] |= uint64_t{changed > 0} << group % 64;
    total += changed;
  };
  size_t group = 0;
  for (; (group + 1) * kGroup <= symbols.size(); ++group) note(group, &symbols[group * kGroup]);
  if (const Bytes rest = symbols.subspan(group * kGroup); !rest.empty()) {
    std::byte padded[kGroup] = {};
    std::memcpy(padded, rest.data(), rest.size());
    note(group, padded);
  }
  return total;
}

void MakeSymbolsAny(DType dtype, Bytes base, Bytes raw, MutableBytes symbols) {
  WithLayout(dtype, [&]<class L>(L) { MakeSymbols<L>(base, raw, symbols); });
}
void ExponentsAny(DType dtype, Bytes base, MutableBytes exponents) {
  WithLayout(dtype, [&]<class L>(L) { Exponents<L>(base, exponents); });
}

}  // namespace bitsnap::delta::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitsnap::delta {

HWY_EXPORT(FindChangedAny);
HWY_EXPORT(MakeSymbolsAny);
HWY_EXPORT(ExponentsAny);

size_t FindChanged(Bytes symbols, std::span<uint64_t> groups) {
  return HWY_DYNAMIC_DISPATCH(FindChangedAny)(symbols, groups);
}

void MakeSymbols(DType dtype, Bytes base, Bytes raw, MutableBytes symbols) {
  HWY_DYNAMIC_DISPATCH(MakeSymbolsAny)(dtype, base, raw, symbols);
}

void Exponents(DType dtype, Bytes base, MutableBytes exponents) {
  HWY_DYNAMIC_DISPATCH(ExponentsAny)(dtype, base, exponents);
}

}  // namespace bitsnap::delta
#endif  // HWY_ONCE
