// What every codec of the registry promises, on blocks of every dtype and of contents that training
// produces or that break codecs.
#include "codec/codec.h"

#include <algorithm>
#include <array>
#include <cstring>

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

constexpr std::array<size_t, 11> kWordCounts = {1, 2, 3, 8, 31, 65, 255, 256, 257, 1000, 4099};

class CodecTest : public testing::TestWithParam<const Codec*> {
 protected:
  const Codec& codec() const { return *GetParam(); }

  void ForEachBlock(const std::function<void(const Block&)>& body) const {
    const auto traced = [&body](const Block& block) {
      SCOPED_TRACE(block.label);
      if (!testing::Test::HasFatalFailure()) body(block);
    };
    test::ForEachBlock(codec(), kWordCounts, traced);
    test::ForEachWholeBlock(codec(), traced);
  }

  // Leaves other bytes in every slot than zeros.
  void Soil(Scratch& scratch) const {
    for (size_t slot = 0; slot < Scratch::kSlots; ++slot) {
      const MutableBytes bytes = scratch.Get(slot, 2 * kBlockBytes);
      std::fill(bytes.begin(), bytes.end(), std::byte{0xdb});
    }
  }

  Scratch scratch_;
};

// The first word that a decoder may not give back so; nullopt when there is none.
std::optional<size_t> FirstBrokenWord(const Codec& codec, const Block& block, Bytes decoded) {
  const size_t word_bytes = WordBytes(block.dtype);
  for (size_t at = 0; at < block.raw.size(); at += word_bytes) {
    const std::byte* raw = &block.raw[at];
    if (std::memcmp(raw, &decoded[at], word_bytes) == 0) continue;
    const bool finite =
        !test::IsNonFinite(block.dtype, raw) && !test::IsNonFinite(block.dtype, &decoded[at]);
    if (codec.lossless() || !finite) return at / word_bytes;
  }
  return std::nullopt;
}

TEST_P(CodecTest, IsFoundByItsId) {
  EXPECT_EQ(FindCodec(static_cast<uint8_t>(codec().id())), &codec());
  EXPECT_EQ(&GetCodec(codec().id()), &codec());
}

TEST_P(CodecTest, CodesAWholeBlockOfWeightsOfEachDType) {
  test::ForEachWholeBlock(codec(), [this](const Block& block) {
    EXPECT_TRUE(EncodeBlock(codec(), block, scratch_)) << block.label;
  });
}

TEST_P(CodecTest, GivesBackWhatItPromises) {
  ForEachBlock([this](const Block& block) {
    const auto coded = EncodeBlock(codec(), block, scratch_);
    if (!coded) return;
    Guarded out(block.raw.size());
    ASSERT_TRUE(codec().Decode(block.context(), *coded, out.bytes(), scratch_));
    ASSERT_TRUE(out.intact());
    ASSERT_EQ(FirstBrokenWord(codec(), block, out.bytes()), std::nullopt);
  });
}

TEST_P(CodecTest, DecodesTheSameWhateverTheScratchHeld) {
  ForEachBlock([this](const Block& block) {
    const auto coded = EncodeBlock(codec(), block, scratch_);
    if (!coded) return;
    Scratch fresh;
    Buffer first(block.raw.size()), second(block.raw.size(), std::byte{0xee});
    ASSERT_TRUE(codec().Decode(block.context(), *coded, first, fresh));
    Soil(scratch_);
    ASSERT_TRUE(codec().Decode(block.context(), *coded, second, scratch_));
    ASSERT_EQ(first, second);
  });
}

TEST_P(CodecTest, StaysBelowTheLimitAndWithinItsBuffer) {
  ForEachBlock([this](const Block& block) {
    const size_t bound = codec().EncodeBound(block.raw.size());
    const auto coded = EncodeBlock(codec(), block, scratch_);
    const size_t size = coded ? coded->size() : block.raw.size();
    ASSERT_LE(size, std::max(bound, block.raw.size()));
    for (size_t limit : {size + 1, size, size - 1, size / 2, size_t{1}, size_t{0}}) {
      Guarded out(bound);
      const auto limited = codec().Encode(block.context(), block.raw, limit, out.bytes(), scratch_);
      ASSERT_TRUE(out.intact());
      ASSERT_EQ(limited.has_value(), coded && size < limit) << "limit " << limit;
      if (!limited) continue;
      ASSERT_TRUE(std::ranges::equal(out.bytes().first(*limited), *coded));
    }
  });
}

TEST_P(CodecTest, BytesDependOnTheBlockAlone) {
  ForEachBlock([this](const Block& block) {
    Scratch fresh;
    const auto coded = EncodeBlock(codec(), block, fresh);
    Soil(scratch_);
    // At an odd address, into a buffer that is not zero.
    Guarded raw(block.raw.size()), base(block.raw.size()),
        out(codec().EncodeBound(raw.bytes().size()));
    std::ranges::copy(block.raw, raw.bytes().begin());
    BlockContext context = block.context();
    if (block.base) {
      std::ranges::copy(*block.base, base.bytes().begin());
      context.base = base.bytes();
    }
    const auto size = codec().Encode(context, raw.bytes(), SIZE_MAX, out.bytes(), scratch_);
    ASSERT_EQ(size.has_value(), coded.has_value());
    if (!size) return;
    ASSERT_TRUE(std::ranges::equal(out.bytes().first(*size), *coded));
  });
}

TEST_P(CodecTest, EqualBytesOnEverySimdTarget) {
  ForEachBlock([this](const Block& block) {
    const auto coded = EncodeBlock(codec(), block, scratch_);
    Buffer decoded(block.raw.size());
    if (coded) {
      ASSERT_TRUE(codec().Decode(block.context(), *coded, decoded, scratch_));
    }
    test::ForEachSimdTarget([&](const char* target) {
      SCOPED_TRACE(target);
      ASSERT_EQ(EncodeBlock(codec(), block, scratch_), coded);
      if (!coded) return;
      Guarded out(block.raw.size());
      ASSERT_TRUE(codec().Decode(block.context(), *coded, out.bytes(), scratch_));
      ASSERT_TRUE(out.intact());
      ASSERT_TRUE(std::ranges::equal(out.bytes(), decoded));
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Codecs, CodecTest,
                         testing::ValuesIn(AllCodecs().begin(), AllCodecs().end()),
                         [](const auto& test) { return std::string(test.param->name()); });

}  // namespace
}  // namespace bitsnap
