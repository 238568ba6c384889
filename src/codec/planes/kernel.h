// Words to byte planes and back.
#pragma once

#include <array>

#include "base/bytes.h"

namespace bitsnap::planes {

inline constexpr size_t kMaxWordBytes = 8;

// The planes of one block, wherever each of them is; those past the word's bytes are unused.
using MutablePlanePointers = std::array<std::byte*, kMaxWordBytes>;
using PlanePointers = std::array<const std::byte*, kMaxWordBytes>;

// Puts byte k of word i at planes[k][i]. With `rotate`, each word is first rotated left by
// one bit: a float's exponent then fills the last plane and its sign is bit 0 of the first.
// Requires: word_bytes is 1, 2, 4 or 8 and divides raw.size(); room for raw.size() / word_bytes
// bytes behind each of the first `word_bytes` pointers.
void Split(size_t word_bytes, bool rotate, Bytes raw, const MutablePlanePointers& planes);

// The inverse of Split. Requires: word_bytes as above and dividing out.size(); out.size() /
// word_bytes bytes behind each of the first `word_bytes` pointers.
void Merge(size_t word_bytes, bool rotated, const PlanePointers& planes, MutableBytes out);

}  // namespace bitsnap::planes
