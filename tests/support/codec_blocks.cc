#include "tests/support/codec_blocks.h"

#include <algorithm>
#include <cstring>

#include "tests/support/test_data.h"

namespace bitsnap::test {
namespace {

// `mode` absent: no base.
Block MakeBlock(const Codec& codec, DType dtype, Content content, std::optional<BaseMode> mode,
                size_t words) {
  const size_t word_bytes = WordBytes(dtype);
  Block block;
  block.dtype = dtype;
  block.codec_parts = codec.parts();
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

// What a 16-bit copy of fp32 values would be, cut instead of rounded, with some that differ: every
// 32nd value's copy is its neighbour, every 100th is unrelated.
std::vector<std::byte> MakePeer(DType dtype, Bytes raw) {
  std::vector<std::byte> peer(raw.size() / 2);
  for (size_t i = 0; i < peer.size() / 2; ++i) {
    uint32_t bits;
    std::memcpy(&bits, raw.data() + 4 * i, sizeof(bits));
    auto half = static_cast<uint16_t>(bits >> 16);
    if (dtype == DType::kF16) {
      const int exponent = static_cast<int>(bits >> 23 & 0xff) - 112;
      const int kept = std::clamp(exponent, 0, 31) << 10 | static_cast<int>(bits >> 13 & 0x3ff);
      half = static_cast<uint16_t>((bits >> 16 & 0x8000) | static_cast<unsigned>(kept));
    }
    if (i % 32 == 31) half ^= 1;
    if (i % 100 == 99) half ^= 0x5555;
    std::memcpy(peer.data() + 2 * i, &half, sizeof(half));
  }
  return peer;
}

bool Prepare(const Codec& codec, const Accepted& accepted, Block& block);

// Codes the block's base as a block that stands alone. False: refused.
bool CodeBase(const Accepted& accepted, Block& block) {
  Block base = block;
  base.raw = *block.base;
  base.base.reset();
  const Codec& codec = GetCodec(CodecId::kAdam);
  if (!Prepare(codec, accepted, base)) return false;
  Scratch scratch;
  const auto payload = EncodeBlock(codec, base, scratch);
  if (!payload) return false;
  block.base_params = base.params;
  block.base_payload = *payload;
  return true;
}

// Gives `block` what the codec's Prepare says of it, as if it were a whole tensor. False: refused.
bool Prepare(const Codec& codec, const Accepted& accepted, Block& block) {
  UnitContext unit{.parts = block.parts(), .row_words = block.parts()[0].words()};
  unit.accepted = accepted;
  if (codec.base_form() == BaseForm::kCoded) {
    if (!CodeBase(accepted, block)) return false;
    unit.base_params = block.base_params;
  }
  const auto prepared = codec.Prepare(unit);
  if (prepared) block.params = prepared->params;
  return prepared.has_value();
}

void ForEachVariant(const Codec& codec, Block block,
                    const std::function<void(const Block&)>& body) {
  const Accepted kNothing, kLittle{.update_error = 0.012, .master_bits = 8},
      kMuch{.update_error = 0.35, .master_bits = 2};
  const bool may_vary = codec.needs_peer() || codec.parts() > 1;
  const std::string label = block.label;
  for (const Accepted& accepted : {kNothing, kLittle, kMuch}) {
    for (DType peer : {DType::kBF16, DType::kF16}) {
      if (codec.needs_peer() && !codec.SupportsPeer(peer)) continue;
      block.label = label;
      if (codec.needs_peer()) {
        block.peer_dtype = peer;
        block.peer = MakePeer(peer, block.raw);
        block.label += ", peer " + std::string(DTypeName(peer));
      }
      if (may_vary) block.label += ", error " + std::to_string(accepted.update_error);
      if (Prepare(codec, accepted, block)) body(block);
      if (!codec.needs_peer()) break;
    }
    if (!may_vary) return;
  }
}

}  // namespace

void ForEachSmallBlock(const Codec& codec, const std::function<void(const Block&)>& body) {
  for (DType dtype : DTypesOf(codec)) {
    for (Content content : kAllContents) {
      for (size_t words : {1, 2, 3, 31, 65, 255, 256, 257}) {
        const auto each = [&](std::optional<BaseMode> mode) {
          ForEachVariant(codec, MakeBlock(codec, dtype, content, mode, words * codec.parts()),
                         body);
        };
        if (!codec.needs_base()) each(std::nullopt);
        for (BaseMode mode : kAllBaseModes) each(mode);
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
        const size_t whole = words / codec.parts() * codec.parts();
        ForEachVariant(codec, MakeBlock(codec, dtype, content, BaseMode::kFewChanged, whole), body);
      }
    }
  }
}

std::optional<std::vector<std::byte>> EncodeBlock(const Codec& codec, const Block& block,
                                                  Scratch& scratch) {
  static std::vector<std::byte> out;
  const size_t bound = codec.EncodeBound(block.raw.size());
  if (out.size() < bound) out.resize(bound);
  const auto coded = codec.Encode(block.context(), block.parts(), SIZE_MAX, out, {}, scratch);
  if (!coded) return std::nullopt;
  return std::vector<std::byte>(out.begin(), out.begin() + coded->bytes);
}

}  // namespace bitsnap::test
