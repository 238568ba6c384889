#include "codec/entropy/kernel_huffman.h"

#include <bit>
#include <limits>
#include <span>
#include <utility>

// Highway leaves out the target with byte permutes across 64 bytes unless asked.
#define HWY_WANT_AVX3_DL
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/entropy/kernel_huffman.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef BITSNAP_HUFFMAN_ONCE
#define BITSNAP_HUFFMAN_ONCE
namespace bitsnap::huffman {

inline void CountUnseenScalar(Bytes plane, Counts& counts) {
  for (std::byte symbol : plane) {
    uint32_t& count = counts[std::to_integer<uint8_t>(symbol)];
    count = std::max(count, 1u);
  }
}

}  // namespace bitsnap::huffman
#endif  // BITSNAP_HUFFMAN_ONCE

HWY_BEFORE_NAMESPACE();
namespace bitsnap::huffman::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Appends codes, the first in the highest bits of the first byte.
class BitAppender {
 public:
  explicit BitAppender(std::byte* out) : out_(out) {}

  // Requires: at most 56 bits between two calls of Flush.
  HWY_INLINE void Add(uint64_t value, uint32_t bits) {
    pending_ = pending_ << bits | value;
    count_ += bits;
  }

  // Requires: a bit at least was added since the last call.
  HWY_INLINE void Flush() {
    const uint64_t bytes = __builtin_bswap64(pending_ << (64 - count_));
    std::memcpy(out_, &bytes, sizeof(bytes));
    out_ += count_ / 8;
    count_ %= 8;
  }

  // Where the next stream may begin.
  std::byte* End() const { return out_ + (count_ > 0); }

 private:
  std::byte* out_;
  uint64_t pending_ = 0;  // its lowest count_ bits; what is above them is written already
  uint32_t count_ = 0;    // below 8 after Flush
};

// What is appended for each symbol: the code's value in bits 0 to 7, its bits above.
using Entries = std::array<uint16_t, 256>;

void FillEntries(const Code& code, Entries& entries) {
  for (size_t s = 0; s < entries.size(); ++s) {
    entries[s] = static_cast<uint16_t>(code.values[s] | code.bits[s] << 8);
  }
}

HWY_INLINE void AppendSymbols(const Entries& entries, Bytes symbols, BitAppender& out) {
  const auto append = [&](std::byte symbol) HWY_ATTR {
    const uint32_t entry = entries[std::to_integer<uint8_t>(symbol)];
    out.Add(entry & 0xff, entry >> 8);
  };
  size_t i = 0;
  for (; i + 4 <= symbols.size(); i += 4) {
    for (size_t k = 0; k < 4; ++k) append(symbols[i + k]);
    out.Flush();
  }
  for (; i < symbols.size(); ++i) {
    append(symbols[i]);
    out.Flush();
  }
}

#if HWY_TARGET <= HWY_AVX3_DL && HWY_ARCH_X86

// 64 symbols at a time: values and bits of all of them looked up in registers, then merged by twos
// to codes of up to 16 bits, by fours and by eights.
template <bool kAllSymbols>  // else those below 128 only
class VectorEncoder {
 public:
  static constexpr size_t kStep = 64;

  explicit VectorEncoder(const Code& code) {
    for (size_t k = 0; k < kVectors; ++k) {
      values_[k] = _mm512_loadu_si512(&code.values[k * kStep]);
      bits_[k] = _mm512_loadu_si512(&code.bits[k * kStep]);
    }
  }

