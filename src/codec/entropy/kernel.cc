#include <bit>

#include "codec/entropy/context_rans.h"
#include "codec/entropy/context_rans_scalar.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/entropy/kernel.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef BITSNAP_CONTEXT_RANS_ONCE
#define BITSNAP_CONTEXT_RANS_ONCE
namespace bitsnap::context_rans {

// For every mask of 8 lanes of 16 bits, the byte shuffles that move the set lanes together to the
// front, and back. 0x80 makes a zero.
struct ShuffleTables {
  using Row = std::array<uint8_t, 16>;
  alignas(16) std::array<Row, 256> compress{};
  alignas(16) std::array<Row, 256> expand{};

  constexpr ShuffleTables() {
    for (size_t mask = 0; mask < 256; ++mask) {
      compress[mask].fill(0x80);
      expand[mask].fill(0x80);
      uint8_t packed = 0;
      for (uint8_t byte = 0; byte < 16; ++byte) {
        if ((mask >> byte / 2 & 1) == 0) continue;
        compress[mask][packed] = byte;
        expand[mask][byte] = packed++;
      }
    }
  }
};

inline constexpr ShuffleTables kShuffles;

}  // namespace bitsnap::context_rans
#endif  // BITSNAP_CONTEXT_RANS_ONCE

HWY_BEFORE_NAMESPACE();
namespace bitsnap::context_rans::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

size_t Encode(const EncodeTable& table, Bytes symbols, Bytes contexts, States& states,
              std::byte* out) {
  return EncodeScalar<kMaxLanes>(table, symbols, contexts, states, out) - out;
}

std::optional<size_t> Decode(DecodeTable table, Bytes words, Bytes contexts, States& states,
                             MutableBytes symbols) {
  const std::byte* begin = words.data();
  const std::byte* end =
      DecodeScalar<kMaxLanes>(table, begin, begin + words.size(), contexts, states, symbols);
  if (end == nullptr) return std::nullopt;
  return end - begin;
}

#else

// Vectors of these many lanes were the fastest each way.
using EncodeTag = hn::CappedTag<uint32_t, 16>;
using DecodeTag = hn::CappedTag<uint32_t, 16>;

// All states.
template <class D>
struct StateVectors {
  static constexpr size_t kN = hn::MaxLanes(D());
  static constexpr size_t kCount = kMaxLanes / kN;
  hn::VFromD<D> v[kCount];

  explicit StateVectors(const States& states) {
    for (size_t k = 0; k < kCount; ++k) v[k] = hn::LoadU(D(), &states[k * kN]);
  }
  // Of each vector the lanes.
  void Reverse() {
    for (auto& each : v) each = hn::Reverse(D(), each);
  }
  void Store(States& states) const {
    for (size_t k = 0; k < kCount; ++k) hn::StoreU(v[k], D(), &states[k * kN]);
  }
};

template <class V>
HWY_INLINE auto Signed(V v) {
  return hn::BitCast(hn::RebindToSigned<hn::DFromV<V> >(), v);
}

// Whether a >= b. Requires: both below 2^31.
template <class V>
HWY_INLINE auto AtLeast(V a, V b) {
  return hn::Not(hn::RebindMask(hn::DFromV<V>(), hn::Lt(Signed(a), Signed(b))));
}

template <class D>
HWY_INLINE hn::VFromD<D> LoadBytes(D d, const std::byte* p) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<uint8_t, D>(), reinterpret_cast<const uint8_t*>(p)));
}

template <class V>
HWY_INLINE V MulHigh(V a, V b) {
  const hn::DFromV<V> d;
  const hn::RepartitionToWide<hn::DFromV<V> > wide;
  const auto even = hn::MulEven(a, b);
  const auto odd = hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, a))),
                               hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, b))));
  return hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, hn::ShiftRight<32>(even)));
}

// 4 or 8 lanes as 8.
template <class D16, class V>
HWY_INLINE hn::VFromD<D16> Widened(D16 d16, V v) {
  if constexpr (hn::MaxLanes(hn::DFromV<V>()) == 8) {
    return v;
  } else {
    return hn::ZeroExtendVector(d16, v);
  }
}

// The mask's bits, of at most 8 lanes.
template <class D>
HWY_INLINE size_t Bits(D d, hn::Mask<D> mask) {
  uint8_t bits[8] = {};
  hn::StoreMaskBits(d, mask, bits);
  return bits[0];
}

// Appends the low 16 bits of the lanes that are set in `mask`; returns the end.
template <class D>
HWY_INLINE std::byte* StoreWords(D d, hn::VFromD<D> v, hn::Mask<D> mask, std::byte* out) {
  const auto low = [&](auto x) HWY_ATTR {
    return hn::DemoteTo(hn::Rebind<uint16_t, D>(), Signed(hn::And(x, hn::Set(d, 0xffff))));
  };
  auto* words = reinterpret_cast<uint16_t*>(out);
  if constexpr (hn::MaxLanes(D()) == 16) {
    hn::StoreU(low(hn::Compress(v, mask)), hn::Rebind<uint16_t, D>(), words);
  } else {
    // Highway 1.0.3 copies a table at each Compress of AVX2.
    const hn::FixedTag<uint16_t, 8> d16;
    const hn::FixedTag<uint8_t, 16> d8;
    const auto packing = hn::Load(d8, kShuffles.compress[Bits(d, mask)].data());
    const auto lanes = hn::BitCast(d8, Widened(d16, low(v)));
    hn::StoreU(hn::BitCast(d16, hn::TableLookupBytesOr0(lanes, packing)), d16, words);
  }
  return out + sizeof(uint16_t) * hn::CountTrue(d, mask);
}

