// What every codec of the registry promises, on blocks of every dtype and of contents that training
// produces or that break codecs.
#include "codec/codec.h"

#include <algorithm>
#include <cstring>
#include <set>

#include <gtest/gtest.h>

#include "tests/support/codec_blocks.h"
#include "tests/support/guarded.h"
#include "tests/support/simd_targets.h"
#include "tests/support/test_data.h"

namespace bitsnap {
namespace {

using test::Block;
using test::EncodeBlock;
using test::Guarded;
using Buffer = std::vector<std::byte>;

class CodecTest : public testing::TestWithParam<const Codec*> {
 protected:
  const Codec& codec() const { return *GetParam(); }

  void ForEachBlock(const std::function<void(const Block&)>& body) const {
    const auto traced = [&body](const Block& block) {
      SCOPED_TRACE(block.label);
      if (!testing::Test::HasFatalFailure()) body(block);
    };
    test::ForEachSmallBlock(codec(), traced);
    test::ForEachLargeBlock(codec(), kBlockBytes, traced);
  }

  // Leaves no byte of the scratch as it was.
  void Soil(Scratch& scratch) const {
    for (size_t slot = 0; slot < Scratch::kSlots; ++slot) {
      for (std::byte& byte : scratch.Get(slot, 4096)) byte ^= std::byte{0xdb};
    }
  }