  // Appends kStep symbols; false, without a change, when their codes are too long to be merged.
  HWY_INLINE bool Append(const std::byte* symbols, BitAppender& out) const {
    const __m512i v = _mm512_loadu_si512(symbols);
    const __m512i values = Lookup(values_, v);
    const __m512i bits = Lookup(bits_, v);

    // The first symbol of a pair is in the lower byte and goes into the higher bits.
    const __m512i low8 = _mm512_set1_epi16(0xff);
    const __m512i first2 =
        _mm512_sllv_epi16(_mm512_and_si512(values, low8), _mm512_srli_epi16(bits, 8));
    const __m512i codes2 = _mm512_or_si512(first2, _mm512_srli_epi16(values, 8));
    const __m512i bits2 = _mm512_maddubs_epi16(bits, _mm512_set1_epi8(1));

    const __m512i low16 = _mm512_set1_epi32(0xffff);
    const __m512i first4 =
        _mm512_sllv_epi32(_mm512_and_si512(codes2, low16), _mm512_srli_epi32(bits2, 16));
    const __m512i codes4 = _mm512_or_si512(first4, _mm512_srli_epi32(codes2, 16));
    const __m512i bits4 = _mm512_madd_epi16(bits2, _mm512_set1_epi16(1));

    const __m512i low32 = _mm512_set1_epi64(0xffffffff);
    const __m512i second_bits = _mm512_srli_epi64(bits4, 32);
    const __m512i first8 = _mm512_sllv_epi64(_mm512_and_si512(codes4, low32), second_bits);
    const __m512i codes8 = _mm512_or_si512(first8, _mm512_srli_epi64(codes4, 32));
    const __m512i bits8 = _mm512_add_epi64(bits4, second_bits);  // in the lower half

    const __mmask32 long2 = _mm512_cmpgt_epi16_mask(bits2, _mm512_set1_epi16(16));
    const __mmask16 long8 = _mm512_mask_cmpgt_epi32_mask(0x5555, bits8, _mm512_set1_epi32(56));
    if ((long2 | long8) != 0) return false;

    alignas(64) std::array<uint64_t, 8> codes, counts;
    _mm512_store_si512(codes.data(), codes8);
    _mm512_store_si512(counts.data(), bits8);
    for (size_t k = 0; k < codes.size(); ++k) {
      out.Add(codes[k], static_cast<uint32_t>(counts[k]));
      out.Flush();
    }
    return true;
  }

 private:
  static constexpr size_t kVectors = kAllSymbols ? 4 : 2;

  static HWY_INLINE __m512i Lookup(const __m512i* table, __m512i index) {
    const __m512i low = _mm512_permutex2var_epi8(table[0], index, table[1]);
    if constexpr (!kAllSymbols) return low;
    const __m512i high = _mm512_permutex2var_epi8(table[kVectors - 2], index, table[kVectors - 1]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high);
  }

  __m512i values_[kVectors], bits_[kVectors];
};

template <bool kAllSymbols>
void AppendBySteps(const Code& code, const Entries& entries, Bytes symbols, BitAppender& out) {
  using Encoder = VectorEncoder<kAllSymbols>;
  const Encoder encoder(code);
  size_t i = 0;
  for (; i + Encoder::kStep <= symbols.size(); i += Encoder::kStep) {
    if (!encoder.Append(&symbols[i], out)) {
      AppendSymbols(entries, symbols.subspan(i, Encoder::kStep), out);
    }
  }
  AppendSymbols(entries, symbols.subspan(i), out);
}

void AppendAll(const Code& code, const Entries& entries, Bytes symbols, BitAppender& out) {
  const bool high =
      std::any_of(code.bits.begin() + 128, code.bits.end(), [](int b) { return b > 0; });
  return high ? AppendBySteps<true>(code, entries, symbols, out)
              : AppendBySteps<false>(code, entries, symbols, out);
}

#else

void AppendAll(const Code&, const Entries& entries, Bytes symbols, BitAppender& out) {
  AppendSymbols(entries, symbols, out);
}

#endif

StreamSizes Encode(const Code& code, Bytes symbols, std::byte* out) {
  Entries entries;
  FillEntries(code, entries);
  StreamSizes sizes;
  for (size_t k = 0; k < kStreams; ++k) {
    BitAppender appender(out);
    AppendAll(code, entries, StreamPart(symbols, k), appender);
    sizes[k] = appender.End() - out;
    out = appender.End();
  }
  return sizes;
}

