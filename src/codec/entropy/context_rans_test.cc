#include "codec/entropy/context_rans.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/tests/hwy_gtest.h>

namespace bitsnap::context_rans {
namespace {

using Buffer = std::vector<std::byte>;

constexpr size_t kContexts = 5;

// Symbols whose spread grows with their context; context 4 has but one symbol.
struct Sample {
  Buffer symbols, contexts;
  std::array<Frequencies, kContexts> frequencies;

  Sample(size_t count, uint32_t seed) : symbols(count), contexts(count) {
    std::mt19937 random(seed);
    std::array<Counts, kContexts> counts{};
    for (size_t i = 0; i < count; ++i) {
      const auto context = static_cast<uint32_t>(random() % kContexts);
      const auto bits = static_cast<uint32_t>(random());
      const uint32_t spread = std::countl_zero(bits | 1) << context | bits % (1u << context);
      const uint32_t symbol = context == 4 ? 7 : spread % 256;
      contexts[i] = std::byte(context);
      symbols[i] = std::byte(symbol);
      ++counts[context][symbol];
    }
    for (size_t c = 0; c < kContexts; ++c) {
      if (counts[c] == Counts{}) counts[c][0] = 1;
      frequencies[c] = Normalize(counts[c]);
    }
  }
};

States InitialStates() {
  States states;
  states.fill(kInitialState);
  return states;
}

struct Coded {
  Buffer words;
  States states = InitialStates();
};

// Plain rANS with division, straight from its definition.
Coded EncodeRef(const Sample& sample, size_t lanes) {
  Coded coded;
  for (size_t i = 0; i < sample.symbols.size(); ++i) {
    const Frequencies& f = sample.frequencies[std::to_integer<size_t>(sample.contexts[i])];
    const auto symbol = std::to_integer<size_t>(sample.symbols[i]);
    uint32_t start = 0;
    for (size_t s = 0; s < symbol; ++s) start += f[s];
    uint32_t& x = coded.states[i % lanes];
    if (x >= uint64_t{f[symbol]} << (32 - kScaleBits)) {
      coded.words.push_back(std::byte(x));
      coded.words.push_back(std::byte(x >> 8));
      x >>= 16;
    }
    x = x / f[symbol] * kScale + start + x % f[symbol];
  }
  return coded;
}

Coded Encode(const Sample& sample, size_t lanes) {
  const auto table = std::make_unique<EncodeTable>();
  for (size_t c = 0; c < kContexts; ++c) FillEncodeTable(sample.frequencies[c], c, *table);
  Coded coded;
  coded.words.resize(2 * sample.symbols.size() + kEncodeSlack);
  coded.words.resize(EncodeSymbols(*table, lanes, sample.symbols, sample.contexts, coded.states,
                                   coded.words.data()));
  return coded;
}

// Decodes and returns the bytes of `words` left; nullopt when there were too few.
std::optional<size_t> Decode(const Sample& sample, size_t lanes, Bytes words, States& states,
                             Buffer& symbols) {
  std::vector<uint32_t> table(kContexts * kScale);
  for (size_t c = 0; c < kContexts; ++c) FillDecodeTable(sample.frequencies[c], c, table);
  const size_t half = HalfStateBytes(lanes);
  Buffer between(words.size() + 2 * half, std::byte{0x5a});
  std::ranges::copy(words, between.begin() + half);
  symbols.assign(sample.symbols.size(), std::byte{0});
  return DecodeSymbols(table, lanes, Bytes(between).subspan(half, words.size()), sample.contexts,
                       states, symbols);
}

class ContextRans : public hwy::TestWithParamTarget {};
HWY_TARGET_INSTANTIATE_TEST_SUITE_P(ContextRans);

TEST_P(ContextRans, EqualsReference) {
  for (size_t count : {1, 2, 31, 32, 33, 64, 100, 1000, 70000}) {
    const Sample sample(count, 1);
    for (size_t lanes : kLaneChoices) {
      SCOPED_TRACE(testing::Message() << count << " symbols, lanes " << lanes);
      const Coded want = EncodeRef(sample, lanes);
      const Coded got = Encode(sample, lanes);
      ASSERT_EQ(got.words, want.words);
      ASSERT_EQ(got.states, want.states);

      States states = got.states;
      Buffer symbols;
      EXPECT_EQ(Decode(sample, lanes, got.words, states, symbols), 0u);
      EXPECT_EQ(symbols, sample.symbols);
      EXPECT_EQ(states, InitialStates());
    }
  }
}

TEST_P(ContextRans, LeavesWhatStandsBeforeTheWords) {
  const Sample sample(1000, 2);
  for (size_t lanes : kLaneChoices) {
    const Coded coded = Encode(sample, lanes);
    Buffer longer(99, std::byte{0xff});
    longer.insert(longer.end(), coded.words.begin(), coded.words.end());
    States states = coded.states;
    Buffer symbols;
    EXPECT_EQ(Decode(sample, lanes, longer, states, symbols), 99u);
    EXPECT_EQ(symbols, sample.symbols);
  }
}

TEST_P(ContextRans, TooFewWordsAreNoticed) {
  const Sample sample(1000, 3);
  for (size_t lanes : kLaneChoices) {
    const Coded coded = Encode(sample, lanes);
    for (size_t missing = 1; missing <= coded.words.size(); ++missing) {
      States states = coded.states;
      Buffer symbols;
      const Bytes rest = Bytes(coded.words).subspan(missing);
      EXPECT_EQ(Decode(sample, lanes, rest, states, symbols), std::nullopt);
    }
  }
}

TEST(ContextRansCounts, FrequenciesSumToTheScaleAndKeepWhatOccurs) {
  std::mt19937 random(4);
  for (int round = 0; round < 1000; ++round) {
    Counts counts{};
    const size_t used = 1 + random() % 256;
    size_t last = 0;
    for (size_t i = 0; i < used; ++i) {
      const size_t symbol = random() % 256;
      counts[symbol] = Rounded(static_cast<uint32_t>(1 + (random() >> random() % 32) / 16384));
      last = std::max(last, symbol);
    }
    const Frequencies frequencies = Normalize(counts);
    uint32_t sum = 0;
    for (size_t s = 0; s < 256; ++s) {
      sum += frequencies[s];
      ASSERT_EQ(counts[s] > 0, frequencies[s] > 0);
    }
    ASSERT_EQ(sum, kScale);

    Buffer bytes(kMaxTableBits / 8 + 8);
    BitWriter writer(bytes.data());
    WriteCounts(counts, writer);
    ASSERT_LE(writer.size(), kMaxTableBits / 8);
    bytes.resize(writer.size());
    BitReader reader(bytes);
    ASSERT_EQ(ReadCounts(256, reader), counts);
    ASSERT_EQ(reader.size(), bytes.size());
    BitReader few(bytes);
    ASSERT_EQ(ReadCounts(last, few), std::nullopt) << "a symbol too many";
  }
}

TEST(ContextRansCounts, KeepThreeBits) {
  for (uint32_t exact : {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20}) {
    EXPECT_EQ(Rounded(exact), exact);
  }
  EXPECT_EQ(Rounded(9), 10u);
  EXPECT_EQ(Rounded(15), 16u);
  EXPECT_EQ(Rounded(1000), 1024u);
  EXPECT_EQ(Rounded(131072), 131072u);
}

TEST(ContextRansCounts, HostileTablesAreRefused) {
  const auto read = [](std::initializer_list<int> content) {
    Buffer bytes;
    for (int b : content) bytes.push_back(std::byte(b));
    BitReader reader(bytes);
    return ReadCounts(200, reader);
  };
  // Last symbol 0; width 0 + 1 as gamma(2 + 1) = 0 1 1.
  ASSERT_TRUE(read({0x00, 0x06}));
  EXPECT_EQ((*read({0x00, 0x06}))[0], 1u);
  EXPECT_FALSE(read({}));
  EXPECT_FALSE(read({0xc8, 0xff, 0xff, 0xff})) << "symbol 200";
  EXPECT_FALSE(read({0x00, 0x01})) << "none occurs";
  EXPECT_FALSE(read({0x00, 0x02})) << "a width below zero";
  EXPECT_FALSE(read({0x00, 0xe0, 0xff})) << "a width too large";
  EXPECT_FALSE(read({0x00, 0x00, 0x00, 0x00})) << "no width";
}

}  // namespace
}  // namespace bitsnap::context_rans
