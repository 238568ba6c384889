#define HWY_WANT_AVX3_DL  // as the kernels have it
#include "codec/entropy/huffman.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <queue>
#include <random>
#include <vector>

#include "codec/entropy/huffman_ref.h"
#include "tests/support/guarded.h"
#include "tests/support/simd_targets.h"

namespace bitsnap::huffman {
namespace {

using Buffer = std::vector<std::byte>;
using test::Guarded;

Buffer Make(size_t size, auto&& next) {
  Buffer plane(size);
  for (std::byte& b : plane) b = static_cast<std::byte>(next());
  return plane;
}

struct Plane {
  std::string label;
  Buffer symbols;
};

// Planes of `size` bytes of many distributions.
std::vector<Plane> Planes(size_t size) {
  std::mt19937 random(static_cast<unsigned>(size));
  const auto halving = [&] { return std::countl_zero(static_cast<uint32_t>(random()) | 1); };
  std::geometric_distribution<int> slow(0.02), fast(0.8);
  const auto fibonacci = [&] {
    return static_cast<int>(std::log(1 + random() % (1u << 30)) / std::log(1.618));
  };
  return {
      {"exponents", Make(size, [&] { return 120 - halving(); })},
      {"exponents and zeros", Make(size, [&] { return random() % 50 ? 120 - halving() : 0; })},
      {"above and below 128", Make(size, [&] { return 130 - halving(); })},
      {"above 128", Make(size, [&] { return 255 - halving(); })},
      {"all symbols", Make(size, [&] { return std::min(slow(random), 255); })},
      {"two symbols", Make(size, [&] { return 7 + 100 * (random() % 2); })},
      {"three symbols", Make(size, [&] { return random() % 3; })},
      {"every other symbol", Make(size, [&] { return random() % 128 * 2 + 1; })},
      {"one likely symbol", Make(size, [&] { return fast(random); })},
      {"very long codes", Make(size, fibonacci)},
      // The symbols of the last quarter are unlikely, and too long together for fast paths.
      {"unlikely ones in a row", Make(size,
                                      [&, i = size_t{0}]() mutable {
                                        return i++ < size - size / 4 ? random() % 4
                                                                     : random() % 200;
                                      })},
  };
}

void ForEachPlane(auto&& body) {
  for (size_t size : {2u, 3u, 4u, 5u, 63u, 64u, 257u, 1001u, 2048u, 5000u, 65536u}) {
    for (const Plane& plane : Planes(size)) {
      SCOPED_TRACE(testing::Message() << plane.label << ", " << size);
      body(plane.symbols);
    }
  }
}

Buffer Coded(const Code& code, Bytes symbols) {
  Guarded out;
  const MutableBytes room = out.Reset(EncodeBound(symbols.size()));
  const size_t size = Encode(code, symbols, room);
  EXPECT_TRUE(out.intact());
  return {room.begin(), room.begin() + size};
}

TEST(Huffman, EqualsReferenceOnEverySimdTarget) {
  Guarded out;
  ForEachPlane([&](const Buffer& symbols) {
    const auto code = BuildCode(CountSymbols(symbols));
    if (!code) return;
    const Buffer want = EncodeRef(*code, symbols);
    ASSERT_EQ(DecodeRef(want, symbols.size()), symbols);
    test::ForEachSimdTarget([&](const char* target) {
      SCOPED_TRACE(target);
      ASSERT_EQ(Coded(*code, symbols), want);
      const MutableBytes decoded = out.Reset(symbols.size());
      ASSERT_TRUE(Decode(want, decoded));
      ASSERT_TRUE(out.intact());
      ASSERT_TRUE(std::ranges::equal(decoded, symbols));
    });
  });
}

TEST(Huffman, UnseenSymbolsAreFoundOnEverySimdTarget) {
  ForEachPlane([&](const Buffer& symbols) {
    const Counts sample = CountSymbols(Bytes(symbols).first(symbols.size() / 3));
    Counts want = sample;
    for (std::byte b : symbols) want[size_t(b)] = std::max(want[size_t(b)], 1u);
    test::ForEachSimdTarget([&](const char* target) {
      SCOPED_TRACE(target);
      Counts counts = sample;
      CountUnseen(symbols, counts);
      ASSERT_EQ(counts, want);
    });
  });
}

// Bits of all symbols under Huffman's own construction, and the longest code; each leaf's depth is
// counted by how often it is merged.
struct Unlimited {
  uint64_t bits = 0;
  int longest = 0;
};
Unlimited HuffmanCost(const Counts& counts) {
  using Node = std::pair<uint64_t, int>;  // count, depth
  std::priority_queue<Node, std::vector<Node>, std::greater<>> nodes;
  for (uint32_t count : counts) {
    if (count > 0) nodes.push({count, 0});
  }
  Unlimited result;
  while (nodes.size() > 1) {
    const Node a = nodes.top();
    nodes.pop();
    const Node b = nodes.top();
    nodes.pop();
    result.bits += a.first + b.first;
    nodes.push({a.first + b.first, 1 + std::max(a.second, b.second)});
  }
  result.longest = nodes.top().second;
  return result;
}

TEST(HuffmanCode, IsBestAndCompleteAndWithinTheLimit) {
  int limited = 0, best = 0;
  ForEachPlane([&](const Buffer& symbols) {
    const Counts counts = CountSymbols(symbols);
    const auto code = BuildCode(counts);
    if (!code) return;
    uint64_t bits = 0;
    double space = 0;
    for (size_t s = 0; s < 256; ++s) {
      ASSERT_EQ(counts[s] > 0, code->bits[s] > 0);
      ASSERT_LE(code->bits[s], kMaxBits);
      bits += uint64_t{counts[s]} * code->bits[s];
      if (counts[s] > 0) space += std::exp2(-code->bits[s]);
    }
    ASSERT_EQ(space, 1);
    const Unlimited unlimited = HuffmanCost(counts);
    ASSERT_GE(bits, unlimited.bits);
    if (unlimited.longest <= int{kMaxBits}) {
      ASSERT_EQ(bits, unlimited.bits);
      ++best;
    } else {
      ASSERT_LE(static_cast<double>(bits), 1.02 * static_cast<double>(unlimited.bits));
      ++limited;
    }
  });
  EXPECT_GT(best, 10);
  EXPECT_GT(limited, 10);
}

TEST(HuffmanCode, NeedsTwoSymbols) {
  Counts counts{};
  EXPECT_FALSE(BuildCode(counts));
  counts[200] = 5;
  EXPECT_FALSE(BuildCode(counts));
  counts[3] = 1;
  EXPECT_TRUE(BuildCode(counts));
}

TEST(Huffman, WorkedExampleOfTheSpec) {
  Buffer symbols(2, std::byte{5});
  for (int s : {3, 5, 4, 5, 3, 5, 3}) symbols.push_back(static_cast<std::byte>(s));
  const auto code = BuildCode(CountSymbols(symbols));
  ASSERT_TRUE(code);
  const Buffer want = Make(18, [i = 0]() mutable {
    constexpr std::array<int, 18> kBytes = {0x20, 0x20, 0x12, 1, 0, 0, 0,    1,    0,
                                            0,    0,    1,    0, 0, 0, 0xc0, 0xb0, 0x20};
    return kBytes[i++];
  });
  EXPECT_EQ(Coded(*code, symbols), want);
}

// Both decoders say the same of any bytes: no stream is taken for good that the spec forbids.
TEST(Huffman, HostileStreamsAreJudgedLikeTheReference) {
  std::mt19937 random(9);
  Guarded out;
  int good = 0;
  for (const Plane& plane : Planes(1500)) {
    SCOPED_TRACE(plane.label);
    const auto code = BuildCode(CountSymbols(plane.symbols));
    if (!code) continue;
    const Buffer coded = Coded(*code, plane.symbols);
    const auto check = [&](Buffer bad, size_t symbols) {
      bad.shrink_to_fit();  // for the address sanitizer
      const auto want = DecodeRef(bad, symbols);
      const MutableBytes decoded = out.Reset(symbols);
      ASSERT_EQ(Decode(bad, decoded), want.has_value());
      ASSERT_TRUE(out.intact());
      if (!want) return;
      ASSERT_TRUE(std::ranges::equal(decoded, *want));
      ++good;
    };
    for (size_t size = 0; size < coded.size(); size += 1 + size / 64) {
      check({coded.begin(), coded.begin() + size}, plane.symbols.size());
    }
    for (int round = 0; round < 300; ++round) {
      Buffer bad = coded;
      bad[random() % (round % 2 ? 40 : bad.size())] = static_cast<std::byte>(random());
      check(bad, plane.symbols.size());
    }
    for (size_t symbols : {size_t{1}, plane.symbols.size() - 1, plane.symbols.size() + 1}) {
      check(coded, symbols);
    }
  }
  EXPECT_GT(good, 10);
}

}  // namespace
}  // namespace bitsnap::huffman