#if HWY_TARGET == HWY_SCALAR

void CountAllUnseen(Bytes plane, Counts& counts) { CountUnseenScalar(plane, counts); }

#else

// A set of bytes: bit h % 8 of lower[l] (of upper[l] for h >= 8) tells whether 16 * h + l is in it.
class ByteSet {
 public:
  explicit ByteSet(const Counts& counts) {
    for (size_t s = 0; s < counts.size(); ++s) {
      auto& half = s < 128 ? lower_ : upper_;
      if (counts[s] > 0) half[s % 16] = static_cast<uint8_t>(half[s % 16] | 1u << s / 16 % 8);
    }
  }

  // The bits of the lanes that are in the set; zero in the others.
  template <class V>
  HWY_INLINE V Test(V v) const {
    const hn::DFromV<V> d;
    const V low = hn::And(v, hn::Set(d, 0x8f));
    const V rows = hn::Or(
        hn::TableLookupBytesOr0(hn::LoadDup128(d, lower_.data()), low),
        hn::TableLookupBytesOr0(hn::LoadDup128(d, upper_.data()), hn::Xor(low, hn::Set(d, 0x80))));
    const V high = hn::And(hn::ShiftRight<4>(v), hn::Set(d, 7));
    return hn::And(rows, hn::TableLookupBytes(hn::LoadDup128(d, kPowers.data()), high));
  }

 private:
  alignas(16) static constexpr std::array<uint8_t, 16> kPowers = {1, 2, 4, 8, 16, 32, 64, 128};
  alignas(16) std::array<uint8_t, 16> lower_{}, upper_{};
};

void CountAllUnseen(Bytes plane, Counts& counts) {
  const hn::ScalableTag<uint8_t> d;
  const size_t step = hn::Lanes(d);
  ByteSet seen(counts);
  size_t i = 0;
  for (; i + step <= plane.size(); i += step) {
    const auto v = hn::LoadU(d, reinterpret_cast<const uint8_t*>(&plane[i]));
    if (HWY_LIKELY(hn::AllFalse(d, hn::Eq(seen.Test(v), hn::Zero(d))))) continue;
    CountUnseenScalar(plane.subspan(i, step), counts);
    seen = ByteSet(counts);
  }
  CountUnseenScalar(plane.subspan(i), counts);
}

#endif

// What the next kMaxBits bits of a stream begin with: up to kMaxDecoded symbols in bits 0 to 39,
// the first lowest; how many bits they take in bits 48 to 53, how many they are from 54 on.
using DecodeEntry = uint64_t;
constexpr size_t kMaxDecoded = 5;
constexpr uint64_t kSymbolBits = (uint64_t{1} << 8 * kMaxDecoded) - 1;
constexpr int kCountsShift = 48;
constexpr int kBitCountBits = 6;

constexpr DecodeEntry EntryOf(uint8_t symbol, unsigned bits) {
  return symbol | DecodeEntry{bits | 1u << kBitCountBits} << kCountsShift;
}

// A symbol, and behind it what `next` holds.
HWY_INLINE DecodeEntry Before(DecodeEntry first, DecodeEntry next) {
  return first + ((next << 8 & kSymbolBits) | (next & ~kSymbolBits));
}

struct Symbol {
  uint8_t symbol, bits;
};

// The symbols in the order of their codes; returns how many there are.
size_t SortByCode(const std::array<uint8_t, 256>& bits, std::array<Symbol, 256>& symbols) {
  std::array<size_t, kMaxBits + 1> next{};
  for (uint8_t b : bits) ++next[b];
  size_t at = 0;
  for (unsigned b = kMaxBits; b > 0; --b) at += std::exchange(next[b], at);
  for (size_t s = 0; s < bits.size(); ++s) {
    if (bits[s] > 0) symbols[next[bits[s]]++] = {static_cast<uint8_t>(s), bits[s]};
  }
  return at;
}

