// Byte shuffles that gather the words of a mask, or scatter words to it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace bitsnap::bitmask {

// For words of `kWord` bytes in a vector of 16 bytes (8 for one-byte words): one row for each mask.
template <size_t kWord>
struct Shuffles {
  static constexpr size_t kLanes = kWord == 1 ? 8 : 16 / kWord;
  static constexpr size_t kBytes = kLanes * kWord;
  using Rows = std::array<std::array<uint8_t, kBytes>, size_t{1} << kLanes>;

  // Moves the words of the mask to the front.
  alignas(16) Rows compress{};
  // Moves the front words to the mask's positions; 0x80 marks bytes outside the mask.
  alignas(16) Rows expand{};

  constexpr Shuffles() {
    for (size_t mask = 0; mask < expand.size(); ++mask) {
      uint8_t front = 0;
      for (uint8_t i = 0; i < kBytes; ++i) {
        const bool set = mask >> (i / kWord) & 1;
        expand[mask][i] = set ? front : uint8_t{0x80};
        if (set) compress[mask][front++] = i;
      }
    }
  }
};

template <size_t kWord>
inline constexpr Shuffles<kWord> kShuffles;

}  // namespace bitsnap::bitmask
