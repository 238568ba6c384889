#include "codec/bitmask/kernel.h"

#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/tests/hwy_gtest.h>

#include "codec/bitmask/kernel_ref.h"

namespace bitsnap::bitmask {
namespace {

using Buffer = std::vector<std::byte>;

struct Case {
  size_t word;
  size_t words;
  size_t misalign;
  Buffer base;  // `misalign` bytes, then the words: ends where the allocation ends
  Buffer raw;

  Bytes Base() const { return Bytes(base).subspan(misalign); }
  Bytes Raw() const { return Bytes(raw).subspan(misalign); }
};

Case MakeCase(size_t word, size_t words, double changed, std::mt19937& random) {
  Case c{word, words, random() % 9, {}, {}};
  c.base.resize(c.misalign + word * words);
  for (std::byte& b : c.base) b = std::byte(random());
  c.raw = c.base;
  std::bernoulli_distribution change(changed);
  for (size_t i = 0; i < words; ++i) {
    // One bit of the word, so that every byte of it takes part in the comparison.
    const size_t bit = random() % (8 * word);
    if (change(random)) c.raw[c.misalign + i * word + bit / 8] ^= std::byte{1} << (bit % 8);
  }
  return c;
}

constexpr std::byte kGuard{0xa5};

// Runs the kernels of one target against the reference.
void Check(const Case& c) {
  SCOPED_TRACE(testing::Message() << c.word << "-byte words: " << c.words);
  const size_t mask_bytes = MaskBytes(c.words);
  const size_t bound = mask_bytes + c.raw.size() - c.misalign;
  Buffer want(bound);
  const size_t changed = PackChangedRef(c.word, c.Base(), c.Raw(), c.words, want);
  const size_t coded = mask_bytes + changed * c.word;

  Buffer got(c.misalign + bound + kPackSlack + 1, kGuard);
  const MutableBytes out = MutableBytes(got).subspan(c.misalign, bound + kPackSlack);
  ASSERT_EQ(PackChanged(c.word, c.Base(), c.Raw(), c.words, out), changed);
  EXPECT_TRUE(std::ranges::equal(out.first(coded), Bytes(want).first(coded)));
  EXPECT_EQ(got.back(), kGuard) << "wrote past the slack";
  if (changed > 0) {
    EXPECT_GT(PackChanged(c.word, c.Base(), c.Raw(), changed - 1, out), changed - 1);
  }
  EXPECT_EQ(PackChanged(c.word, c.Base(), c.Raw(), changed, out), changed);

  // An allocation of its own, so that the address sanitizer sees reads past the values.
  const Buffer payload(want.begin(), want.begin() + coded);
  const Bytes mask = Bytes(payload).first(mask_bytes);
  EXPECT_EQ(CountBits(mask), changed);
  Buffer decoded(c.misalign + c.word * c.words + 1, kGuard);
  UnpackChanged(c.word, c.Base(), mask, Bytes(payload).subspan(mask_bytes),
                MutableBytes(decoded).subspan(c.misalign, c.word * c.words));
  EXPECT_TRUE(std::equal(c.raw.begin() + c.misalign, c.raw.end(), decoded.begin() + c.misalign));
  EXPECT_EQ(decoded.back(), kGuard) << "wrote past the block";
}

class BitmaskKernel : public hwy::TestWithParamTarget {};
HWY_TARGET_INSTANTIATE_TEST_SUITE_P(BitmaskKernel);

TEST_P(BitmaskKernel, EqualsReference) {
  std::mt19937 random(1);
  for (size_t word : {1, 2, 4, 8}) {
    for (double changed : {0.0, 0.01, 0.3, 1.0}) {
      for (size_t words = 1; words <= 260; ++words) Check(MakeCase(word, words, changed, random));
      Check(MakeCase(word, 4099, changed, random));
      Check(MakeCase(word, (size_t{256} << 10) / word, changed, random));
    }
  }
}

// A long run of unchanged words after the last value, and before the first.
TEST_P(BitmaskKernel, ChangesAtOneEnd) {
  std::mt19937 random(2);
  for (size_t word : {1, 2, 4, 8}) {
    for (bool front : {true, false}) {
      Case c = MakeCase(word, 1000, 0, random);
      const size_t at = c.misalign + (front ? 0 : 999 * word);
      c.raw[at] ^= std::byte{1};
      Check(c);
    }
  }
}

TEST(BitmaskReference, WorkedExample) {
  const Buffer base = {std::byte{1}, std::byte{0}, std::byte{2},
                       std::byte{0}, std::byte{3}, std::byte{0}};
  Buffer raw = base;
  raw[3] = std::byte{7};
  Buffer out(1 + 6);
  EXPECT_EQ(PackChangedRef(2, base, raw, 3, out), 1);
  EXPECT_EQ(out[0], std::byte{0b010});
  EXPECT_EQ(out[1], std::byte{2});
  EXPECT_EQ(out[2], std::byte{7});
  Buffer decoded(6);
  UnpackChangedRef(2, base, Bytes(out).first(1), Bytes(out).subspan(1, 2), decoded);
  EXPECT_EQ(decoded, raw);
}

}  // namespace
}  // namespace bitsnap::bitmask
