#include "pipeline/block_encoder.h"

#include <gtest/gtest.h>

#include <cstring>

namespace bitsnap {
namespace {

// Words of two values, half of them other than the base's: the bitmask takes half of the block, and
// planes a good deal less.
struct Block {
  Block() : raw(kBlockBytes), base(kBlockBytes) {
    for (size_t i = 0; i < kBlockBytes / sizeof(uint16_t); ++i) {
      const auto word = static_cast<uint16_t>(i % 3 == 0 ? 0x3f80 : 0x3f00);
      const auto old = static_cast<uint16_t>(i % 2 == 0 ? word : word + 1);
      std::memcpy(&raw[i * sizeof(word)], &word, sizeof(word));
      std::memcpy(&base[i * sizeof(old)], &old, sizeof(old));
    }
  }
  BlockContext context() const { return {.base = {base}}; }
  std::vector<std::byte> raw, base;
};

BlockRecord Encode(const Block& block, const UnitPlan& plan) {
  std::vector<std::byte> out(PayloadBound(block.raw.size()));
  Workspace workspace;
  return EncodeBlock(plan, block.context(), {{DType::kBF16, block.raw}}, out, workspace).record;
}

constexpr auto kBitmask = static_cast<uint8_t>(CodecId::kBitmask);
constexpr auto kPlanes = static_cast<uint8_t>(CodecId::kPlanes);

// A sample may have misled the plan: what it ruled out is tried where a block comes out more than a
// sixteenth larger than it promised, and nowhere else.
TEST(EncodeBlock, TriesTheOtherCodecsWhereTheSampleWasWrong) {
  const Block block;
  UnitPlan plan{.codecs = {CodecId::kBitmask}, .why = {}, .others = {CodecId::kPlanes}};
  plan.sampled_bytes = 17 * block.raw.size();
  const uint64_t bytes = Encode(block, {.codecs = {CodecId::kBitmask}, .why = {}}).coded_bytes;
  ASSERT_LT(Encode(block, {.codecs = {CodecId::kPlanes}, .why = {}}).coded_bytes, bytes);
  ASSERT_LT(bytes, block.raw.size());

  plan.coded_bytes = 17 * bytes;
  EXPECT_EQ(Encode(block, plan).codec, kBitmask);
  plan.coded_bytes = 16 * bytes;
  EXPECT_EQ(Encode(block, plan).codec, kBitmask);
  plan.coded_bytes = 16 * bytes - 1;
  EXPECT_EQ(Encode(block, plan).codec, kPlanes);
}

// Also where no codec of the plan makes the block smaller.
TEST(EncodeBlock, TriesTheOtherCodecsWhereTheBlockWouldStayRaw) {
  Block block;
  for (std::byte& byte : block.base) byte = ~byte;
  UnitPlan plan{.codecs = {CodecId::kBitmask}, .why = {}, .others = {CodecId::kPlanes}};
  plan.sampled_bytes = 10;
  plan.coded_bytes = 9;
  EXPECT_EQ(Encode(block, plan).codec, kPlanes);
}

}  // namespace
}  // namespace bitsnap