class DecodeTable {
 public:
  explicit DecodeTable(const std::array<uint8_t, 256>& bits) : bits_(bits) {
    std::array<Symbol, 256> symbols;
    const std::span<const Symbol> sorted(symbols.data(), SortByCode(bits, symbols));
    const unsigned shortest = sorted.back().bits;
    for (unsigned known = 0; known + shortest <= kMaxBits; ++known) {
      FillLevel(sorted, known, Level(known));
    }
    FillLevel(sorted, kMaxBits, entries_.data());
  }

  const DecodeEntry* entries() const { return entries_.data(); }

 private:
  DecodeEntry* Level(unsigned known) { return &levels_[size_t{1} << known]; }

  // For all values of the next `known` bits, what follows from these alone: the first symbol, and
  // what follows from the bits behind it.
  void FillLevel(std::span<const Symbol> sorted, unsigned known, DecodeEntry* out) {
    size_t space = 0;  // of the codes that are too long
    auto it = sorted.begin();
    for (; it != sorted.end() && it->bits > known; ++it)
      space += size_t{1} << (kMaxBits - it->bits);
    for (size_t i = 0; i < space >> (kMaxBits - known); ++i) *out++ = 0;
    for (; it != sorted.end(); ++it) {
      const unsigned rest = known - it->bits;
      const DecodeEntry* next = Level(rest);
      const DecodeEntry first = EntryOf(it->symbol, it->bits);
      const size_t count = size_t{1} << rest;
      // Codes of 2 bits and more never fill an entry.
      if (sorted.back().bits == 1) {
        for (size_t i = 0; i < count; ++i) out[i] = Before(first, WithoutLast(next[i]));
      } else {
        for (size_t i = 0; i < count; ++i) out[i] = Before(first, next[i]);
      }
      out += count;
    }
  }

  // An entry less its last symbol if it is full.
  DecodeEntry WithoutLast(DecodeEntry entry) const {
    if (entry >> (kCountsShift + kBitCountBits) < kMaxDecoded) return entry;
    const auto last = static_cast<uint8_t>(entry >> 8 * (kMaxDecoded - 1));
    return entry - (EntryOf(0, bits_[last]) | DecodeEntry{last} << 8 * (kMaxDecoded - 1));
  }

  const std::array<uint8_t, 256>& bits_;
  std::array<DecodeEntry, size_t{1} << kMaxBits> entries_;
  std::array<DecodeEntry, size_t{1} << kMaxBits> levels_;  // of up to 10 bits
};

// One stream in the middle of being decoded.
struct Cursor {
  const std::byte* in;  // the byte that holds the next bit
  const std::byte* in_end;
  std::byte* out;
  std::byte* out_end;
  unsigned skip;  // bits of *in that are decoded, below 8
};

constexpr size_t kLookups = 5;  // that a window of 64 bits is good for
constexpr size_t kMostInBytes = (7 + kLookups * kMaxBits) / 8;
constexpr size_t kMostOutBytes = kLookups * kMaxDecoded;

// How many rounds a stream is good for without looking: each loads 8 bytes, and stores 8 at a time.
HWY_INLINE size_t Rounds(const Cursor& c) {
  const size_t in = c.in_end - c.in, out = c.out_end - c.out;
  return std::min((in - std::min(in, size_t{1})) / kMostInBytes,
                  (out - std::min(out, size_t{8})) / kMostOutBytes);
}

