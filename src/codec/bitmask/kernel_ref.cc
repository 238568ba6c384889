#include "codec/bitmask/kernel_ref.h"

#include <algorithm>
#include <bit>

#include "codec/bitmask/kernel.h"

namespace bitsnap::bitmask {

size_t PackChangedRef(size_t word_bytes, Bytes base, Bytes raw, size_t max_changed,
                      MutableBytes out) {
  const size_t words = raw.size() / word_bytes;
  const MutableBytes mask = out.first(MaskBytes(words));
  MutableBytes values = out.subspan(mask.size());
  std::ranges::fill(mask, std::byte{0});
  size_t changed = 0;
  for (size_t i = 0; i < words; ++i) {
    const Bytes word = raw.subspan(i * word_bytes, word_bytes);
    if (std::ranges::equal(word, base.subspan(i * word_bytes, word_bytes))) continue;
    if (++changed > max_changed) return changed;
    mask[i / 8] |= std::byte{1} << (i % 8);
    std::ranges::copy(word, values.begin());
    values = values.subspan(word_bytes);
  }
  return changed;
}

size_t CountBitsRef(Bytes mask) {
  size_t bits = 0;
  for (std::byte b : mask) bits += std::popcount(std::to_integer<uint8_t>(b));
  return bits;
}

void UnpackChangedRef(size_t word_bytes, Bytes base, Bytes mask, Bytes values, MutableBytes out) {
  const size_t words = out.size() / word_bytes;
  for (size_t i = 0; i < words; ++i) {
    const bool changed = std::to_integer<unsigned>(mask[i / 8] >> (i % 8)) & 1;
    const Bytes word =
        changed ? values.first(word_bytes) : base.subspan(i * word_bytes, word_bytes);
    std::ranges::copy(word, out.begin() + i * word_bytes);
    if (changed) values = values.subspan(word_bytes);
  }
}

}  // namespace bitsnap::bitmask
