#include <bit>

#include "codec/entropy/context_rans.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/entropy/kernel.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef BITSNAP_CONTEXT_RANS_ONCE
#define BITSNAP_CONTEXT_RANS_ONCE
namespace bitsnap::context_rans {

// For few lanes, for what is left after whole groups, and where there are no vectors.
// Requires: the first symbol is one of lane 0.
inline std::byte* EncodeScalar(const EncodeTable& table, size_t lanes, Bytes symbols,
                               Bytes contexts, States& states, std::byte* out) {
  for (size_t i = 0; i < symbols.size(); ++i) {
    uint32_t& x = states[i & (lanes - 1)];
    const uint32_t range = table.ranges[std::to_integer<size_t>(contexts[i]) << 8 |
                                        std::to_integer<size_t>(symbols[i])];
    const uint32_t start = range >> 16, frequency = range & 0xffff;
    if (x >> (32 - kScaleBits) >= frequency) {
      const auto word = static_cast<uint16_t>(x);
      std::memcpy(out, &word, sizeof(word));
      out += sizeof(word);
      x >>= 16;
    }
    x = (x / frequency << kScaleBits) + start + x % frequency;
  }
  return out;
}

// Returns the end of the words left; null when they do not suffice.
inline const std::byte* DecodeScalar(DecodeTable table, size_t lanes, const std::byte* begin,
                                     const std::byte* end, Bytes contexts, States& states,
                                     MutableBytes symbols) {
  for (size_t i = symbols.size(); i-- > 0;) {
    uint32_t& x = states[i & (lanes - 1)];
    const uint32_t entry = table[std::to_integer<size_t>(contexts[i]) << kScaleBits | x % kScale];
    symbols[i] = static_cast<std::byte>(entry);
    const uint32_t frequency = (entry >> 8) % kScale + 1;
    x = frequency * (x >> kScaleBits) + (entry >> 20);
    if (x >> 16 == 0) {
      if (end - begin < 2) return nullptr;
      end -= 2;
      uint16_t word;
      std::memcpy(&word, end, sizeof(word));
      x = x << 16 | word;
    }
  }
  return end;
}

// For every mask of 8 lanes, the byte shuffle that moves packed 16-bit words to the set lanes.
struct ExpandTable {
  alignas(16) std::array<std::array<uint8_t, 16>, 256> rows{};

  constexpr ExpandTable() {
    for (size_t mask = 0; mask < rows.size(); ++mask) {
      uint8_t from = 0;
      for (size_t i = 0; i < 16; ++i) rows[mask][i] = mask >> (i / 2) & 1 ? from++ : uint8_t{0x80};
    }
  }
};

inline constexpr ExpandTable kExpand;

}  // namespace bitsnap::context_rans
#endif  // BITSNAP_CONTEXT_RANS_ONCE

HWY_BEFORE_NAMESPACE();
namespace bitsnap::context_rans::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

size_t Encode(const EncodeTable& table, Bytes symbols, Bytes contexts, States& states,
              std::byte* out) {
  return EncodeScalar(table, kMaxLanes, symbols, contexts, states, out) - out;
}

std::optional<size_t> Decode(DecodeTable table, Bytes words, Bytes contexts, States& states,
                             MutableBytes symbols) {
  const std::byte* begin = words.data();
  const std::byte* end =
      DecodeScalar(table, kMaxLanes, begin, begin + words.size(), contexts, states, symbols);
  if (end == nullptr) return std::nullopt;
  return end - begin;
}

#else

using D = hn::CappedTag<uint32_t, 16>;
using V = hn::VFromD<D>;
constexpr size_t kN = hn::MaxLanes(D());
constexpr size_t kVectors = kMaxLanes / kN;

HWY_INLINE auto Signed(V v) { return hn::BitCast(hn::RebindToSigned<D>(), v); }

// Whether a >= b. Requires: both below 2^31.
HWY_INLINE auto AtLeast(V a, V b) {
  return hn::Not(hn::RebindMask(D(), hn::Lt(Signed(a), Signed(b))));
}

HWY_INLINE V LoadBytes(const std::byte* p) {
  return hn::PromoteTo(D(),
                       hn::LoadU(hn::Rebind<uint8_t, D>(), reinterpret_cast<const uint8_t*>(p)));
}

HWY_INLINE V MulHigh(V a, V b) {
  const hn::RepartitionToWide<D> wide;
  const auto even = hn::MulEven(a, b);
  const auto odd = hn::MulEven(hn::BitCast(D(), hn::ShiftRight<32>(hn::BitCast(wide, a))),
                               hn::BitCast(D(), hn::ShiftRight<32>(hn::BitCast(wide, b))));
  return hn::OddEven(hn::BitCast(D(), odd), hn::BitCast(D(), hn::ShiftRight<32>(even)));
}