  Scratch scratch_;
  Guarded out_;
};

// The first word that a decoder may not give back so; nullopt when there is none.
std::optional<size_t> FirstBrokenWord(const Codec& codec, const Block& block, Bytes decoded) {
  const size_t word_bytes = WordBytes(block.dtype);
  for (size_t at = 0; at < block.raw.size(); at += word_bytes) {
    const std::byte* raw = &block.raw[at];
    if (std::memcmp(raw, &decoded[at], word_bytes) == 0) continue;
    const bool finite =
        !test::IsNonFinite(block.dtype, raw) && !test::IsNonFinite(block.dtype, &decoded[at]);
    if (codec.IsLossless(block.params) || !finite) return at / word_bytes;
  }
  return std::nullopt;
}

TEST_P(CodecTest, IsFoundByItsId) {
  EXPECT_EQ(FindCodec(static_cast<uint8_t>(codec().id())), &codec());
  EXPECT_EQ(&GetCodec(codec().id()), &codec());
}

// Without this, a codec that never codes anything would pass.
TEST_P(CodecTest, CodesLargeBlocksOfEachDType) {
  std::set<DType> tried, coded;
  test::ForEachLargeBlock(codec(), kBlockBytes, [&](const Block& block) {
    tried.insert(block.dtype);
    if (EncodeBlock(codec(), block, scratch_)) coded.insert(block.dtype);
  });
  EXPECT_EQ(coded, tried);
}

TEST_P(CodecTest, GivesBackWhatItPromises) {
  ForEachBlock([this](const Block& block) {
    const auto coded = EncodeBlock(codec(), block, scratch_);
    if (!coded) return;
    const MutableBytes decoded = out_.Reset(block.raw.size());
    ASSERT_TRUE(codec().Decode(block.context(), *coded, block.MutableLike(decoded), scratch_));
    ASSERT_TRUE(out_.intact());
    ASSERT_EQ(FirstBrokenWord(codec(), block, decoded), std::nullopt);
  });
}

// What is checksummed and measured as decoded must be what is decoded.
TEST_P(CodecTest, TellsWhatIsDecoded) {
  ForEachBlock([this](const Block& block) {
    if (codec().IsLossless(block.params)) return;
    const auto coded = EncodeBlock(codec(), block, scratch_);
    Buffer told(block.raw.size(), std::byte{0xee}), decoded(block.raw.size());
    const MutableBytes out = out_.Reset(codec().EncodeBound(block.raw.size()));
    Soil(scratch_);
    const auto lossy = codec().Encode(block.context(), block.parts(), SIZE_MAX, out,
                                      block.MutableLike(told), scratch_);
    ASSERT_EQ(lossy.has_value(), coded.has_value());
    if (!lossy) return;
    ASSERT_TRUE(out_.intact());
    ASSERT_TRUE(std::ranges::equal(out.first(lossy->bytes), *coded));
    ASSERT_TRUE(codec().Decode(block.context(), *coded, block.MutableLike(decoded), scratch_));
    ASSERT_EQ(told, decoded);
  });
}

TEST_P(CodecTest, DecodesTheSameWhateverTheScratchHeld) {
  ForEachBlock([this](const Block& block) {
    const auto coded = EncodeBlock(codec(), block, scratch_);
    if (!coded) return;
    Scratch fresh;
    Buffer first(block.raw.size()), second(block.raw.size(), std::byte{0xee});
    ASSERT_TRUE(codec().Decode(block.context(), *coded, block.MutableLike(first), fresh));
    Soil(scratch_);
    ASSERT_TRUE(codec().Decode(block.context(), *coded, block.MutableLike(second), scratch_));
    ASSERT_EQ(first, second);
  });
}

TEST_P(CodecTest, StaysBelowTheLimitAndWithinItsBuffer) {
  ForEachBlock([this](const Block& block) {
    const size_t bound = codec().EncodeBound(block.raw.size());
    const auto coded = EncodeBlock(codec(), block, scratch_);
    const size_t size = coded ? coded->size() : block.raw.size();
    ASSERT_LE(coded ? size : 0, bound);
    // A codec may give up where an estimate says that it would not get below the limit.
    const size_t ample = 2 * size + 1000;
    for (size_t limit : {ample, size + 1, size, size - 1, size / 2, size_t{1}, size_t{0}}) {
      SCOPED_TRACE(limit);
      const MutableBytes out = out_.Reset(bound);
      const auto limited = codec().Encode(block.context(), block.parts(), limit, out, {}, scratch_);
      ASSERT_TRUE(out_.intact());
      ASSERT_TRUE(limited || !coded || limit != ample);
      if (!limited) continue;
      ASSERT_LT(limited->bytes, limit);
      ASSERT_TRUE(coded && std::ranges::equal(out.first(limited->bytes), *coded));
    }
  });
}

TEST_P(CodecTest, BytesDependOnTheBlockAlone) {
  Guarded raw, base, peer;  // at odd addresses
  ForEachBlock([&](const Block& block) {
    Scratch fresh;
    const auto coded = EncodeBlock(codec(), block, fresh);
    Soil(scratch_);
    BlockContext context = block.context();
    std::ranges::copy(block.raw, raw.Reset(block.raw.size()).begin());
    if (!context.base.empty()) {
      std::ranges::copy(*block.base, base.Reset(block.raw.size()).begin());
      context.base = BytesOf(block.Cut(base.bytes()));
    }
    if (context.coded_base) {
      std::ranges::copy(block.base_payload, base.Reset(block.base_payload.size()).begin());
      context.coded_base->payload = base.bytes();
    }
    if (context.peer) {
      std::ranges::copy(block.peer, peer.Reset(block.peer.size()).begin());
      context.peer->bytes = peer.bytes();
    }
    const MutableBytes out = out_.Reset(codec().EncodeBound(block.raw.size()));
    const auto again = codec().Encode(context, block.Cut(raw.bytes()), SIZE_MAX, out, {}, scratch_);
    ASSERT_EQ(again.has_value(), coded.has_value());
    if (!again) return;
    ASSERT_TRUE(std::ranges::equal(out.first(again->bytes), *coded));
  });
}

TEST_P(CodecTest, EqualBytesOnEverySimdTarget) {
  ForEachBlock([this](const Block& block) {
    const auto coded = EncodeBlock(codec(), block, scratch_);
    Buffer decoded(block.raw.size());
    if (coded) {
      ASSERT_TRUE(codec().Decode(block.context(), *coded, block.MutableLike(decoded), scratch_));
    }
    test::ForEachSimdTarget([&](const char* target) {
      SCOPED_TRACE(target);
      ASSERT_EQ(EncodeBlock(codec(), block, scratch_), coded);
      if (!coded) return;
      const MutableBytes out = out_.Reset(block.raw.size());
      ASSERT_TRUE(codec().Decode(block.context(), *coded, block.MutableLike(out), scratch_));
      ASSERT_TRUE(out_.intact());
      ASSERT_TRUE(std::ranges::equal(out, decoded));
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Codecs, CodecTest,
                         testing::ValuesIn(AllCodecs().begin(), AllCodecs().end()),
                         [](const auto& test) { return std::string(test.param->name()); });

}  // namespace
}  // namespace bitsnap
