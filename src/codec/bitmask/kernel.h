// Packed bitmask of the words that differ from a base. Words are compared as integers.
#pragma once

#include "base/bytes.h"

namespace bitsnap::bitmask {

// Bytes past the packed result that PackChanged may scribble on.
inline constexpr size_t kPackSlack = 16;

inline constexpr size_t MaskBytes(size_t words) { return words / 8 + (words % 8 != 0); }

// Writes the mask (bit i % 8 of byte i / 8 is set when word i of `raw` differs from that of `base`)
// to the front of `out` and behind it the changed words of `raw`, in order. Returns how many words
// changed. As soon as that exceeds `max_changed` it gives up: it then returns some number above
// `max_changed` and what is in `out` is unspecified.
// Requires: word_bytes is 1, 2, 4 or 8 and divides raw.size(); base.size() == raw.size(); out holds
// MaskBytes(words) + raw.size() + kPackSlack bytes.
size_t PackChanged(size_t word_bytes, Bytes base, Bytes raw, size_t max_changed, MutableBytes out);

// Number of set bits.
size_t CountBits(Bytes mask);

// The inverse: words whose bit is set come from `values`, in order, the others from `base`.
// Requires: word_bytes as above and dividing out.size(); base.size() == out.size(); mask.size() ==
// MaskBytes(words), with the bits past the last word zero; values.size() == CountBits(mask) *
// word_bytes.
void UnpackChanged(size_t word_bytes, Bytes base, Bytes mask, Bytes values, MutableBytes out);

}  // namespace bitsnap::bitmask
