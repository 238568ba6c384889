// Canonical Huffman codes over bytes, of up to 11 bits, in four streams: within two percent or so
// of rANS where no symbol is very likely, and several times faster. planes/spec.md has the details.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "codec/entropy/estimate.h"

namespace bitsnap::huffman {

inline constexpr unsigned kMaxBits = 11;
inline constexpr size_t kStreams = 4;

// Indexed by symbol. A complete prefix code: every sequence of bits means something.
struct Code {
  std::array<uint8_t, 256> bits;    // at most kMaxBits; 0: has no code
  std::array<uint8_t, 256> values;  // the codes themselves; bits above the lowest 8 are zero
};

// The best code for these counts; none for less than two symbols, and where a value does not fit:
// what codes badly in any case.
// Requires: counts sum to less than 2^32.
std::optional<Code> BuildCode(const Counts& counts);

// Roughly the bytes that Encode makes of `symbols` symbols of which `sample` is a sample.
// Requires: some count is not 0.
size_t EstimateCodedBytes(const Code& code, const Counts& sample, size_t symbols);

// What Encode needs of `out`.
size_t EncodeBound(size_t symbols);

// Gives a count to those symbols of `plane` that have none.
void CountUnseen(Bytes plane, Counts& counts);

// Codes `symbols` into the front of `out`, and returns how many bytes that are.
// Requires: each symbol has a code; out.size() >= EncodeBound(symbols.size()); symbols < 2^31.
size_t Encode(const Code& code, Bytes symbols, MutableBytes out);

// Decodes `coded`, of any origin, into exactly `symbols`; false when it is malformed.
bool Decode(Bytes coded, MutableBytes symbols);

}  // namespace bitsnap::huffman
