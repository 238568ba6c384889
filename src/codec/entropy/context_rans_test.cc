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
Coded EncodeRef(const Sample& sample) {
  Coded coded;
  for (size_t i = 0; i < sample.symbols.size(); ++i) {
    const Frequencies& f = sample.frequencies[std::to_integer<size_t>(sample.contexts[i])];
    const auto symbol = std::to_integer<size_t>(sample.symbols[i]);
    uint32_t start = 0;
    for (size_t s = 0; s < symbol; ++s) start += f[s];
    uint32_t& x = coded.states[i % kLanes];
    if (x >= uint64_t{f[symbol]} << (32 - kScaleBits)) {
      coded.words.push_back(std::byte(x));
      coded.words.push_back(std::byte(x >> 8));
      x >>= 16;
    }
    x = x / f[symbol] * kScale + start + x % f[symbol];
  }
  return coded;
}

Coded Encode(const Sample& sample) {
  const auto table = std::make_unique<EncodeTable>();
  for (size_t c = 0; c < kContexts; ++c) FillEncodeTable(sample.frequencies[c], c, *table);
  Coded coded;
  coded.words.resize(2 * sample.symbols.size() + kEncodeSlack);
  coded.words.resize(
      EncodeSymbols(*table, sample.symbols, sample.contexts, coded.states, coded.words.data()));
  return coded;
}

// Decodes and returns the bytes of `words` left; nullopt when there were too few.
std::optional<size_t> Decode(const Sample& sample, Bytes words, States& states, Buffer& symbols) {
  std::vector<uint32_t> table(kContexts * kScale);
  for (size_t c = 0; c < kContexts; ++c) FillDecodeTable(sample.frequencies[c], c, table);
  Buffer between(words.size() + 2 * kHalfStateBytes, std::byte{0x5a});
  std::ranges::copy(words, between.begin() + kHalfStateBytes);
  symbols.assign(sample.symbols.size(), std::byte{0});
  return DecodeSymbols(table, Bytes(between).subspan(kHalfStateBytes, words.size()),
                       sample.contexts, states, symbols);
}

class ContextRans : public hwy::TestWithParamTarget {};
HWY_TARGET_INSTANTIATE_TEST_SUITE_P(ContextRans);

TEST_P(ContextRans, EqualsReference) {
  for (size_t count : {1, 2, 31, 32, 33, 64, 100, 1000, 70000}) {
    SCOPED_TRACE(count);
    const Sample sample(count, 1);
    const Coded want = EncodeRef(sample);
    const Coded got = Encode(sample);
    ASSERT_EQ(got.words, want.words);
    ASSERT_EQ(got.states, want.states);

    States states = got.states;
    Buffer symbols;
    EXPECT_EQ(Decode(sample, got.words, states, symbols), 0u);
    EXPECT_EQ(symbols, sample.symbols);
    EXPECT_EQ(states, InitialStates());
  }
}

TEST_P(ContextRans, LeavesWhatStandsBeforeTheWords) {
  const Sample sample(1000, 2);
  const Coded coded = Encode(sample);
  Buffer longer(99, std::byte{0xff});
  longer.insert(longer.end(), coded.words.begin(), coded.words.end());
  States states = coded.states;
  Buffer symbols;
  EXPECT_EQ(Decode(sample, longer, states, symbols), 99u);
  EXPECT_EQ(symbols, sample.symbols);
}

TEST_P(ContextRans, TooFewWordsAreNoticed) {
  const Sample sample(1000, 3);
  const Coded coded = Encode(sample);
  for (size_t missing = 1; missing <= coded.words.size(); ++missing) {
    States states = coded.states;
    Buffer symbols;
    EXPECT_EQ(Decode(sample, Bytes(coded.words).subspan(missing), states, symbols), std::nullopt);
  }
}

TEST(ContextRansFrequencies, SumToTheScaleAndKeepWhatOccurs) {
  std::mt19937 random(4);
  for (int round = 0; round < 1000; ++round) {
    Counts counts{};
    const size_t used = 1 + random() % 256;
    for (size_t i = 0; i < used; ++i) {
      counts[random() % 256] = static_cast<uint32_t>(1 + (random() >> random() % 32) / 512);
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
    WriteFrequencies(frequencies, writer);
    bytes.resize(writer.size());
    BitReader reader(bytes);
    ASSERT_EQ(ReadFrequencies(256, reader), frequencies);
    ASSERT_EQ(reader.size(), bytes.size());
    BitReader few(bytes);
    const size_t last = 255 - (std::find_if(frequencies.rbegin(), frequencies.rend(),
                                            [](auto f) { return f > 0; }) -
                               frequencies.rbegin());
    ASSERT_EQ(ReadFrequencies(last, few), std::nullopt) << "a symbol too many";
  }
}

TEST(ContextRansFrequencies, HostileTablesAreRefused) {
  const auto read = [](std::initializer_list<int> content) {
    Buffer bytes;
    for (int b : content) bytes.push_back(std::byte(b));
    BitReader reader(bytes);
    return ReadFrequencies(256, reader).has_value();
  };
  EXPECT_TRUE(read({0x0d, 0x00}));         // 4096
  EXPECT_FALSE(read({0x1d, 0x00}));        // 4097
  EXPECT_FALSE(read({}));                  // nothing
  EXPECT_FALSE(read({0x0e, 0x00, 0x00}));  // 8192
  EXPECT_FALSE(read({0xff, 0xff, 0xff}));
  EXPECT_FALSE(read({0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0,
                     0xf0, 0xf0, 0xf0, 0xf0}));  // zeros only
}

}  // namespace
}  // namespace bitsnap::context_rans
