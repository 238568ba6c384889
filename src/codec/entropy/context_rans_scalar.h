// rANS a symbol at a time: for few lanes, for what is left after whole groups, and where there are
// no vectors.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>

#include "codec/entropy/context_rans.h"

namespace bitsnap::context_rans {

// Codes one symbol; returns the end of the words.
inline std::byte* EncodeOne(const EncodeTable& table, std::byte symbol, std::byte context,
                            uint32_t& x, std::byte* out) {
  const size_t index = std::to_integer<size_t>(context) << 8 | std::to_integer<size_t>(symbol);
  const uint64_t entry = table[index];
  const auto frequency = static_cast<uint32_t>(entry & 0xffff);
  const auto start = static_cast<uint32_t>(entry >> 16 & 0xffff);
  if (x >> (32 - kScaleBits) >= frequency) {
    const auto word = static_cast<uint16_t>(x);
    std::memcpy(out, &word, sizeof(word));
    out += sizeof(word);
    x >>= 16;
  }
  auto quotient = static_cast<uint32_t>(x * (entry >> 32) >> 32);
  quotient += x - quotient * frequency >= frequency;
  x += start + quotient * (kScale - frequency);
  return out;
}

// Decodes one symbol; returns the end of the words left, which may have passed `begin`.
inline const std::byte* DecodeOne(DecodeTable table, std::byte context, uint32_t& x,
                                  std::byte& symbol, const std::byte* begin, const std::byte* end) {
  const uint32_t entry = table[std::to_integer<size_t>(context) << kScaleBits | x % kScale];
  symbol = static_cast<std::byte>(entry);
  const uint32_t frequency = (entry >> 8) % kScale + 1;
  x = frequency * (x >> kScaleBits) + (entry >> 20);
  if (x >> 16 == 0) {
    end -= sizeof(uint16_t);
    uint16_t word = 0;
    if (end >= begin) std::memcpy(&word, end, sizeof(word));
    x = x << 16 | word;
  }
  return end;
}

// Whole groups, then the rest. Requires: the first symbol is one of lane 0.
template <size_t kLanes>
std::byte* EncodeScalar(const EncodeTable& table, Bytes symbols, Bytes contexts, States& states,
                        std::byte* out) {
  std::array<uint32_t, kLanes> x;
  std::copy_n(states.begin(), kLanes, x.begin());
  size_t i = 0;
  for (; i + kLanes <= symbols.size(); i += kLanes) {
    for (size_t k = 0; k < kLanes; ++k) {
      out = EncodeOne(table, symbols[i + k], contexts[i + k], x[k], out);
    }
  }
  for (; i < symbols.size(); ++i) {
    out = EncodeOne(table, symbols[i], contexts[i], x[i % kLanes], out);
  }
  std::ranges::copy(x, states.begin());
  return out;
}

// Returns the end of the words left; null when they do not suffice.
template <size_t kLanes>
const std::byte* DecodeScalar(DecodeTable table, const std::byte* begin, const std::byte* end,
                              Bytes contexts, States& states, MutableBytes symbols) {
  std::array<uint32_t, kLanes> x;
  std::copy_n(states.begin(), kLanes, x.begin());
  size_t i = symbols.size();
  for (; i % kLanes != 0; --i) {
    end = DecodeOne(table, contexts[i - 1], x[(i - 1) % kLanes], symbols[i - 1], begin, end);
  }
  for (; i > 0 && end >= begin; i -= kLanes) {
    for (size_t k = kLanes; k-- > 0;) {
      const size_t at = i - kLanes + k;
      end = DecodeOne(table, contexts[at], x[k], symbols[at], begin, end);
    }
  }
  std::ranges::copy(x, states.begin());
  return end < begin ? nullptr : end;
}

}  // namespace bitsnap::context_rans
