#include "codec/planes/kernel_ref.h"

namespace bitsnap::planes {

// Bit b of a word goes to bit b + 1 of the rotated word, the highest to bit 0.
void SplitRef(size_t word_bytes, bool rotate, Bytes raw, const MutablePlanePointers& planes) {
  const size_t words = raw.size() / word_bytes;
  for (size_t i = 0; i < words; ++i) {
    const Bytes word = raw.subspan(i * word_bytes, word_bytes);
    for (size_t k = 0; k < word_bytes; ++k) {
      const std::byte below = word[(k + word_bytes - 1) % word_bytes];
      planes[k][i] = rotate ? word[k] << 1 | below >> 7 : word[k];
    }
  }
}

void MergeRef(size_t word_bytes, bool rotated, const PlanePointers& planes, MutableBytes out) {
  const size_t words = out.size() / word_bytes;
  for (size_t i = 0; i < words; ++i) {
    for (size_t k = 0; k < word_bytes; ++k) {
      const std::byte above = planes[(k + 1) % word_bytes][i];
      out[i * word_bytes + k] = rotated ? planes[k][i] >> 1 | above << 7 : planes[k][i];
    }
  }
}

}  // namespace bitsnap::planes