// Codes one symbol into each lane; returns the end of the words.
HWY_INLINE std::byte* EncodeVector(const EncodeTable& table, const std::byte* symbols,
                                   const std::byte* contexts, V& x, std::byte* out) {
  const D d;
  const auto index = Signed(hn::Or(LoadBytes(symbols), hn::ShiftLeft<8>(LoadBytes(contexts))));
  const V range = hn::GatherIndex(d, table.ranges.data(), index);
  const V reciprocal = hn::GatherIndex(d, table.reciprocals.data(), index);
  const V frequency = hn::And(range, hn::Set(d, 0xffff));
  const V start = hn::ShiftRight<16>(range);

  // Words leave in the order of the lanes.
  const auto full = AtLeast(hn::ShiftRight<32 - kScaleBits>(x), frequency);
  const V low = hn::And(hn::Compress(x, full), hn::Set(d, 0xffff));
  const hn::Rebind<uint16_t, D> d16;
  hn::StoreU(hn::DemoteTo(d16, Signed(low)), d16, reinterpret_cast<uint16_t*>(out));
  out += sizeof(uint16_t) * hn::CountTrue(d, full);
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
  const D d;
  std::byte* end = out;
  V x[kVectors];
  for (size_t v = 0; v < kVectors; ++v) x[v] = hn::LoadU(d, &states[v * kN]);
  size_t i = 0;
  for (; i + kMaxLanes <= symbols.size(); i += kMaxLanes) {
    for (size_t v = 0; v < kVectors; ++v) {
      const size_t at = i + v * kN;
      end = EncodeVector(table, &symbols[at], &contexts[at], x[v], end);
    }
  }
  for (size_t v = 0; v < kVectors; ++v) hn::StoreU(x[v], d, &states[v * kN]);
  return EncodeScalar(table, kMaxLanes, symbols.subspan(i), contexts.subspan(i), states, end) - out;
}

// Words from `words` on, in order, in the lanes that are set in `mask`; zero in the others.
template <class D>
HWY_INLINE hn::VFromD<D> Expand(D d, hn::Mask<D> mask, const std::byte* words) {
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
  // Highway 1.0.3 has no Expand.
  const hn::Rebind<uint16_t, D> d16;
  const auto packed = hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(words)));
  return hn::VFromD<D>{_mm512_maskz_expand_epi32(mask.raw, packed.raw)};
#else
  uint8_t bits[8] = {};
  hn::StoreMaskBits(d, mask, bits);
  const hn::FixedTag<uint8_t, 16> d8;
  const auto packed = hn::LoadU(d8, reinterpret_cast<const uint8_t*>(words));
  const auto from = hn::Load(d8, kExpand.rows[bits[0]].data());
  const auto placed = hn::TableLookupBytesOr0(packed, from);
  const auto wide = hn::BitCast(hn::FixedTag<uint16_t, 8>(), placed);
  if constexpr (hn::MaxLanes(D()) == 8) {
    return hn::PromoteTo(d, wide);
  } else {
    return hn::PromoteTo(d, hn::LowerHalf(wide));
  }
#endif
}

// Decodes one symbol from each lane; returns the end of the words left.
HWY_INLINE const std::byte* DecodeVector(DecodeTable table, const std::byte* contexts, V& x,
                                         std::byte* symbols, const std::byte* end) {
  const D d;
  const V slot = hn::And(x, hn::Set(d, kScale - 1));
  const auto index = Signed(hn::Or(slot, hn::ShiftLeft<kScaleBits>(LoadBytes(contexts))));
  const V entry = hn::GatherIndex(d, table.data(), index);

  const hn::Rebind<uint8_t, D> d8;
  hn::StoreU(hn::DemoteTo(d8, Signed(hn::And(entry, hn::Set(d, 0xff)))), d8,
             reinterpret_cast<uint8_t*>(symbols));

  const V rest = hn::ShiftRight<20>(entry);
  const V less = hn::And(hn::ShiftRight<8>(entry), hn::Set(d, kScale - 1));
  const V quotient = hn::ShiftRight<kScaleBits>(x);
  x = hn::Add(hn::Add(hn::Mul(less, quotient), quotient), rest);

  const auto empty = hn::Eq(hn::ShiftRight<16>(x), hn::Zero(d));
  end -= sizeof(uint16_t) * hn::CountTrue(d, empty);
  x = hn::IfThenElse(empty, hn::Or(hn::ShiftLeft<16>(x), Expand(d, empty, end)), x);
  return end;
}

std::optional<size_t> Decode(DecodeTable table, Bytes words, Bytes contexts, States& states,
                             MutableBytes symbols) {
  const D d;
  const std::byte* const begin = words.data();
  size_t i = symbols.size() / kMaxLanes * kMaxLanes;
  const std::byte* end = DecodeScalar(table, kMaxLanes, begin, begin + words.size(),
                                      contexts.subspan(i), states, symbols.subspan(i));
  if (end == nullptr) return std::nullopt;
  V x[kVectors];
  for (size_t v = 0; v < kVectors; ++v) x[v] = hn::LoadU(d, &states[v * kN]);
  // A group takes at most half the states' bytes, so that it may start before it is known to have them.
  for (; i > 0 && end >= begin; i -= kMaxLanes) {
    for (size_t v = kVectors; v-- > 0;) {
      const size_t at = i - kMaxLanes + v * kN;
      end = DecodeVector(table, &contexts[at], x[v], &symbols[at], end);
    }
  }
  for (size_t v = 0; v < kVectors; ++v) hn::StoreU(x[v], d, &states[v * kN]);
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
  if (lanes == kMaxLanes) {
    return HWY_DYNAMIC_DISPATCH(Encode)(table, symbols, contexts, states, out);
  }
  return EncodeScalar(table, lanes, symbols, contexts, states, out) - out;
}

std::optional<size_t> DecodeSymbols(DecodeTable table, size_t lanes, Bytes words, Bytes contexts,
                                    States& states, MutableBytes symbols) {
  if (lanes == kMaxLanes) {
    return HWY_DYNAMIC_DISPATCH(Decode)(table, words, contexts, states, symbols);
  }
  const std::byte* begin = words.data();
  const std::byte* end =
      DecodeScalar(table, lanes, begin, begin + words.size(), contexts, states, symbols);
  if (end == nullptr) return std::nullopt;
  return end - begin;
}

}  // namespace bitsnap::context_rans
#endif  // HWY_ONCE
