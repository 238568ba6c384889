// The loops of huffman.cc.
#pragma once

#include <algorithm>
#include <array>

#include "codec/entropy/huffman.h"

namespace bitsnap::huffman {

// How many symbols go into each stream but the last ones.
constexpr size_t StreamSymbols(size_t symbols) { return (symbols + kStreams - 1) / kStreams; }

// The symbols that stream `k` holds.
template <class Span>
Span StreamPart(Span symbols, size_t k) {
  const size_t begin = std::min(k * StreamSymbols(symbols.size()), symbols.size());
  return symbols.subspan(begin, std::min(StreamSymbols(symbols.size()), symbols.size() - begin));
}

using StreamSizes = std::array<size_t, kStreams>;

// Writes the streams back to back. Requires: each symbol has a code; room at `out` for kMaxBits for
// each of them, a byte more for each stream, and kEncodeSlack.
inline constexpr size_t kEncodeSlack = 8;
StreamSizes EncodeStreams(const Code& code, Bytes symbols, std::byte* out);

// False when a stream is shorter or longer than its symbols need.
// Requires: the bits of a complete code.
using StreamBytes = std::array<Bytes, kStreams>;
bool DecodeStreams(const std::array<uint8_t, 256>& bits, const StreamBytes& streams,
                   MutableBytes symbols);

}  // namespace bitsnap::huffman
