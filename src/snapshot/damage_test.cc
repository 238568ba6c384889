// Accidents: flipped bits, missing pieces, other files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "snapshot/samples.h"

namespace bitsnap {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Result<void> ReadAll(Bytes file) {
  BITSNAP_ASSIGN(const SnapshotReader reader, OpenBytes(file));
  return ReadEveryBlock(reader);
}

IndexCoding CodingOf(const FileBytes& file) {
  return ParseFooter(Bytes(file).last(kFooterBytes))->coding;
}

// No byte of the file is unprotected.
void ExpectEveryFlipToBeSeen(FileBytes file) {
  ASSERT_TRUE(ReadAll(file));
  for (size_t i = 0; i < file.size(); ++i) {
    for (int mask : {1, 2, 4, 8, 16, 32, 64, 128, 255}) {
      file[i] ^= static_cast<std::byte>(mask);
      const auto read = ReadAll(file);
      ASSERT_FALSE(read) << "byte " << i << " xor " << mask;
      EXPECT_EQ(read.error().kind, ErrorKind::kCorrupt) << read.error().message;
      EXPECT_THAT(read.error().message, StartsWith(kTestPath));
      file[i] ^= static_cast<std::byte>(mask);
    }
  }
}

TEST(DamageTest, EveryFlippedBitIsSeenInAPlainIndex) {
  const FileBytes file = *WriteSample(TinySample());
  ASSERT_EQ(CodingOf(file), IndexCoding::kPlain);
  ExpectEveryFlipToBeSeen(file);
}

TEST(DamageTest, EveryFlippedBitIsSeenInACompressedIndex) {
  const FileBytes file = *WriteSample(FullSample());
  ASSERT_EQ(CodingOf(file), IndexCoding::kZstd);
  ExpectEveryFlipToBeSeen(file);
}

TEST(DamageTest, AFlippedByteIsSeenInAnySnapshot) {
  for (uint64_t seed = 0; seed < 500; ++seed) {
    FileBytes file = *WriteSample(RandomSample(seed));
    std::mt19937_64 random(seed);
    for (int flips = 0; flips < 10; ++flips) {
      std::byte& byte = file[random() % file.size()];
      const std::byte before = byte;
      byte ^= static_cast<std::byte>(1 + random() % 255);
      ASSERT_FALSE(ReadAll(file)) << seed << ": byte " << &byte - file.data();
      byte = before;
    }
  }
}

TEST(DamageTest, AFileCutAnywhereIsTruncated) {
  const FileBytes file = *WriteSample(FullSample());
  for (size_t size = 0; size < file.size(); ++size) {
    const auto read = ReadAll(Bytes(file).first(size));
    ASSERT_FALSE(read) << size;
    EXPECT_EQ(read.error().kind, ErrorKind::kTruncated) << size;
    EXPECT_THAT(read.error().message, StartsWith(kTestPath));
    EXPECT_THAT(read.error().message, HasSubstr("interrupted write or copy?"));
  }
}

TEST(DamageTest, APieceMissingOrDoubledIsSeenByOpen) {
  const FileBytes file = *WriteSample(FullSample());
  for (size_t i = 0; i < file.size(); ++i) {
    FileBytes missing = file;
    missing.erase(missing.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_FALSE(OpenBytes(missing)) << i;
    FileBytes doubled = file;
    doubled.insert(doubled.begin() + static_cast<ptrdiff_t>(i), file[i]);
    EXPECT_FALSE(OpenBytes(doubled)) << i;
  }
}

TEST(DamageTest, BytesAfterTheEndAreSeen) {
  FileBytes file = *WriteSample(FullSample());
  for (int added = 0; added < 200; ++added) {
    file.push_back(std::byte{0});
    EXPECT_FALSE(OpenBytes(file));
  }
}

TEST(DamageTest, TheFrontOfOneFileAndTheEndOfAnotherAreNotAFile) {
  const FileBytes a = *WriteSample(FullSample());
  Sample other = FullSample();
  ++other.header.step;
  FileBytes mixed = *WriteSample(other);
  std::copy(a.begin() + kHeaderBytes, a.end(), mixed.begin() + kHeaderBytes);
  const auto reader = OpenBytes(mixed);
  ASSERT_FALSE(reader);
  EXPECT_THAT(reader.error().message, HasSubstr("hash"));
}

TEST(DamageTest, RandomBytesAreNoSnapshot) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; ++i) {
    FileBytes file = i % 2 ? EncodeHeader({}) : FileBytes();
    const size_t size = random() % 500;
    while (file.size() < size) file.push_back(static_cast<std::byte>(random()));
    const auto reader = OpenBytes(file);
    ASSERT_FALSE(reader);
    EXPECT_THAT(reader.error().kind, AnyOf(ErrorKind::kCorrupt, ErrorKind::kTruncated));
  }
}

TEST(DamageTest, AnotherKindOfFileIsNamedSo) {
  const auto reader = OpenBytes(AsBytes(std::string(1000, 'x')));
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().kind, ErrorKind::kCorrupt);
  EXPECT_THAT(reader.error().message, HasSubstr("not a BitSnap snapshot"));
}

TEST(DamageTest, ADamagedBlockIsNamed) {
  const Sample sample = FullSample();
  FileBytes file = *WriteSample(sample);
  const TensorRecord& weight = sample.index.tensors[0];
  file[weight.data_offset + weight.blocks[0].coded_bytes] ^= std::byte{1};
  const auto reader = OpenBytes(file);
  ASSERT_TRUE(reader);
  FileBytes payload(weight.blocks[1].coded_bytes);
  const auto read = reader->ReadBlock(0, 1, payload);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind, ErrorKind::kCorrupt);
  EXPECT_THAT(read.error().message, HasSubstr("block 1 of tensor 'model.weight'"));
}

}  // namespace
}  // namespace bitsnap
