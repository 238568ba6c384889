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

void ForEachBlock(const Codec& codec, std::span<const size_t> word_counts,
                  const std::function<void(const Block&)>& body) {
  for (DType dtype : DTypesOf(codec)) {
    for (Content content : kAllContents) {
      for (size_t words : word_counts) {
        if (!codec.needs_base()) body(MakeBlock(dtype, content, std::nullopt, words));
        for (BaseMode mode : kAllBaseModes) body(MakeBlock(dtype, content, mode, words));
      }
    }
  }
}

void ForEachWholeBlock(const Codec& codec, const std::function<void(const Block&)>& body) {
  for (DType dtype : DTypesOf(codec)) {
    body(
        MakeBlock(dtype, Content::kWeights, BaseMode::kFewChanged, kBlockBytes / WordBytes(dtype)));
  }
}

std::optional<std::vector<std::byte>> EncodeBlock(const Codec& codec, const Block& block,
                                                  Scratch& scratch, size_t limit) {
  std::vector<std::byte> out(codec.EncodeBound(block.raw.size()));
  const auto size = codec.Encode(block.context(), block.raw, limit, out, scratch);
  if (!size) return std::nullopt;
  // A new buffer, so that the address sanitizer sees what reads past the end.
  return std::vector<std::byte>(out.begin(), out.begin() + *size);
}

}  // namespace bitsnap::test
