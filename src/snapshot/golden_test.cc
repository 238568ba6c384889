// Files of every version of the format stay readable for ever: tests/golden/. To add one for a new
// version, run this program with BITSNAP_WRITE_GOLDEN=1; never rewrite an old one.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "snapshot/samples.h"

namespace bitsnap {
namespace {

std::string PathOf(const std::string& name) { return std::string(BITSNAP_GOLDEN) + "/" + name; }

FileBytes ReadGolden(const std::string& name) {
  std::ifstream in(PathOf(name), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const Bytes bytes = AsBytes(text);
  return {bytes.begin(), bytes.end()};
}

void WriteGoldenIfAsked(const std::string& name, const FileBytes& file) {
  if (std::getenv("BITSNAP_WRITE_GOLDEN") == nullptr) return;
  std::ofstream out(PathOf(name), std::ios::binary);
  out.write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(file.size()));
}

class GoldenVersionTest : public testing::TestWithParam<int> {
 protected:
  std::string Name(const char* sample) const {
    return "v" + std::to_string(GetParam()) + "-" + sample + ".bsnap";
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, GoldenVersionTest, testing::Range(3, int{kFormatVersion} + 1));

TEST(GoldenTest, TinyIsWhatTheWriterWrites) {
  const FileBytes file = *WriteSample(TinySample());
  WriteGoldenIfAsked("v3-tiny.bsnap", file);
  EXPECT_EQ(file, ReadGolden("v3-tiny.bsnap"));
}

// Another version of zstd may compress the index into other bytes. The hash is of the header and
// the uncompressed index, so with equal payloads it makes the files equal in all that counts.
TEST(GoldenTest, FullIsWhatTheWriterWrites) {
  const Sample sample = FullSample();
  const FileBytes file = *WriteSample(sample);
  WriteGoldenIfAsked("v3-full.bsnap", file);
  const FileBytes golden = ReadGolden("v3-full.bsnap");
  const auto reader = OpenBytes(golden);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_TRUE(ReadEveryBlock(*reader));
  EXPECT_EQ(reader->index_hash(), OpenBytes(file)->index_hash());
  const size_t payload_end = kHeaderBytes + sample.payloads.size();
  EXPECT_TRUE(std::equal(file.begin(), file.begin() + static_cast<ptrdiff_t>(payload_end),
                         golden.begin(), golden.begin() + static_cast<ptrdiff_t>(payload_end)));
}

TEST_P(GoldenVersionTest, TinyHoldsWhatItAlwaysHeld) {
  const auto reader = OpenBytes(ReadGolden(Name("tiny")));
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_TRUE(ReadEveryBlock(*reader));
  EXPECT_EQ(reader->header(), (SnapshotHeader{7, 1, 3, 0x1122334455667788}));
}

// The content, spelled out: reader and writer could otherwise change together.
TEST_P(GoldenVersionTest, FullHoldsWhatItAlwaysHeld) {
  const auto reader = OpenBytes(ReadGolden(Name("full")));
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ(reader->header(), (SnapshotHeader{500, 2, 4, ~uint64_t{0}}));
  const SnapshotIndex& index = reader->index();
  EXPECT_EQ(index.block_bytes, 16u);
  EXPECT_EQ(index.profile, "paper");
  EXPECT_EQ(index.base, (BaseReference{490, {0x0123456789abcdef, 0xfedcba9876543210}}));
  ASSERT_EQ(index.tensors.size(), 12u);
  EXPECT_EQ(index.tensors[0].info.name, "model.weight");
  EXPECT_EQ(index.tensors[0].info.dtype, DType::kBF16);
  EXPECT_EQ(index.tensors[0].info.shape, (std::vector<uint64_t>{5, 4}));
  EXPECT_EQ(index.tensors[0].base_tensor, 3u);
  EXPECT_EQ(index.tensors[1].data_offset, kHeaderBytes);
  EXPECT_EQ(index.tensors[1].info.role, Role::kExpAvg);
  EXPECT_EQ(index.tensors[1].error[0].value, 1e-9);
  EXPECT_EQ(index.tensors[2].storage, Storage::kSameAsTensor);
  EXPECT_EQ(index.tensors[4].same_as, 3u);
  EXPECT_EQ(index.tensors[3].storage, Storage::kSameAsBase);
  EXPECT_EQ(index.tensors[6].blocks, (std::vector<BlockRecord>{{255, 0, Checksum64({}), 42}}));
  EXPECT_EQ(index.tensors[8].info.name, "not UTF-8: \xff");
  EXPECT_EQ(index.tensors[9].second, 10u);
  EXPECT_EQ(index.tensors[9].blocks.size(), 2u);
  EXPECT_EQ(index.tensors[9].params, (std::vector<std::byte>{std::byte{1}, std::byte{2}}));
  EXPECT_EQ(index.tensors[10].storage, Storage::kSecondOfPair);
  EXPECT_EQ(index.tensors[10].same_as, 9u);
  EXPECT_EQ(index.tensors[11].peer, 0u);
}

}  // namespace
}  // namespace bitsnap
