#include "tests/support/codec_blocks.h"

#include "tests/support/test_data.h"

namespace bitsnap::test {
namespace {

// `mode` absent: no base.
Block MakeBlock(DType dtype, Content content, std::optional<BaseMode> mode, size_t words) {
  const size_t word_bytes = WordBytes(dtype);
  Block block;
  block.dtype = dtype;
  block.raw = MakeContent(content, dtype, words * word_bytes, words);
  if (mode) block.base = MakeBase(*mode, block.raw, word_bytes, words);
  block.label = std::to_string(words) + " words of " + std::string(DTypeName(dtype)) + ", " +
                std::string(ContentName(content)) +
                (mode ? ", base " + std::string(BaseModeName(*mode)) : ", no base");
  return block;
}

std::vector<DType> DTypesOf(const Codec& codec) {
  std::vector<DType> dtypes;
  for (uint8_t code = 0; code < kDTypeCount; ++code) {
    if (codec.Supports(*DTypeFromCode(code))) dtypes.push_back(*DTypeFromCode(code));
  }
  return dtypes;
}

}  // namespace

void ForEachSmallBlock(const Codec& codec, const std::function<void(const Block&)>& body) {
  for (DType dtype : DTypesOf(codec)) {
    for (Content content : kAllContents) {
      for (size_t words : {1, 2, 3, 31, 65, 255, 256, 257}) {
        if (!codec.needs_base()) body(MakeBlock(dtype, content, std::nullopt, words));
        for (BaseMode mode : kAllBaseModes) body(MakeBlock(dtype, content, mode, words));
      }
    }
  }
}

void ForEachLargeBlock(const Codec& codec, size_t most_bytes,
                       const std::function<void(const Block&)>& body) {
  for (DType dtype : DTypesOf(codec)) {
    for (Content content : {Content::kZeros, Content::kWeights, Content::kSpecials}) {
      for (size_t words : {size_t{1003}, size_t{4099}, kBlockBytes / WordBytes(dtype)}) {
        if (words * WordBytes(dtype) > most_bytes) continue;
        body(MakeBlock(dtype, content, BaseMode::kFewChanged, words));
      }
    }
  }
}

std::optional<std::vector<std::byte>> EncodeBlock(const Codec& codec, const Block& block,
                                                  Scratch& scratch) {
  static std::vector<std::byte> out;
  const size_t bound = codec.EncodeBound(block.raw.size());
  if (out.size() < bound) out.resize(bound);
  const auto size = codec.Encode(block.context(), block.raw, SIZE_MAX, out, scratch);
  if (!size) return std::nullopt;
  return std::vector<std::byte>(out.begin(), out.begin() + *size);
}

}  // namespace bitsnap::test
