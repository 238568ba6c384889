#include "codec/entropy/rans.h"

#include <algorithm>
#include <bit>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <htscodecs/rANS_static4x16.h>

namespace bitsnap::rans {
namespace {

using Buffer = std::vector<std::byte>;

// Bytes like the exponents of weights: a few bits of entropy.
Buffer Symbols(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  Buffer symbols(count);
  for (std::byte& s : symbols) {
    s = std::byte(120 - std::min(std::countl_zero(static_cast<uint32_t>(random())), 20));
  }
  return symbols;
}

Buffer Coded(Bytes symbols) {
  Buffer out(EncodeBound(symbols.size()));
  const auto size = Encode(symbols, out);
  EXPECT_TRUE(size);
  out.resize(size.value_or(0));
  return out;
}

// Restores the library's own choice of SIMD version.
struct RansCpu : testing::Test {
  // Encode sets the version when it is called first: let that be over.
  RansCpu() { Coded(Symbols(kMinSymbols, 0)); }
  ~RansCpu() override { rans_set_cpu(0xffff); }
};

// Every SIMD version that the library may pick, from all to none.
constexpr int kCpus[] = {0xffff, 0xffff & ~(RANS_CPU_ENC_AVX512 | RANS_CPU_DEC_AVX512),
                         RANS_CPU_ENC_SSE4 | RANS_CPU_DEC_SSE4, 0};

TEST_F(RansCpu, SameBytesOnEveryVersion) {
  for (size_t count : {kMinSymbols, size_t{4099}, size_t{131072}}) {
    const Buffer symbols = Symbols(count, 1);
    rans_set_cpu(0);
    const Buffer want = Coded(symbols);
    EXPECT_LT(want.size(), count / 2);
    for (int encoder : kCpus) {
      rans_set_cpu(encoder);
      EXPECT_EQ(Coded(symbols), want) << encoder;
      Buffer decoded(count);
      EXPECT_TRUE(Decode(want, decoded));
      EXPECT_EQ(decoded, symbols) << encoder;
    }
  }
}

TEST(Rans, RandomBytesAreNotCoded) {
  std::mt19937 random(3);
  Buffer symbols(5000);
  for (std::byte& s : symbols) s = std::byte(random());
  Buffer out(EncodeBound(symbols.size()));
  EXPECT_FALSE(Encode(symbols, out));
}

TEST(Rans, OtherModesAreRefused) {
  const Buffer symbols = Symbols(2000, 4);
  Buffer coded = Coded(symbols);
  Buffer decoded(symbols.size());
  for (int mode = 0; mode < 256; ++mode) {
    coded[0] = std::byte(mode);
    EXPECT_EQ(Decode(coded, decoded), mode == (RANS_ORDER_X32 | RANS_ORDER_NOSZ)) << mode;
  }
}

TEST_F(RansCpu, HostileStreamsStayInside) {
  const Buffer symbols = Symbols(2000, 5);
  const Buffer coded = Coded(symbols);
  std::mt19937 random(6);
  for (int cpu : kCpus) {
    rans_set_cpu(cpu);
    for (size_t size = 0; size < coded.size(); ++size) {
      const Buffer cut(coded.begin(), coded.begin() + size);
      Buffer decoded(symbols.size() + 1, std::byte{0xa5});
      Decode(cut, MutableBytes(decoded).first(symbols.size()));
      EXPECT_EQ(decoded.back(), std::byte{0xa5});
    }
    for (int round = 0; round < 20000; ++round) {
      Buffer bad = coded;
      for (int flips = 0; flips < 1 + round % 4; ++flips) {
        // Mostly in the frequency table.
        bad[1 + random() % (round % 2 ? 64 : bad.size() - 1)] = std::byte(random());
      }
      Buffer decoded(symbols.size() + 1, std::byte{0xa5});
      Decode(bad, MutableBytes(decoded).first(symbols.size()));
      ASSERT_EQ(decoded.back(), std::byte{0xa5});
    }
  }
}

}  // namespace
}  // namespace bitsnap::rans
