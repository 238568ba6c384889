// Blocks to symbols and back; spec.md says what they mean. Lossless on any bits.
#pragma once

#include <cstdint>
#include <span>

#include <bitsnap/dtype.h>

#include "base/bytes.h"
#include "codec/entropy/bits.h"

namespace bitsnap::delta {

// Words that are skipped or coded together.
inline constexpr size_t kGroup = 64;

// The symbol of each word; 0 is for a word that equals its base.
// Requires here and below: dtype is BF16, F16 or F32; base.size() == raw.size() or out.size(),
// whole words; one byte a word in `symbols`, `exponents` and `classes`.
void MakeSymbols(DType dtype, Bytes base, Bytes raw, MutableBytes symbols);

// Sets bit g % 64 of groups[g / 64] when any word of group g differs from its base, and clears it
// otherwise. Returns how many words differ. Requires: a bit for each group.
size_t FindChanged(Bytes symbols, std::span<uint64_t> groups);

// Appends the extra bits of the words whose symbol has some.
void WriteExtras(DType dtype, Bytes base, Bytes raw, Bytes symbols, BitWriter& out);

// The exponent field of each word.
void Exponents(DType dtype, Bytes base, MutableBytes exponents);

// Replaces each byte by the number of `bounds` that it reaches.
void Classify(std::span<const uint8_t> bounds, MutableBytes bytes);

// Puts words together from base, symbols and extra bits.
// Requires: symbols below the layout's kSymbols.
void Restore(DType dtype, Bytes base, Bytes symbols, BitReader& extras, MutableBytes out);

}  // namespace bitsnap::delta
