#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "codec/residual/codec.h"

namespace bitsnap {
namespace {

using Buffer = std::vector<std::byte>;

template <class T>
Buffer ToBytes(const std::vector<T>& values) {
  Buffer bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// bf16, to nearest, ties to even. Requires: not NaN.
uint16_t RoundToBf16(uint32_t bits) {
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

std::vector<uint16_t> Rounded(const std::vector<uint32_t>& masters) {
  std::vector<uint16_t> weights;
  for (uint32_t bits : masters) weights.push_back(RoundToBf16(bits));
  return weights;
}

struct Coded {
  Buffer payload, params, peer;
  BlockContext context() const { return {.peer = Part{DType::kBF16, peer}, .params = params}; }
};

std::optional<Coded> Encode(const std::vector<uint32_t>& masters,
                            const std::vector<uint16_t>& weights, unsigned kept) {
  Coded coded;
  coded.params = {static_cast<std::byte>(kept)};
  coded.peer = ToBytes(weights);
  const Buffer raw = ToBytes(masters);
  Scratch scratch;
  coded.payload.resize(ResidualCodec().EncodeBound(raw.size()));
  const auto block = ResidualCodec().Encode(coded.context(), {{DType::kF32, raw}}, SIZE_MAX,
                                            coded.payload, {}, scratch);
  if (!block) return std::nullopt;
  coded.payload.resize(block->bytes);
  return coded;
}

std::vector<uint32_t> Decode(const Coded& coded, size_t count) {
  Buffer out(4 * count);
  Scratch scratch;
  EXPECT_TRUE(
      ResidualCodec().Decode(coded.context(), coded.payload, {{DType::kF32, out}}, scratch));
  std::vector<uint32_t> values(count);
  std::memcpy(values.data(), out.data(), out.size());
  return values;
}

std::vector<uint32_t> RandomMasters(size_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<uint32_t> masters;
  while (masters.size() < count) masters.push_back(std::bit_cast<uint32_t>(normal(random)));
  return masters;
}

TEST(Residual, SixteenBitsGiveEveryBitBackAtHalfTheSize) {
  const auto masters = RandomMasters(50'000);
  const auto coded = Encode(masters, Rounded(masters), 16);
  ASSERT_TRUE(coded);
  EXPECT_LE(coded->payload.size(), 2 * masters.size() + 100);
  EXPECT_EQ(Decode(*coded, masters.size()), masters);
}

TEST(Residual, TiesOfBothKindsComeBack) {
  // Rounded up to even, rounded down to even, and both with a sign.
  std::vector<uint32_t> masters = {0x3f818000, 0x3f808000, 0xbf818000, 0xbf808000, 0x00008000,
                                   0x80008000, 0x7f7f8000, 0x00000000, 0x80000000};
  masters.resize(200, 0x3f800000);  // so that the exceptions are few
  const auto coded = Encode(masters, Rounded(masters), 16);
  ASSERT_TRUE(coded);
  EXPECT_EQ(Decode(*coded, masters.size()), masters);
}

TEST(Residual, KeptBitsBoundTheRelativeError) {
  const auto masters = RandomMasters(20'000);
  for (unsigned kept = 1; kept < 16; ++kept) {
    const auto coded = Encode(masters, Rounded(masters), kept);
    ASSERT_TRUE(coded) << kept;
    const auto decoded = Decode(*coded, masters.size());
    for (size_t i = 0; i < masters.size(); ++i) {
      const double x = std::bit_cast<float>(masters[i]), y = std::bit_cast<float>(decoded[i]);
      ASSERT_LE(std::fabs(x - y), std::fabs(x) * std::ldexp(1.0, -static_cast<int>(kept) - 8));
    }
  }
}

// As many bits beyond an fp16 weight, which has three more than a bf16 one.
TEST(Residual, KeepsAsManyBitsBeyondEitherWeight) {
  for (unsigned bits : {1u, 2u, 5u, 8u, 13u, 16u}) {
    UnitContext context;
    context.accepted.master_bits = bits;
    context.peer = DType::kBF16;
    EXPECT_EQ(ResidualCodec().Prepare(context)->params, Buffer{static_cast<std::byte>(bits)});
    context.peer = DType::kF16;
    EXPECT_EQ(ResidualCodec().Prepare(context)->params,
              Buffer{static_cast<std::byte>(std::min(bits + 3, 16u))});
  }
}

TEST(Residual, RefusesAMasterThatDoesNotFollowItsWeight) {
  const auto masters = RandomMasters(1000);
  std::vector<uint16_t> unrelated = Rounded(masters);
  for (size_t i = 0; i < unrelated.size(); i += 10) unrelated[i] ^= 0x0100;
  EXPECT_FALSE(Encode(masters, unrelated, 16));
}

TEST(Residual, TheSpecsExample) {
  const auto coded = Encode({0x3f801234}, {0x3f80}, 16);
  ASSERT_TRUE(coded);
  EXPECT_EQ(coded->payload, ToBytes(std::vector<uint8_t>{0, 0, 0, 0, 1, 0x34, 1, 0x92}));
}

TEST(Residual, WidensEveryHalf) {
  // Against the compiler's own conversion, all 65536 of them but NaN, whose payload is ours.
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    if ((half & 0x7c00) == 0x7c00 && (half & 0x3ff) != 0) continue;
    const int exponent = half >> 10 & 31;
    const double magnitude = exponent == 31  ? std::numeric_limits<double>::infinity()
                             : exponent == 0 ? std::ldexp(half & 0x3ff, -24)
                                             : std::ldexp(1024 + (half & 0x3ff), exponent - 25);
    const auto want =
        std::bit_cast<uint32_t>(static_cast<float>(half & 0x8000 ? -magnitude : magnitude));
    BlockContext context;
    const Buffer peer = ToBytes(std::vector<uint16_t>{half}), params = {std::byte{16}};
    context.peer = {DType::kF16, peer};
    context.params = params;
    // q = 0: the value is the peer's.
    const Buffer payload = ToBytes(std::vector<uint8_t>{0, 0, 0, 0, 1, 0x00, 1, 0x80});
    Buffer out(4);
    Scratch scratch;
    ASSERT_TRUE(ResidualCodec().Decode(context, payload, {{DType::kF32, out}}, scratch));
    uint32_t got;
    std::memcpy(&got, out.data(), 4);
    ASSERT_EQ(got, want) << bits;
  }
}

TEST(Residual, RefusesForeignParameters) {
  const auto masters = RandomMasters(100);
  Coded coded = *Encode(masters, Rounded(masters), 16);
  for (const Buffer& params : {Buffer{}, Buffer{std::byte{0}}, Buffer{std::byte{17}}, Buffer(2)}) {
    coded.params = params;
    Buffer out(400);
    Scratch scratch;
    const MutableParts parts{{DType::kF32, out}};
    const auto decoded = ResidualCodec().Decode(coded.context(), coded.payload, parts, scratch);
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error().kind, ErrorKind::kCorrupt);
  }
}

}  // namespace
}  // namespace bitsnap