// Decodes most of what N streams hold, taking turns.
template <size_t N>
void DecodeMost(const DecodeEntry* table, Cursor* cursors) {
  const std::byte* in[N];
  std::byte* out[N];
  uint64_t window[N];
  unsigned skip[N];
  for (;;) {
    size_t rounds = std::numeric_limits<size_t>::max();
    for (size_t k = 0; k < N; ++k) rounds = std::min(rounds, Rounds(cursors[k]));
    if (rounds == 0) return;
    for (size_t k = 0; k < N; ++k) {
      in[k] = cursors[k].in;
      out[k] = cursors[k].out;
      skip[k] = cursors[k].skip;
    }
    for (; rounds > 0; --rounds) {
      for (size_t k = 0; k < N; ++k) {
        std::memcpy(&window[k], in[k], sizeof(window[k]));
        // The lowest bit, which no lookup sees, tells how far the window was shifted.
        window[k] = (__builtin_bswap64(window[k]) | 1) << skip[k];
      }
      for (size_t i = 0; i < kLookups; ++i) {
        for (size_t k = 0; k < N; ++k) {
          const DecodeEntry entry = table[window[k] >> (64 - kMaxBits)];
          std::memcpy(out[k], &entry, sizeof(entry));
          const uint64_t counts = entry >> kCountsShift;
          window[k] <<= counts % (1u << kBitCountBits);
          out[k] += counts >> kBitCountBits;
        }
      }
      for (size_t k = 0; k < N; ++k) {
        const auto shifted = static_cast<unsigned>(std::countr_zero(window[k]));
        in[k] += shifted / 8;
        skip[k] = shifted % 8;
      }
    }
    for (size_t k = 0; k < N; ++k) {
      cursors[k].in = in[k];
      cursors[k].out = out[k];
      cursors[k].skip = skip[k];
    }
  }
}

// Decodes the rest of a stream; false when it does not end with its symbols.
bool DecodeRest(const DecodeEntry* table, const std::array<uint8_t, 256>& bits, Cursor& c) {
  while (c.out < c.out_end) {
    uint64_t window = 0;
    std::memcpy(&window, c.in, std::min<size_t>(sizeof(window), c.in_end - c.in));
    window = __builtin_bswap64(window) << c.skip;
    const DecodeEntry entry = table[window >> (64 - kMaxBits)];
    const auto symbol = static_cast<uint8_t>(entry);
    *c.out++ = std::byte{symbol};
    const unsigned skip = c.skip + bits[symbol];
    if (skip > 8 * static_cast<size_t>(c.in_end - c.in)) return false;
    c.in += skip / 8;
    c.skip = skip % 8;
  }
  if (c.skip == 0) return c.in == c.in_end;
  const auto padding = static_cast<uint8_t>(std::to_integer<unsigned>(*c.in) << c.skip);
  return c.in + 1 == c.in_end && padding == 0;
}

bool Decode(const std::array<uint8_t, 256>& bits, const StreamBytes& streams,
            MutableBytes symbols) {
  const DecodeTable table(bits);
  Cursor cursors[kStreams];
  for (size_t k = 0; k < kStreams; ++k) {
    const Bytes in = streams[k];
    const MutableBytes out = StreamPart(symbols, k);
    cursors[k] = {in.data(), in.data() + in.size(), out.data(), out.data() + out.size(), 0};
  }
  DecodeMost<kStreams>(table.entries(), cursors);
  for (Cursor& c : cursors) {
    DecodeMost<1>(table.entries(), &c);
    if (!DecodeRest(table.entries(), bits, c)) return false;
  }
  return true;
}

}  // namespace bitsnap::huffman::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitsnap::huffman {

HWY_EXPORT(Encode);
HWY_EXPORT(CountAllUnseen);
HWY_EXPORT(Decode);

StreamSizes EncodeStreams(const Code& code, Bytes symbols, std::byte* out) {
  return HWY_DYNAMIC_DISPATCH(Encode)(code, symbols, out);
}

void CountUnseen(Bytes plane, Counts& counts) {
  HWY_DYNAMIC_DISPATCH(CountAllUnseen)(plane, counts);
}

bool DecodeStreams(const std::array<uint8_t, 256>& bits, const StreamBytes& streams,
                   MutableBytes symbols) {
  return HWY_DYNAMIC_DISPATCH(Decode)(bits, streams, symbols);
}

}  // namespace bitsnap::huffman
#endif  // HWY_ONCE
