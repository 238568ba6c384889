#include "codec/entropy/rans.h"

#include <algorithm>
#include <bit>
#include <random>
#include <vector>

#include <gtest/gtest.h>

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

bool DecodeInto(Bytes coded, MutableBytes symbols) {
  Buffer work(kDecodeWorkBytes);
  return Decode(Buffer(coded.begin(), coded.end()), symbols, work);
}

// Sizes around whole groups of states and whole pieces.
TEST(Rans, RoundTrips) {
  for (size_t count : {kMinSymbols, size_t{4095}, size_t{4096}, size_t{4097}, size_t{8192},
                       size_t{131071}, size_t{262144}}) {
    const Buffer symbols = Symbols(count, 1), coded = Coded(symbols);
    EXPECT_LT(coded.size(), count / 2);
    Buffer decoded(count);
    EXPECT_TRUE(DecodeInto(coded, decoded)) << count;
    EXPECT_EQ(decoded, symbols) << count;
  }
}

TEST(Rans, OneSymbolTakesTableAndStatesAlone) {
  const Buffer symbols(5000, std::byte{200});
  const Buffer coded = Coded(symbols);
  EXPECT_LT(coded.size(), 250u);
  Buffer decoded(symbols.size());
  EXPECT_TRUE(DecodeInto(coded, decoded));
  EXPECT_EQ(decoded, symbols);
}

TEST(Rans, RandomBytesAreNotCoded) {
  std::mt19937 random(3);
  Buffer symbols(5000);
  for (std::byte& s : symbols) s = std::byte(random());
  Buffer out(EncodeBound(symbols.size()));
  EXPECT_FALSE(Encode(symbols, out));
}

// The states tell: too much, too little, or another number of symbols.
TEST(Rans, AStreamOfAnotherLengthIsRefused) {
  const Buffer symbols = Symbols(2000, 4), coded = Coded(symbols);
  Buffer decoded(symbols.size());
  for (size_t size = 0; size < coded.size(); ++size) {
    EXPECT_FALSE(DecodeInto(Bytes(coded).first(size), decoded)) << size;
  }
  Buffer longer = coded;
  for (int more = 0; more < 8; ++more) {
    longer.insert(longer.end() - 64, std::byte{0});
    EXPECT_FALSE(DecodeInto(longer, decoded)) << more;
  }
  for (size_t count : {symbols.size() - 1, symbols.size() + 1, symbols.size() + 32}) {
    Buffer other(count);
    EXPECT_FALSE(DecodeInto(coded, other)) << count;
  }
}

// The sanitizers see what is read or written beyond the buffers.
TEST(Rans, HostileStreamsStayInside) {
  std::mt19937 random(6);
  // Nearly 8 bits a symbol, so that a decoder takes nearly all words that it can in each round.
  Buffer flat(10000);
  for (std::byte& s : flat) s = std::byte(random() % 150);
  size_t refused = 0;
  for (const Buffer& symbols : {Symbols(2000, 5), flat}) {
    const Buffer coded = Coded(symbols);
    Buffer decoded(symbols.size());
    for (int round = 0; round < 10000; ++round) {
      Buffer bad = coded;
      for (int flips = 0; flips < 1 + round % 4; ++flips) {
        // Half of the time in the table.
        bad[random() % (round % 2 ? 64 : bad.size())] ^= std::byte(1 + random() % 255);
      }
      bad.resize(bad.size() - random() % 64);
      refused += !DecodeInto(bad, decoded);
    }
  }
  EXPECT_GT(refused, 19'900u);
}

}  // namespace
}  // namespace bitsnap::rans
