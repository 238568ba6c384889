// Blocks to try any codec on.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "codec/codec.h"

namespace bitsnap::test {

struct Block {
  std::string label;
  DType dtype;
  std::vector<std::byte> raw;
  std::optional<std::vector<std::byte>> base;

  BlockContext context() const { return {dtype, raw.size(), base}; }
};

// A block of `words` words for each dtype that the codec supports, each content and each way that a
// base can differ, or none where the codec can do without.
void ForEachBlock(const Codec& codec, std::span<const size_t> word_counts,
                  const std::function<void(const Block&)>& body);

// A whole block of weights for each dtype, against a base with few changes.
void ForEachWholeBlock(const Codec& codec, const std::function<void(const Block&)>& body);

// The coded bytes, of exactly their size; nullopt where Encode gives that.
std::optional<std::vector<std::byte>> EncodeBlock(const Codec& codec, const Block& block,
                                                  Scratch& scratch, size_t limit = SIZE_MAX);

}  // namespace bitsnap::test
