// rANS over bytes whose frequencies depend on a context that the decoder knows beforehand: 32
// interleaved states, 12-bit frequencies, 16-bit renormalisation words. One pass codes all
// contexts, where a stream for each would need its symbols sorted and its own 32 states.
//
// The encoder goes forward and the decoder comes back from the last symbol to the first, so that
// both append to and pop from the same end of the words. codec/delta/spec.md has the details.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "codec/entropy/bits.h"

namespace bitsnap::context_rans {

inline constexpr size_t kLanes = 32;
inline constexpr int kScaleBits = 12;
inline constexpr uint32_t kScale = 1 << kScaleBits;
inline constexpr size_t kMaxContexts = 16;

// Bytes that either half of the states takes. The first half stands before the words and the second
// behind: a kernel may so load whole vectors at either end of the words.
inline constexpr size_t kHalfStateBytes = kLanes / 2 * sizeof(uint32_t);
// Bytes past the coded ones that Encode may scribble on.
inline constexpr size_t kEncodeSlack = 64;

using States = std::array<uint32_t, kLanes>;
// What every state is before the first symbol is coded, and so after the last one is decoded.
inline constexpr uint32_t kInitialState = 1 << 16;

// Indexed by symbol; the frequencies of one context sum to kScale.
using Counts = std::array<uint32_t, 256>;
using Frequencies = std::array<uint16_t, 256>;

// Scales counts, not all zero, to frequencies; what occurs at all gets at least 1.
Frequencies Normalize(const Counts& counts);

// Upper bound of the bits that WriteFrequencies appends.
inline constexpr size_t kMaxTableBits = 256 * 16;

// Frequencies as bits: for each symbol in order until the sum is kScale, the frequency's bit width
// in 4 bits, then the bits below its highest; after a width of 0, 4 bits say how many more zeros
// follow.
void WriteFrequencies(const Frequencies& frequencies, BitWriter& out);
// nullopt when they do not sum to kScale or name a symbol from `symbols` on.
std::optional<Frequencies> ReadFrequencies(size_t symbols, BitReader& in);

// What EncodeSymbols looks up, for symbol s in context c at [256 c + s].
struct EncodeEntry {
  static constexpr uint32_t Range(uint32_t start, uint32_t frequency) {
    return start << 16 | frequency;
  }
  // floor(2^32 / frequency), cut to 32 bits: too small by one in places, which the kernel corrects.
  static constexpr uint32_t Reciprocal(uint32_t frequency) {
    return frequency == 1 ? UINT32_MAX : static_cast<uint32_t>((uint64_t{1} << 32) / frequency);
  }
};
struct EncodeTable {
  std::array<uint32_t, 256 * kMaxContexts> ranges;
  std::array<uint32_t, 256 * kMaxContexts> reciprocals;
};

// What DecodeSymbols looks up: at [kScale * context + x % kScale] the symbol in bits 0 to 7, its
// frequency less 1 in bits 8 to 19, and in the rest x % kScale less the start of its range.
using DecodeTable = std::span<uint32_t>;

void FillEncodeTable(const Frequencies& frequencies, size_t context, EncodeTable& table);
// Requires: table.size() >= kScale * (context + 1).
void FillDecodeTable(const Frequencies& frequencies, size_t context, DecodeTable table);

// Appends the words to `out` and returns their bytes, at most 2 a symbol; changes `states`.
// Requires: each symbol has a frequency in its context; contexts.size() == symbols.size(); room for
// 2 bytes a symbol and kEncodeSlack more at `out`.
size_t EncodeSymbols(const EncodeTable& table, Bytes symbols, Bytes contexts, States& states,
                     std::byte* out);

// Decodes symbols.size() symbols from the end of `words`, changing `states`. Returns the bytes of
// `words` that are left at the front; nullopt when they do not suffice.
// Requires: contexts below those in `table`; contexts.size() == symbols.size(); kHalfStateBytes
// readable bytes on either side of `words`.
std::optional<size_t> DecodeSymbols(DecodeTable table, Bytes words, Bytes contexts, States& states,
                                    MutableBytes symbols);

}  // namespace bitsnap::context_rans