// What the table says of kMaxLanes symbols. Scalar loads: they depend on no state, so that they run
// ahead, and gathers are slower on most machines.
using Entries = std::array<uint64_t, kMaxLanes>;
HWY_INLINE void LookUp(const EncodeTable& table, const std::byte* symbols,
                       const std::byte* contexts, Entries& entries) {
  const hn::CappedTag<uint16_t, kMaxLanes> d;
  alignas(64) uint16_t indices[kMaxLanes];
  for (size_t k = 0; k < kMaxLanes; k += hn::MaxLanes(d)) {
    const auto high = hn::ShiftLeft<8>(LoadBytes(d, contexts + k));
    hn::Store(hn::Or(LoadBytes(d, symbols + k), high), d, indices + k);
  }
  for (size_t k = 0; k < kMaxLanes; ++k) entries[k] = table[indices[k]];
}

// Codes one symbol into each lane; returns the end of the words.
template <class V>
HWY_INLINE std::byte* EncodeVector(const uint64_t* entries, V& x, std::byte* out) {
  const hn::DFromV<V> d;
  const hn::RepartitionToWide<decltype(d)> wide;
  const V first = hn::BitCast(d, hn::LoadU(wide, entries));
  const V second = hn::BitCast(d, hn::LoadU(wide, entries + hn::MaxLanes(wide)));
  const V range = hn::ConcatEven(d, second, first), reciprocal = hn::ConcatOdd(d, second, first);
  const V frequency = hn::And(range, hn::Set(d, 0xffff));
  const V start = hn::ShiftRight<16>(range);

  // Words leave in the order of the lanes.
  const auto full = AtLeast(hn::ShiftRight<32 - kScaleBits>(x), frequency);
  out = StoreWords(d, x, full, out);
  x = hn::IfThenElse(full, hn::ShiftRight<16>(x), x);

  const V quotient = MulHigh(x, reciprocal);
  const V rest = hn::Sub(x, hn::Mul(quotient, frequency));
  const V coded = hn::Add(hn::ShiftLeft<kScaleBits>(quotient), hn::Add(start, rest));
  // Where the quotient is too small by one, the rest is still at least the frequency.
  const auto small = AtLeast(rest, frequency);
  x = hn::Add(coded, hn::IfThenElseZero(small, hn::Sub(hn::Set(d, kScale), frequency)));
  return out;
}

size_t Encode(const EncodeTable& table, Bytes symbols, Bytes contexts, States& states,
              std::byte* out) {
  using Vectors = StateVectors<EncodeTag>;
  const size_t groups = symbols.size() / kMaxLanes;
  Vectors x(states);
  std::byte* end = out;
  // A group ahead: loads of whole vectors wait until the stores of single entries are done.
  alignas(64) Entries entries[2];
  if (groups > 0) LookUp(table, symbols.data(), contexts.data(), entries[0]);
  for (size_t group = 0; group < groups; ++group) {
    const size_t next = (group + 1) * kMaxLanes;
    if (group + 1 < groups) {
      LookUp(table, &symbols[next], &contexts[next], entries[(group + 1) % 2]);
    }
    for (size_t k = 0; k < Vectors::kCount; ++k) {
      end = EncodeVector(&entries[group % 2][k * Vectors::kN], x.v[k], end);
    }
  }
  x.Store(states);
  const size_t done = groups * kMaxLanes;
  end = EncodeScalar<kMaxLanes>(table, symbols.subspan(done), contexts.subspan(done), states, end);
  return end - out;
}

// The words of `packed`, which holds them in its first lanes, in the lanes that are set in `mask`;
// zero in the others.
template <class D>
HWY_INLINE hn::VFromD<D> Expand(D d, hn::Mask<D> mask, hn::VFromD<D> packed) {
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
  static_assert(hn::MaxLanes(D()) == 16);
  static_cast<void>(d);
  // Highway 1.0.3 has no Expand.
  return hn::VFromD<D>{_mm512_maskz_expand_epi32(mask.raw, packed.raw)};
#else
  const hn::Rebind<uint16_t, D> d16;
  const hn::FixedTag<uint8_t, 16> d8;
  const auto from = hn::Load(d8, kShuffles.expand[Bits(d, mask)].data());
  const auto words = Widened(hn::FixedTag<uint16_t, 8>(), hn::DemoteTo(d16, Signed(packed)));
  const auto placed = hn::TableLookupBytesOr0(hn::BitCast(d8, words), from);
  if constexpr (hn::MaxLanes(D()) == 8) {
    return hn::PromoteTo(d, hn::BitCast(d16, placed));
  } else {
    return hn::PromoteTo(d, hn::BitCast(d16, hn::LowerHalf(placed)));
  }
#endif
}

