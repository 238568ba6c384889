// What the tests of all codecs do not know about this one.
#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/checksum.h"
#include "codec/codec.h"
#include "codec/delta/codec.h"
#include "codec/delta/runs.h"

namespace bitsnap {
namespace {

using Buffer = std::vector<std::byte>;

Buffer BytesOf(std::initializer_list<int> values) {
  Buffer bytes;
  for (int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

struct Pair {
  DType dtype;
  Buffer base, raw;
  BlockContext context() const { return {.base = {base}}; }
};

std::optional<Buffer> Encode(const Pair& pair) {
  Buffer out(DeltaCodec().EncodeBound(pair.raw.size()));
  Scratch scratch;
  const auto coded =
      DeltaCodec().Encode(pair.context(), {{pair.dtype, pair.raw}}, SIZE_MAX, out, {}, scratch);
  if (!coded) return std::nullopt;
  out.resize(coded->bytes);
  out.shrink_to_fit();
  return out;
}

bool Decodes(const Pair& pair, const Buffer& payload) {
  Buffer out(pair.raw.size());
  Scratch scratch;
  const MutableParts parts{{pair.dtype, out}};
  return DeltaCodec().Decode(pair.context(), payload, parts, scratch) && out == pair.raw;
}

// Weights with exponents as of a bell curve; `changed` of 256 are moved by up to 2^`bits` ULPs,
// among the first `moving` words.
Pair Weights(DType dtype, size_t words, uint32_t changed, unsigned bits, size_t moving) {
  std::mt19937 random(1);
  Pair pair{dtype, {}, {}};
  const size_t word = WordBytes(dtype);
  const uint32_t exponent = dtype == DType::kF16 ? 9u << 10 : 121u << 7;
  for (size_t i = 0; i < words; ++i) {
    const auto noise = static_cast<uint32_t>(random());
    const uint32_t step = 1u << (dtype == DType::kF16 ? 10 : 7);
    const uint32_t down = static_cast<uint32_t>(std::countl_zero(noise | 1)) % 9 * step;
    uint32_t old = exponent - down + (noise >> 4) % step + (noise % 2 << 15);
    if (word == 4) old = old << 16 | (noise & 0xffff);
    uint32_t now = old;
    const bool moves = i < moving && random() % 256 < changed;
    if (moves) now += static_cast<uint32_t>(random()) % (2u << bits) - (1u << bits);
    for (auto [out, value] : {std::pair(&pair.base, old), std::pair(&pair.raw, now)}) {
      const auto* bytes = reinterpret_cast<const std::byte*>(&value);
      out->insert(out->end(), bytes, bytes + word);
    }
  }
  return pair;
}

// The worked example of spec.md.
Pair Example() {
  return {DType::kBF16, BytesOf({0x00, 0x3c, 0x00, 0x3c, 0x00, 0xbc, 0x80, 0x3c}),
          BytesOf({0x01, 0x3c, 0x00, 0x3c, 0x01, 0xbc, 0x6f, 0x3c})};
}
const Buffer kExamplePayload = BytesOf({0x00, 0x1f, 0x6e, 0xc9, 0xff, 0xff, 0xff, 0x06, 0x00, 0x08,
                                        0x04, 0x00, 0x01, 0x00, 0x0c, 0x10, 0x00});

TEST(Delta, CodesTheExample) {
  EXPECT_EQ(Encode(Example()), kExamplePayload);
  EXPECT_TRUE(Decodes(Example(), kExamplePayload));
}

// Payloads must not change unnoticed: files would still be read, but no longer be the same.
TEST(Delta, PayloadsStayAsTheyWere) {
  const auto hash = [](const Pair& pair) {
    const Buffer payload = Encode(pair).value();
    EXPECT_TRUE(Decodes(pair, payload));
    return std::pair(payload.size(), Checksum64(payload));
  };
  using Golden = std::pair<size_t, uint64_t>;
  EXPECT_EQ(hash(Weights(DType::kBF16, 131072, 200, 3, 131072)), Golden(60724, 0x54a2c77b90925449));
  EXPECT_EQ(hash(Weights(DType::kBF16, 131072, 5, 1, 131072)), Golden(2201, 0x99adbc3eedaafff4));
  EXPECT_EQ(hash(Weights(DType::kBF16, 131072, 128, 6, 4000)), Golden(2250, 0xaa3fcf74e507608a));
  EXPECT_EQ(hash(Weights(DType::kF16, 100001, 250, 9, 100001)), Golden(124174, 0xe67475e7618c3218));
  EXPECT_EQ(hash(Weights(DType::kF32, 65536, 250, 20, 65536)), Golden(169487, 0xccbf570f0a3ef8b6));
  EXPECT_EQ(hash(Weights(DType::kF32, 100, 250, 3, 100)), Golden(68, 0x6e6a91d26f0ef27f));
}

TEST(Delta, LongUnchangedStretchesCostNothing) {
  const size_t few = Encode(Weights(DType::kBF16, 4032, 128, 4, 4032))->size();
  const size_t many = Encode(Weights(DType::kBF16, 131072, 128, 4, 4032))->size();
  EXPECT_LE(many, few + 4);
}

TEST(Delta, RefusesWhatTheSpecForbids) {
  const auto with = [](size_t at, int value) {
    Buffer payload = kExamplePayload;
    payload[at] = static_cast<std::byte>(value);
    return payload;
  };
  const Pair pair = Example();
  EXPECT_FALSE(Decodes(pair, with(0, 0x60))) << "an unknown number of states";
  EXPECT_FALSE(Decodes(pair, with(0, 0x01))) << "one more class";
  EXPECT_FALSE(Decodes(pair, with(0, 0x10))) << "runs of nonsense";
  EXPECT_FALSE(Decodes(pair, with(1, 0xd1))) << "symbol 209";
  EXPECT_FALSE(Decodes(pair, with(7, 0x0e))) << "bits after the counts";
  EXPECT_FALSE(Decodes(pair, with(8, 0x01))) << "a state that ends elsewhere";
  EXPECT_FALSE(Decodes(pair, with(12, 0x03))) << "bits after the extra bits";
  for (size_t size = 1; size < kExamplePayload.size(); ++size) {
    EXPECT_FALSE(Decodes(pair, Buffer(kExamplePayload.begin(), kExamplePayload.begin() + size)));
  }
  for (size_t at = 0; at <= kExamplePayload.size(); ++at) {
    Buffer longer = kExamplePayload;
    longer.insert(longer.begin() + at, std::byte{0});
    EXPECT_FALSE(Decodes(pair, longer)) << "a zero at " << at;
  }
}

// Runs with their bytes, of blocks of 10 groups.
TEST(DeltaRuns, ReadOnlyWhatIsWellFormed) {
  const auto read = [](std::initializer_list<int> content) {
    const Buffer bytes = BytesOf(content);
    ByteReader reader(bytes);
    return delta::Runs::Read(10, reader);
  };
  ASSERT_TRUE(read({2, 1, 3, 2, 4}));
  EXPECT_EQ(read({2, 1, 3, 2, 4})->runs()[1].begin, 6);
  EXPECT_EQ(read({2, 1, 3, 2, 4})->runs()[1].end, 10);
  EXPECT_TRUE(read({1, 0, 10}));
  EXPECT_TRUE(read({1, 0x80, 0, 10}));
  EXPECT_FALSE(read({})) << "nothing";
  EXPECT_FALSE(read({0})) << "no runs";
  EXPECT_FALSE(read({2, 1, 3, 2})) << "cut short";
  EXPECT_FALSE(read({1, 0, 0})) << "an empty run";
  EXPECT_FALSE(read({2, 1, 3, 0, 4})) << "no gap";
  EXPECT_FALSE(read({1, 0, 11})) << "past the end";
  EXPECT_FALSE(read({1, 10, 1})) << "past the end";
  EXPECT_FALSE(read({0xff, 0xff, 1, 1, 1, 1})) << "more runs than groups";
}

TEST(DeltaRuns, SkipWhatIsLongForTheChangedFraction) {
  delta::GroupBits changed{};
  changed[0] = 0b1110'0000'0000'1100'0011;
  const auto runs = [&](size_t changed_words) {
    const delta::Runs chosen = delta::Runs::Choose(changed, 30, 30 * 64, changed_words);
    std::vector<std::byte> bytes(delta::Runs::kMaxBytes);
    bytes.resize(chosen.Write(bytes.data()) - bytes.data());
    return bytes;
  };
  EXPECT_EQ(runs(7 * 64), BytesOf({3, 0, 2, 4, 2, 9, 3}));
  EXPECT_EQ(runs(60), BytesOf({2, 0, 8, 9, 3}));
  EXPECT_EQ(runs(7), BytesOf({1, 0, 30}));
}

}  // namespace
}  // namespace bitsnap
