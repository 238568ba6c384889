#include "codec/planes/kernel.h"

#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/tests/hwy_gtest.h>

#include "codec/planes/kernel_ref.h"

namespace bitsnap::planes {
namespace {

using Buffer = std::vector<std::byte>;

constexpr std::byte kGuard{0xa5};

// Planes one after the other.
MutablePlanePointers PlanesOf(MutableBytes bytes, size_t words) {
  MutablePlanePointers planes{};
  for (size_t k = 0; k * words < bytes.size(); ++k) planes[k] = &bytes[k * words];
  return planes;
}

// Runs the kernels of one target against the reference. The inputs end where their allocations
// end, so that the address sanitizer sees reads past them.
void Check(size_t word, bool rotate, size_t words, std::mt19937& random) {
  SCOPED_TRACE(testing::Message() << word << "-byte words: " << words << ", rotate " << rotate);
  const size_t misalign = random() % 9;
  const size_t bytes = word * words;
  Buffer raw(misalign + bytes);
  for (std::byte& b : raw) b = std::byte(random());
  const Bytes input = Bytes(raw).subspan(misalign);

  Buffer want(bytes);
  SplitRef(word, rotate, input, PlanesOf(want, words));
  Buffer got(misalign + bytes + 1, kGuard);
  Split(word, rotate, input, PlanesOf(MutableBytes(got).subspan(misalign, bytes), words));
  EXPECT_TRUE(std::equal(want.begin(), want.end(), got.begin() + misalign));
  EXPECT_EQ(got.back(), kGuard) << "wrote past the planes";

  std::vector<Buffer> planes;
  PlanePointers pointers{};
  for (size_t k = 0; k < word; ++k) {
    planes.emplace_back(want.begin() + k * words, want.begin() + (k + 1) * words);
    pointers[k] = planes.back().data();
  }
  Buffer merged(misalign + bytes + 1, kGuard);
  Merge(word, rotate, pointers, MutableBytes(merged).subspan(misalign, bytes));
  EXPECT_TRUE(std::equal(input.begin(), input.end(), merged.begin() + misalign));
  EXPECT_EQ(merged.back(), kGuard) << "wrote past the block";
  MergeRef(word, rotate, pointers, MutableBytes(merged).first(bytes));
  EXPECT_TRUE(std::equal(input.begin(), input.end(), merged.begin()));
}

class PlanesKernel : public hwy::TestWithParamTarget {};
HWY_TARGET_INSTANTIATE_TEST_SUITE_P(PlanesKernel);

TEST_P(PlanesKernel, EqualsReference) {
  std::mt19937 random(1);
  for (size_t word : {2, 4, 8}) {
    for (bool rotate : {false, true}) {
      for (size_t words = 1; words <= 260; ++words) Check(word, rotate, words, random);
      Check(word, rotate, 4099, random);
    }
  }
}

TEST(PlanesKernelBytes, AreCopied) {
  std::mt19937 random(2);
  Check(1, false, 1000, random);
}

TEST(PlanesReference, RotatesTheExponentIntoTheTopByte) {
  // The bf16 values 1.0 = 0x3f80 and -2.0 = 0xc000 become 0x7f00 and 0x8001.
  const Buffer raw = {std::byte{0x80}, std::byte{0x3f}, std::byte{0x00}, std::byte{0xc0}};
  Buffer planes(4);
  SplitRef(2, true, raw, PlanesOf(planes, 2));
  const Buffer want = {std::byte{0x00}, std::byte{0x01}, std::byte{0x7f}, std::byte{0x80}};
  EXPECT_EQ(planes, want);
}

}  // namespace
}  // namespace bitsnap::planes
