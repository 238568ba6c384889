#include "codec/entropy/rans.h"

#include <algorithm>
#include <bit>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <htscodecs/rANS_static4x16.h>
#include <sys/mman.h>

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

// A megabyte before a page that must not be touched: the sanitizers do not see into the library.
class Guarded {
 public:
  Guarded() {
    void* pages =
        mmap(nullptr, kBytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(pages, MAP_FAILED);
    begin_ = static_cast<std::byte*>(pages);
    EXPECT_EQ(mprotect(begin_ + kBytes, kPage, PROT_NONE), 0);
  }
  ~Guarded() { munmap(begin_, kBytes + kPage); }
  MutableBytes Last(size_t bytes) { return {begin_ + kBytes - bytes, bytes}; }

 private:
  static constexpr size_t kBytes = size_t{1} << 20;
  static constexpr size_t kPage = size_t{64} << 10;  // at least, on any machine
  std::byte* begin_;
};

bool DecodeInto(Bytes coded, MutableBytes symbols) {
  static Guarded guarded;
  return Decode(coded, symbols, guarded.Last(coded.size() + kDecodePadding));
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
      EXPECT_TRUE(DecodeInto(want, decoded));
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
    EXPECT_EQ(DecodeInto(coded, decoded), mode == (RANS_ORDER_X32 | RANS_ORDER_NOSZ)) << mode;
  }
}

// Decodes into memory whose end is watched.
void DecodeHostile(Bytes coded, size_t symbols) {
  Buffer decoded(symbols + 1, std::byte{0xa5});
  DecodeInto(coded, MutableBytes(decoded).first(symbols));
  ASSERT_EQ(decoded.back(), std::byte{0xa5});
}

TEST_F(RansCpu, HostileStreamsStayInside) {
  std::mt19937 random(6);
  // Nearly 8 bits a symbol, so that a decoder takes nearly all words that it can in each round.
  Buffer flat(10000);
  for (std::byte& s : flat) s = std::byte(random() % 150);
  for (const Buffer& symbols : {Symbols(2000, 5), flat}) {
    const Buffer coded = Coded(symbols);
    for (int cpu : kCpus) {
      rans_set_cpu(cpu);
      for (size_t size = 0; size < coded.size(); ++size) {
        DecodeHostile(Bytes(coded).first(size), symbols.size());
      }
      for (int round = 0; round < 10000; ++round) {
        Buffer bad = coded;
        for (int flips = 0; flips < 1 + round % 4; ++flips) {
          // Mostly in the frequency table.
          bad[1 + random() % (round % 2 ? 64 : bad.size() - 1)] = std::byte(random());
        }
        bad.resize(bad.size() - random() % 64);
        DecodeHostile(bad, symbols.size());
      }
    }
  }
}

}  // namespace
}  // namespace bitsnap::rans
