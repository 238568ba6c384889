// Tensor bytes for tests: what training produces and what breaks codecs. Same arguments, same bytes
// on every machine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <bitsnap/dtype.h>

#include "base/bytes.h"

namespace bitsnap::test {

enum class Content {
  kZeros,
  kConstant,   // one value of a weight everywhere
  kWeights,    // N(0, 0.02) in the dtype; integers N(0, 20)
  kSpecials,   // weights with NaN payloads, infinities, -0.0 and denormals here and there
  kNans,       // all NaN or infinite
  kDenormals,  // and zeros of both signs
  kAscending,  // integers 0, 3, 6 …
  kRandomBits,
  kLeftovers,  // uninitialised padding: runs of zeros, pointers, text and noise
};

inline constexpr std::array kAllContents = {
    Content::kZeros,     Content::kConstant,   Content::kWeights,
    Content::kSpecials,  Content::kNans,       Content::kDenormals,
    Content::kAscending, Content::kRandomBits, Content::kLeftovers,
};

std::string_view ContentName(Content content);

// `bytes` is a multiple of WordBytes(dtype).
std::vector<std::byte> MakeContent(Content content, DType dtype, size_t bytes, uint64_t seed);

// How a base differs from the tensor coded against it.
enum class BaseMode { kEqual, kFewChanged, kAllChanged };

inline constexpr std::array kAllBaseModes = {BaseMode::kEqual, BaseMode::kFewChanged,
                                             BaseMode::kAllChanged};

std::string_view BaseModeName(BaseMode mode);

// Bytes like `raw`, of which no, about one of 16, or all words of `word_bytes` differ.
std::vector<std::byte> MakeBase(BaseMode mode, Bytes raw, size_t word_bytes, uint64_t seed);

// Whether the word at `word` is an infinity or NaN. False for dtypes that are no IEEE floats.
bool IsNonFinite(DType dtype, const std::byte* word);

}  // namespace bitsnap::test
