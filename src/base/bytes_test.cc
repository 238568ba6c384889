#include "base/bytes.h"

#include <gtest/gtest.h>

#include "base/checked.h"
#include "base/checksum.h"

namespace bitsnap {
namespace {

TEST(ByteReader, GivesBackWhatTheWriterWrote) {
  std::vector<std::byte> bytes;
  ByteWriter writer(&bytes);
  writer.Int<uint8_t>(7);
  writer.Int<int64_t>(-2);
  writer.String("a\0b");
  writer.Double(-0.0);
  ByteReader reader(bytes);
  EXPECT_EQ(reader.Int<uint8_t>(), 7);
  EXPECT_EQ(reader.Int<int64_t>(), -2);
  EXPECT_EQ(reader.String(), std::string_view("a\0b"));
  EXPECT_EQ(std::bit_cast<uint64_t>(reader.Double()), uint64_t{1} << 63);
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.remaining(), 0u);
}

TEST(ByteReader, EveryTruncationFailsAndStaysFailed) {
  std::vector<std::byte> bytes;
  ByteWriter writer(&bytes);
  writer.String("hello");
  for (size_t size = 0; size < bytes.size(); ++size) {
    ByteReader reader(Bytes(bytes).first(size));
    EXPECT_EQ(reader.String(), "");
    EXPECT_FALSE(reader.ok());
    EXPECT_EQ(reader.Int<uint8_t>(), 0);
    EXPECT_FALSE(reader.ok());
  }
}

TEST(ByteReader, RefusesALengthBeyondItsEnd) {
  std::vector<std::byte> bytes(16);
  ByteReader reader(bytes);
  EXPECT_TRUE(reader.Raw(UINT64_MAX).empty());
  EXPECT_FALSE(reader.ok());
}

TEST(Checked, DetectsOverflow) {
  EXPECT_EQ(CheckedAdd(UINT64_MAX, 1), std::nullopt);
  EXPECT_EQ(CheckedMul(uint64_t{1} << 32, uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ(CheckedMul(uint64_t{1} << 32, (uint64_t{1} << 32) - 1), 0xffffffff00000000u);
  EXPECT_EQ(CeilDiv(UINT64_MAX, 2), uint64_t{1} << 63);
  EXPECT_EQ(CeilDiv(0, 3), 0u);
}

// XXH3's published values for the empty input: a changed library would break every stored file.
TEST(Checksum, IsXxh3WithSeedZero) {
  EXPECT_EQ(Checksum64({}), 0x2d06800538d394c2u);
  EXPECT_EQ(ToHex(Checksum128({})), "99aa06d3014798d86001c324468d497f");
}

TEST(Checksum, OfTwoPartsIsThatOfBothInARow) {
  std::vector<std::byte> bytes(5000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * i >> 3);
  for (size_t size : {0, 1, 17, 240, 241, 4096, 5000}) {
    const Bytes all = Bytes(bytes).first(size);
    for (size_t cut : {size_t{0}, size / 2, size}) {
      const Bytes pieces[] = {all.first(cut), all.subspan(cut)};
      EXPECT_EQ(ChecksumOfAll(pieces), Checksum64(all)) << size;
    }
  }
}

}  // namespace
}  // namespace bitsnap
