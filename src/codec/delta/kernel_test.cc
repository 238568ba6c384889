#include "codec/delta/kernel.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/tests/hwy_gtest.h>

#include "codec/delta/kernel_ref.h"
#include "codec/delta/symbols.h"

namespace bitsnap::delta {
namespace {

using Buffer = std::vector<std::byte>;

constexpr DType kDTypes[] = {DType::kBF16, DType::kF16, DType::kF32};

// A word whose bits below `bits` are random, or one at the edge of something.
uint32_t RandomWord(std::mt19937& random, unsigned bits) {
  constexpr uint32_t kEdges[] = {0,      1,      0x7fff,     0x8000,     0xffff,
                                 0x7f80, 0x7c00, 0x7fffffff, 0x80000000, 0xffffffff};
  if (random() % 8 == 0) return kEdges[random() % std::size(kEdges)];
  return static_cast<uint32_t>(random() & ((uint64_t{1} << bits) - 1));
}

// Words of a tensor and its base that differ in all sorts of ways; both end where their allocations
// end, so that the address sanitizer sees reads past them.
struct Case {
  DType dtype;
  Buffer base, raw;
  size_t misalign;
  Bytes Base() const { return Bytes(base).subspan(misalign); }
  Bytes Raw() const { return Bytes(raw).subspan(misalign); }

  Case(DType type, size_t words, unsigned bits, std::mt19937& random)
      : dtype(type), misalign(random() % 9) {
    const size_t word = WordBytes(dtype);
    base.resize(misalign + words * word);
    raw.resize(misalign + words * word);
    for (size_t at = misalign; at < base.size(); at += word) {
      const uint32_t old = RandomWord(random, 32);
      const uint32_t now = random() % 2 ? RandomWord(random, 32) : old ^ RandomWord(random, bits);
      std::memcpy(&base[at], &old, word);
      std::memcpy(&raw[at], random() % 4 ? &now : &old, word);
    }
  }
};

void CheckRestore(const Case& c, Bytes symbols, Bytes extras) {
  Buffer out(c.misalign + c.Raw().size() + 1, std::byte{0xa5});
  BitReader reader(extras);
  Restore(c.dtype, c.Base(), symbols, reader,
          MutableBytes(out).subspan(c.misalign, c.Raw().size()));
  EXPECT_TRUE(std::ranges::equal(c.Raw(), Bytes(out).subspan(c.misalign, c.Raw().size())));
  EXPECT_EQ(out.back(), std::byte{0xa5}) << "wrote past the block";
  EXPECT_EQ(reader.size(), extras.size());
  BitReader again(extras);
  RestoreRef(c.dtype, c.Base(), symbols, again, MutableBytes(out).first(c.Raw().size()));
  EXPECT_TRUE(std::ranges::equal(c.Raw(), Bytes(out).first(c.Raw().size())));
}

// Runs the kernels of one target against the reference.
void Check(const Case& c) {
  const size_t words = c.Raw().size() / WordBytes(c.dtype);
  SCOPED_TRACE(testing::Message() << DTypeName(c.dtype) << ", words " << words);

  Buffer symbols(words), want(words);
  MakeSymbols(c.dtype, c.Base(), c.Raw(), symbols);
  MakeSymbolsRef(c.dtype, c.Base(), c.Raw(), want);
  EXPECT_EQ(symbols, want);

  std::vector<uint64_t> groups(words / kGroup / 64 + 1, 0), want_groups = groups;
  EXPECT_EQ(FindChanged(symbols, groups), FindChangedRef(symbols, want_groups));
  EXPECT_EQ(groups, want_groups);

  Buffer extras(words * 4 + 8), want_extras(words * 4 + 8);
  BitWriter writer(extras.data()), want_writer(want_extras.data());
  WriteExtras(c.dtype, c.Base(), c.Raw(), symbols, writer);
  WriteExtrasRef(c.dtype, c.Base(), c.Raw(), symbols, want_writer);
  extras.resize(writer.size());
  want_extras.resize(want_writer.size());
  EXPECT_EQ(extras, want_extras);
  CheckRestore(c, symbols, extras);

  Buffer classes(words), want_classes(words);
  Exponents(c.dtype, c.Base(), classes);
  ExponentsRef(c.dtype, c.Base(), want_classes);
  EXPECT_EQ(classes, want_classes);
  const std::vector<uint8_t> all_bounds[] = {{},
                                             {1, 30, 31, 127, 128, 255},
                                             {110, 111, 112, 113},
                                             {1, 2},
                                             {255},
                                             {100, 104, 130},
                                             {1, 31},
                                             {1, 32}};
  for (const auto& bounds : all_bounds) {
    Buffer got = classes, expected = classes;
    Classify(bounds, got);
    ClassifyRef(bounds, expected);
    EXPECT_EQ(got, expected);
  }
}

class DeltaKernel : public hwy::TestWithParamTarget {};
HWY_TARGET_INSTANTIATE_TEST_SUITE_P(DeltaKernel);

TEST_P(DeltaKernel, EqualsReference) {
  std::mt19937 random(1);
  for (DType dtype : kDTypes) {
    for (size_t words = 1; words <= 200; ++words) Check({dtype, words, 3, random});
    for (unsigned bits : {2u, 4u, 5u, 8u, 16u, 24u, 25u, 32u}) Check({dtype, 5000, bits, random});
  }
}

// Every step of a 16-bit word from a few bases.
TEST_P(DeltaKernel, EveryStep) {
  for (DType dtype : {DType::kBF16, DType::kF16}) {
    for (uint32_t base : {0x0000u, 0x8000u, 0x3f80u, 0xbf80u, 0x7fffu, 0xffffu}) {
      std::mt19937 random(2);
      Case c(dtype, 1 << 16, 16, random);
      for (uint32_t i = 0; i < 1 << 16; ++i) {
        std::memcpy(&c.raw[c.misalign + 2 * i], &i, 2);
        std::memcpy(&c.base[c.misalign + 2 * i], &base, 2);
      }
      Check(c);
    }
  }
}

// The worked examples of spec.md.
TEST(DeltaSymbols, OfSomeSteps) {
  const auto symbol = [](uint16_t base, uint16_t word) {
    const auto step = StepFrom<uint16_t>(base, word);
    return 2 * BF16Layout::Bucket(step.size) - step.back;
  };
  EXPECT_EQ(symbol(0x3c00, 0x3c00), 0u);
  EXPECT_EQ(symbol(0x3c00, 0x3c01), 2u);
  EXPECT_EQ(symbol(0xbc00, 0xbc01), 2u);
  EXPECT_EQ(symbol(0x3c00, 0x3bff), 1u);
  EXPECT_EQ(symbol(0x0000, 0x8000), 1u);
  EXPECT_EQ(symbol(0x8000, 0x0000), 1u);
}

TEST(DeltaSymbols, BucketsFollowEachOther) {
  for (uint32_t b = 1; b < BF16Layout::kSymbols / 2; ++b) {
    EXPECT_EQ(BF16Layout::Bucket(BF16Layout::First(b)), b);
    EXPECT_EQ(BF16Layout::Bucket(static_cast<uint16_t>(BF16Layout::First(b) - 1)), b - 1);
  }
  for (uint32_t b = 1; b < F32Layout::kSymbols / 2; ++b) {
    EXPECT_EQ(F32Layout::Bucket(F32Layout::First(b)), b);
    EXPECT_EQ(F32Layout::Bucket(F32Layout::First(b) - 1), b - 1);
  }
}

}  // namespace
}  // namespace bitsnap::delta
