// What the writer is given is what the reader gives back.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "snapshot/samples.h"

namespace bitsnap {
namespace {

void ExpectSame(const TensorRecord& a, const TensorRecord& b) {
  SCOPED_TRACE(a.info.name);
  EXPECT_EQ(a.info.name, b.info.name);
  EXPECT_EQ(a.info.dtype, b.info.dtype);
  EXPECT_EQ(a.info.shape, b.info.shape);
  EXPECT_EQ(a.info.role, b.info.role);
  EXPECT_EQ(a.info.group, b.info.group);
  EXPECT_EQ(a.storage, b.storage);
  EXPECT_EQ(a.base_tensor, b.base_tensor);
  EXPECT_EQ(a.same_as, b.same_as);
  EXPECT_EQ(a.blocks, b.blocks);
  EXPECT_EQ(a.second, b.second);
  EXPECT_EQ(a.peer, b.peer);
  EXPECT_EQ(a.params, b.params);
  EXPECT_EQ(a.why, b.why);
  if (!a.blocks.empty()) {
    EXPECT_EQ(a.data_offset, b.data_offset);
  }
  ASSERT_EQ(a.error.size(), b.error.size());
  for (size_t i = 0; i < a.error.size(); ++i) {
    EXPECT_EQ(a.error[i].name, b.error[i].name);
    EXPECT_EQ(std::bit_cast<uint64_t>(a.error[i].value), std::bit_cast<uint64_t>(b.error[i].value));
  }
}

void ExpectSame(const SnapshotIndex& a, const SnapshotIndex& b) {
  EXPECT_EQ(a.block_bytes, b.block_bytes);
  EXPECT_EQ(a.profile, b.profile);
  EXPECT_EQ(a.metadata, b.metadata);
  EXPECT_EQ(a.base, b.base);
  EXPECT_EQ(a.lineage, b.lineage);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) ExpectSame(a.tensors[i], b.tensors[i]);
}

void ExpectRoundTrip(const Sample& sample) {
  const auto file = WriteSample(sample);
  ASSERT_TRUE(file) << file.error().message;
  const auto reader = OpenBytes(*file);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ(reader->header(), sample.header);
  EXPECT_EQ(reader->file_bytes(), file->size());
  ExpectSame(reader->index(), sample.index);
  const auto blocks = ReadEveryBlock(*reader);
  EXPECT_TRUE(blocks) << blocks.error().message;
}

TEST(SnapshotTest, KeepsEveryFeature) { ExpectRoundTrip(FullSample()); }

TEST(SnapshotTest, KeepsASnapshotOfNothing) {
  Sample sample;
  sample.index.block_bytes = 1;
  ExpectRoundTrip(sample);
}

TEST(SnapshotTest, KeepsRandomSnapshots) {
  for (uint64_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    ExpectRoundTrip(RandomSample(seed));
  }
}

TEST(SnapshotTest, KeepsTheLineage) {
  Sample sample = TinySample();
  Lineage& lineage = sample.index.lineage;
  lineage = {.run = ~uint64_t{0}, .order = 1, .parent = ParentSave{0, 7}, .ancestors = {}};
  ExpectRoundTrip(sample);
  for (uint64_t run = 0; run < 1000; ++run) lineage.ancestors.push_back({run, ~run});
  lineage.parent.reset();
  ExpectRoundTrip(sample);
}

TEST(SnapshotTest, KeepsTheLongestNames) {
  Sample sample = TinySample();
  TensorInfo& info = sample.index.tensors[0].info;
  info.name = info.group = std::string(65535, 'n');
  info.shape.resize(65535, 1);
  ExpectRoundTrip(sample);
}

// Too compressible for the reader's guard against bombs: the writer must not compress it.
TEST(SnapshotTest, KeepsMetadataThatCompressesTooWell) {
  Sample sample = TinySample();
  sample.index.metadata = std::string(10'000'000, '\0');
  ExpectRoundTrip(sample);
}

TEST(SnapshotTest, GivesPayloadsBack) {
  const auto reader = OpenBytes(*WriteSample(TinySample()));
  FileBytes payload(4);
  ASSERT_TRUE(reader->ReadBlock(0, 0, payload));
  EXPECT_EQ(payload, TinySample().payloads);
}

TEST(SnapshotTest, HashNamesHeaderAndIndex) {
  const auto hash = [](const Sample& sample) {
    return OpenBytes(*WriteSample(sample))->index_hash();
  };
  Sample other_header = TinySample();
  ++other_header.header.save_id;
  Sample other_index = TinySample();
  other_index.index.metadata = "x";
  EXPECT_EQ(hash(TinySample()), hash(TinySample()));
  EXPECT_NE(hash(TinySample()), hash(other_header));
  EXPECT_NE(hash(TinySample()), hash(other_index));
}

TEST(SnapshotTest, FinishReturnsTheHashThatOpenReads) {
  MemoryFileSystem files;
  const Sample sample = FullSample();
  const auto out = *files.Create(kTestPath);
  auto writer = *SnapshotWriter::Start(out.get(), sample.header);
  EXPECT_EQ(writer.offset(), kHeaderBytes);
  ASSERT_TRUE(writer.Append(sample.payloads));
  EXPECT_EQ(writer.offset(), kHeaderBytes + sample.payloads.size());
  const auto hash = writer.Finish(sample.index);
  ASSERT_TRUE(hash);
  EXPECT_EQ(*hash, SnapshotReader::Open(*files.Open(kTestPath))->index_hash());
}

// Small models make the index a visible part of a snapshot: prints the figures of docs/format.md.
TEST(IndexSizeTest, IsSmall) {
  for (bool delta : {false, true}) {
    const SnapshotIndex index = TransformerIndex(delta);
    size_t blocks = 0;
    for (const TensorRecord& tensor : index.tensors) blocks += tensor.blocks.size();
    FileBytes raw;
    EncodeIndex(index, &raw);
    const size_t stored = StoreIndex(raw, 0).bytes.size();
    const auto per_tensor = [&](size_t bytes) {
      return static_cast<double>(bytes) / static_cast<double>(index.tensors.size());
    };
    fmt::print(
        "{}: {} tensors, {} blocks, {} bytes stored in {}: {:.1f} a tensor, {:.1f} of them "
        "beside the checksums of blocks\n",
        delta ? "delta" : "alone", index.tensors.size(), blocks, raw.size(), stored,
        per_tensor(stored), per_tensor(stored - 16 * blocks));
    EXPECT_LT(per_tensor(stored - 16 * blocks), 16);
  }
}

}  // namespace
}  // namespace bitsnap
