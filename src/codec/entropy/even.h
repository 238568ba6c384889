// Bytes whose lowest bit is zero, in 7 bits each: the lowest plane of floats that are never
// negative.
#pragma once

#include "base/bytes.h"

namespace bitsnap::even {

bool IsEven(Bytes plane);

// Bytes that a plane of `symbols` bytes takes: a string of 7 bits for each, the first in the lowest
// bits of the first byte, filled up with zeros.
constexpr size_t PackedBytes(size_t symbols) { return (symbols * 7 + 7) / 8; }

// Past the packed bytes, Pack may scribble on these many.
inline constexpr size_t kPackSlack = 8;

// Requires: IsEven(plane); room for PackedBytes(plane.size()) + kPackSlack at `out`.
void Pack(Bytes plane, std::byte* out);

// False when the filling is not zero. Requires: packed.size() == PackedBytes(plane.size()).
bool Unpack(Bytes packed, MutableBytes plane);

}  // namespace bitsnap::even
