// rANS of one frequency table over bytes: context_rans with a single context and 32 states.
// planes/spec.md has the details.
#pragma once

#include <optional>

#include "base/bytes.h"
#include "codec/entropy/context_rans.h"

namespace bitsnap::rans {

// Below this many symbols the table and the states take more than coding gains.
inline constexpr size_t kMinSymbols = 1001;
// So that a table can hold every count.
inline constexpr size_t kMaxSymbols = size_t{1} << (context_rans::kMaxCountBits - 1);

// What Encode needs of `out`.
size_t EncodeBound(size_t symbols);

// Codes `symbols` into the front of `out`; nullopt when that does not make them smaller.
// Requires: symbols.size() >= kMinSymbols and at most kMaxSymbols;
// out.size() >= EncodeBound(symbols.size()).
std::optional<size_t> Encode(Bytes symbols, MutableBytes out);

// Working memory that Decode needs.
inline constexpr size_t kDecodeWorkBytes = context_rans::kScale * sizeof(uint32_t);

// Decodes `coded`, of any origin, into exactly `symbols`; false when it is malformed, too short or
// too long. Requires: work.size() >= kDecodeWorkBytes, work aligned to 4 bytes.
bool Decode(Bytes coded, MutableBytes symbols, MutableBytes work);

}  // namespace bitsnap::rans