// Decoding goes backwards, so vectors hold their lanes in reverse: the next words are the first
// ones that Expand takes, and where they are does not depend on how many are taken.
template <class D>
HWY_INLINE hn::VFromD<D> LastWords(D d, const std::byte* end) {
  const hn::Rebind<uint16_t, D> d16;
  const auto* words = reinterpret_cast<const uint16_t*>(end) - hn::MaxLanes(d);
  return hn::Reverse(d, hn::PromoteTo(d, hn::LoadU(d16, words)));
}

// Decodes one symbol from each lane. Afterwards states below 2^16 need a word.
template <class V>
HWY_INLINE V DecodeVector(DecodeTable table, const std::byte* contexts, V x, std::byte* symbols) {
  const hn::DFromV<V> d;
  const V context = hn::Reverse(d, LoadBytes(d, contexts));
  const V slot = hn::And(x, hn::Set(d, kScale - 1));
  const V entry =
      hn::GatherIndex(d, table.data(), Signed(hn::Or(slot, hn::ShiftLeft<kScaleBits>(context))));

  const hn::Rebind<uint8_t, hn::DFromV<V> > d8;
  const V symbol = hn::Reverse(d, hn::And(entry, hn::Set(d, 0xff)));
  hn::StoreU(hn::U8FromU32(symbol), d8, reinterpret_cast<uint8_t*>(symbols));

  const V rest = hn::ShiftRight<20>(entry);
  const V less = hn::And(hn::ShiftRight<8>(entry), hn::Set(d, kScale - 1));
  const V quotient = hn::ShiftRight<kScaleBits>(x);
  return hn::Add(hn::Add(hn::Mul(less, quotient), quotient), rest);
}

// Shifts words into the states that need one; returns the end of the words left.
template <class V>
HWY_INLINE const std::byte* Refill(V& x, const std::byte* end) {
  const hn::DFromV<V> d;
  const auto empty = hn::Eq(hn::ShiftRight<16>(x), hn::Zero(d));
  const V words = Expand(d, empty, LastWords(d, end));
  x = hn::IfThenElse(empty, hn::Or(hn::ShiftLeft<16>(x), words), x);
  return end - sizeof(uint16_t) * hn::CountTrue(d, empty);
}

std::optional<size_t> Decode(DecodeTable table, Bytes words, Bytes contexts, States& states,
                             MutableBytes symbols) {
  using Vectors = StateVectors<DecodeTag>;
  const std::byte* const begin = words.data();
  size_t i = symbols.size() / kMaxLanes * kMaxLanes;
  const std::byte* end = DecodeScalar<kMaxLanes>(table, begin, begin + words.size(),
                                                 contexts.subspan(i), states, symbols.subspan(i));
  if (end == nullptr) return std::nullopt;
  Vectors x(states);
  x.Reverse();
  // A group takes at most as many bytes as stand before the words: it need not know beforehand
  // whether there are enough.
  for (; i > 0 && end >= begin; i -= kMaxLanes) {
    // All lookups first: they wait for no word.
    for (size_t k = Vectors::kCount; k-- > 0;) {
      const size_t at = i - kMaxLanes + k * Vectors::kN;
      x.v[k] = DecodeVector(table, &contexts[at], x.v[k], &symbols[at]);
    }
    for (size_t k = Vectors::kCount; k-- > 0;) end = Refill(x.v[k], end);
  }
  x.Reverse();
  x.Store(states);
  if (end < begin) return std::nullopt;
  return end - begin;
}

#endif

}  // namespace bitsnap::context_rans::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitsnap::context_rans {

HWY_EXPORT(Encode);
HWY_EXPORT(Decode);

size_t EncodeSymbols(const EncodeTable& table, size_t lanes, Bytes symbols, Bytes contexts,
                     States& states, std::byte* out) {
  switch (lanes) {
    case 2:
      return EncodeScalar<2>(table, symbols, contexts, states, out) - out;
    case 8:
      return EncodeScalar<8>(table, symbols, contexts, states, out) - out;
    default:
      return HWY_DYNAMIC_DISPATCH(Encode)(table, symbols, contexts, states, out);
  }
}

std::optional<size_t> DecodeSymbols(DecodeTable table, size_t lanes, Bytes words, Bytes contexts,
                                    States& states, MutableBytes symbols) {
  const std::byte* begin = words.data();
  const std::byte* end = begin + words.size();
  switch (lanes) {
    case 2:
      end = DecodeScalar<2>(table, begin, end, contexts, states, symbols);
      break;
    case 8:
      end = DecodeScalar<8>(table, begin, end, contexts, states, symbols);
      break;
    default:
      return HWY_DYNAMIC_DISPATCH(Decode)(table, words, contexts, states, symbols);
  }
  if (end == nullptr) return std::nullopt;
  return end - begin;
}

}  // namespace bitsnap::context_rans
#endif  // HWY_ONCE
