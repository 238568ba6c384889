// Order-0 rANS over bytes, by htscodecs: 32 interleaved states, 12-bit frequencies, the stream
// format "rANS Nx16" of the CRAM 3.1 codecs, restricted to the one flags byte 0x14 (32 states, no
// stored size). The other modes of that format are refused, so that no file reaches their code.
#pragma once

#include <optional>

#include "base/bytes.h"

namespace bitsnap::rans {

// The library falls back to another mode below this many symbols.
inline constexpr size_t kMinSymbols = 1001;

// What Encode needs of `out`. Requires: symbols < 2^31.
size_t EncodeBound(size_t symbols);

// Codes `symbols` into the front of `out`; nullopt when that does not make them smaller. The bytes
// are the same whichever SIMD version the library picks.
// Requires: symbols.size() >= kMinSymbols, out.size() >= EncodeBound(symbols.size()).
std::optional<size_t> Encode(Bytes symbols, MutableBytes out);

// The library's decoders read some bytes past a stream that lies (16 with AVX2), hence the copy.
inline constexpr size_t kDecodePadding = 64;

// Decodes `coded`, of any origin, into exactly `symbols`; false when it is malformed. Streams that
// are too long or end in the wrong states are not told apart from good ones: check the result.
// Requires: work.size() >= coded.size() + kDecodePadding.
bool Decode(Bytes coded, MutableBytes symbols, MutableBytes work);

}  // namespace bitsnap::rans
