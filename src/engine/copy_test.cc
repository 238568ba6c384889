// The copy's own loops: every length, from any address, and nothing beside it.
#include <gtest/gtest.h>

#include "engine/arena.h"
#include "engine/kernel_copy.h"
#include "engine/manifest.h"
#include "store/store_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;

TEST(StreamCopyTest, CopiesWhatMemcpyWouldAndNothingElse) {
  constexpr size_t kMost = 700;
  const std::vector<std::byte> from = Noise(kMost + 64, 1);
  for (size_t shift : {0, 1, 4, 16, 63}) {
    for (size_t bytes = 0; bytes <= kMost; ++bytes) {
      alignas(64) std::array<std::byte, kMost + 64> to;
      to.fill(std::byte{0xa5});
      StreamCopy(to.data(), from.data() + shift, bytes);
      ASSERT_EQ(std::memcmp(to.data(), from.data() + shift, bytes), 0) << bytes << " " << shift;
      for (size_t i = bytes; i < to.size(); ++i) ASSERT_EQ(to[i], std::byte{0xa5}) << bytes;
    }
  }
}

// Several pieces, their ends included, by any number of threads.
TEST(CopyIntoTest, CopiesTensorsOfAnySize) {
  Contents contents;
  for (size_t bytes : {size_t{0}, size_t{1}, size_t{63}, (size_t{4} << 20) + 1, size_t{9} << 20}) {
    contents.push_back({{"t" + std::to_string(bytes), DType::kU8, {bytes}}, Noise(bytes, bytes)});
  }
  const Manifest manifest = Place(Views(contents));
  for (unsigned threads : {1u, 2u, 5u}) {
    Arena arena = *Arena::Map(RoundUpToPages(manifest.bytes));
    ASSERT_TRUE(CopyInto(Views(contents), manifest, arena.bytes(), threads));
    const auto views = ViewsOf(manifest, arena.bytes());
    for (size_t i = 0; i < views.size(); ++i) {
      EXPECT_TRUE(std::ranges::equal(views[i].bytes, contents[i].second)) << contents[i].first.name;
    }
  }
}

}  // namespace
}  // namespace bitsnap
