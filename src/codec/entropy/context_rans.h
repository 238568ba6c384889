// rANS over bytes whose frequencies depend on a context that the decoder knows beforehand: 32
// interleaved states, 12-bit frequencies, 16-bit renormalisation words. One pass codes all
// contexts, where a stream for each would need its symbols sorted and its own 32 states.
//
// The encoder goes forward and the decoder comes back from the last symbol to the first, so that
// both append to and pop from the same end of the words. codec/delta/spec.md has the details.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "codec/entropy/bits.h"

namespace bitsnap::context_rans {

inline constexpr int kScaleBits = 12;
inline constexpr uint32_t kScale = 1 << kScaleBits;
inline constexpr size_t kMaxContexts = 16;

// States that take turns: the more, the faster and the more bytes. The most go by SIMD.
inline constexpr size_t kMaxLanes = 32;
inline constexpr std::array<size_t, 3> kLaneChoices = {2, 8, kMaxLanes};

// Half of the states stand before the words and half behind: a kernel may so load whole vectors at
// either end of the words.
inline constexpr size_t HalfStateBytes(size_t lanes) { return lanes / 2 * sizeof(uint32_t); }
// Bytes past the coded ones that EncodeSymbols may scribble on.
inline constexpr size_t kEncodeSlack = 64;

using States = std::array<uint32_t, kMaxLanes>;
// What every state is before the first symbol is coded, and so after the last one is decoded.
inline constexpr uint32_t kInitialState = 1 << 16;

// Indexed by symbol. The frequencies of one context sum to kScale.
using Counts = std::array<uint32_t, 256>;
using Frequencies = std::array<uint16_t, 256>;

// Scales counts to frequencies; what occurs at all gets at least 1. Part of the format, because
// tables hold counts. Requires: not all are zero, all below 2^32 / 256.
Frequencies Normalize(const Counts& counts);

// A count with all bits but the highest three rounded away. Tables hold counts like this: more
// precise ones would take more bits than they save.
constexpr uint32_t Rounded(uint32_t count) {
  const int shift = std::max(0, static_cast<int>(std::bit_width(count)) - 3);
  return (count + (1u << shift >> 1)) >> shift << shift;
}

// Upper bound of the bits that WriteCounts appends.
inline constexpr size_t kMaxTableBits = 8 + 256 * 13;
// Bit width of the largest count that a table may hold.
inline constexpr unsigned kMaxCountBits = 20;

// Counts as bits. Requires: all are Rounded and below 2^kMaxCountBits, some are not 0.
void WriteCounts(const Counts& counts, BitWriter& out);
// nullopt when malformed; never counts a symbol from `symbols` on.
std::optional<Counts> ReadCounts(size_t symbols, BitReader& in);

// What EncodeSymbols looks up, at [256 * context + symbol]: the frequency in bits 0 to 15, the
// start of its range in bits 16 to 31, and above them floor(2^32 / frequency), or 2^32 - 1 for 1:
// by it, a quotient comes out right or too small by one.
using EncodeTable = std::array<uint64_t, 256 * kMaxContexts>;

// What DecodeSymbols looks up: at [kScale * context + x % kScale] the symbol in bits 0 to 7, its
// frequency less 1 in bits 8 to 19, and in the rest x % kScale less the start of its range.
using DecodeTable = std::span<uint32_t>;

void FillEncodeTable(const Frequencies& frequencies, size_t context, EncodeTable& table);
// Requires: table.size() >= kScale * (context + 1).
void FillDecodeTable(const Frequencies& frequencies, size_t context, DecodeTable table);

// Appends the words to `out` and returns their bytes, at most 2 a symbol; changes the first `lanes`
// of `states`.
// Requires: lanes is one of kLaneChoices; each symbol has a frequency in its context;
// contexts.size() == symbols.size(); room for 2 bytes a symbol and kEncodeSlack more at `out`.
size_t EncodeSymbols(const EncodeTable& table, size_t lanes, Bytes symbols, Bytes contexts,
                     States& states, std::byte* out);

// Decodes symbols.size() symbols from the end of `words`, changing the first `lanes` of `states`.
// Returns the bytes of `words` that are left at the front; nullopt when they do not suffice.
// Requires: lanes is one of kLaneChoices; contexts below those in `table`; contexts.size() ==
// symbols.size(); HalfStateBytes(lanes) readable bytes on either side of `words`.
std::optional<size_t> DecodeSymbols(DecodeTable table, size_t lanes, Bytes words, Bytes contexts,
                                    States& states, MutableBytes symbols);

}  // namespace bitsnap::context_rans
