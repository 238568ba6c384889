// What the store's tests cannot reach through its front door: files that are sound as files and
// still promise what they do not hold.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "codec/codec.h"
#include "io/memory.h"
#include "pipeline/decode.h"
#include "pipeline/encode.h"
#include "pipeline/error_sums.h"
#include "snapshot/writer.h"
#include "tests/support/simd_targets.h"

namespace bitsnap {
namespace {

TensorInfo Info(std::string name, DType dtype = DType::kU8, uint64_t count = 8) {
  return {.name = std::move(name), .dtype = dtype, .shape = {count}, .role = Role::kOther};
}

std::vector<std::byte> Filled(size_t bytes, int value) {
  return std::vector<std::byte>(bytes, static_cast<std::byte>(value));
}

class SourceTest : public testing::Test {
 protected:
  // Writes a file of one tensor whose single block is `raw` stored raw, then lets `change` lie.
  SnapshotReader Write(const TensorInfo& info, const std::vector<std::byte>& raw,
                       const std::function<void(SnapshotIndex&)>& change = {}) {
    const std::string path = "/" + std::to_string(files_++);
    auto file = *fs_.Create(path);
    auto writer = *SnapshotWriter::Start(file.get(), {});
    TensorRecord record{.info = info, .data_offset = writer.offset()};
    record.blocks.push_back(
        {0, static_cast<uint32_t>(raw.size()), Checksum64(raw), Checksum64(raw)});
    EXPECT_TRUE(writer.Append(raw));
    SnapshotIndex index{.block_bytes = kBlockBytes, .profile = "exact", .tensors = {record}};
    if (change) change(index);
    const auto finished = writer.Finish(index);
    EXPECT_TRUE(finished) << finished.error().message;
    return *SnapshotReader::Open(*fs_.Open(path));
  }

  ErrorKind VerifyError(const SnapshotSource& source) {
    Result<void> result = CheckSource(source);
    if (result) result = VerifyTensors(source, 1, {});
    EXPECT_FALSE(result);
    if (result) return ErrorKind::kCancelled;
    EXPECT_NE(result.error().message.find("/"), std::string::npos) << "names no file";
    return result.error().kind;
  }

  MemoryFileSystem fs_;
  int files_ = 0;
};

void LeanOn(SnapshotIndex& index, const SnapshotReader& base) {
  index.base = BaseReference{1, base.index_hash()};
  index.tensors[0].base_tensor = 0;
}

TEST_F(SourceTest, AcceptsAnHonestFile) {
  const SnapshotReader file = Write(Info("t"), Filled(8, 1));
  EXPECT_TRUE(CheckSource({&file, nullptr}));
  EXPECT_TRUE(VerifyTensors({&file, nullptr}, 1, {}));
}

TEST_F(SourceTest, NoticesABlockThatDecodesToOtherBytes) {
  // Through a codec, so that the payload's own checksum says nothing about the raw bytes.
  const SnapshotReader base = Write(Info("t"), Filled(8, 1));
  const SnapshotReader file = Write(Info("t"), {}, [&](SnapshotIndex& index) {
    LeanOn(index, base);
    index.tensors[0].blocks[0] = {static_cast<uint8_t>(CodecId::kBitmask), 0, Checksum64({}),
                                  Checksum64(Filled(8, 2))};
  });
  EXPECT_EQ(VerifyError({&file, &base}), ErrorKind::kCorrupt);
}

TEST_F(SourceTest, RefusesACodecItDoesNotKnow) {
  const SnapshotReader file = Write(Info("t"), Filled(8, 1), [](SnapshotIndex& index) {
    index.tensors[0].blocks[0].codec = 200;
  });
  EXPECT_EQ(VerifyError({&file, nullptr}), ErrorKind::kUnsupportedVersion);
}

TEST_F(SourceTest, RefusesACodecThatDoesNotFitTheDtype) {
  const SnapshotReader file = Write(Info("t"), Filled(8, 1), [](SnapshotIndex& index) {
    index.tensors[0].blocks[0].codec = static_cast<uint8_t>(CodecId::kCluster);
  });
  EXPECT_EQ(VerifyError({&file, nullptr}), ErrorKind::kUnsupportedVersion);
}

TEST_F(SourceTest, RefusesABlockSizeItDoesNotRead) {
  const SnapshotReader file =
      Write(Info("t"), Filled(8, 1), [](SnapshotIndex& index) { index.block_bytes = 4096; });
  EXPECT_EQ(VerifyError({&file, nullptr}), ErrorKind::kUnsupportedVersion);
}

TEST_F(SourceTest, RefusesACodecThatNeedsABaseWhereNoneIsNamed) {
  const SnapshotReader file = Write(Info("t"), {}, [](SnapshotIndex& index) {
    index.tensors[0].blocks[0] = {static_cast<uint8_t>(CodecId::kBitmask), 0, Checksum64({}), 0};
  });
  EXPECT_EQ(VerifyError({&file, nullptr}), ErrorKind::kCorrupt);
}

TEST_F(SourceTest, RefusesABaseThatDoesNotFit) {
  const SnapshotReader other_dtype = Write(Info("t", DType::kI8), Filled(8, 1));
  const SnapshotReader other_size = Write(Info("t", DType::kU8, 4), Filled(4, 1));
  for (const SnapshotReader* base : {&other_dtype, &other_size}) {
    const SnapshotReader file =
        Write(Info("t"), Filled(8, 1), [&](SnapshotIndex& index) { LeanOn(index, *base); });
    EXPECT_EQ(VerifyError({&file, base}), ErrorKind::kCorrupt);
  }
  const SnapshotReader base = Write(Info("t"), Filled(8, 1));
  const SnapshotReader no_such_tensor = Write(Info("t"), Filled(8, 1), [&](SnapshotIndex& index) {
    LeanOn(index, base);
    index.tensors[0].base_tensor = 7;
  });
  EXPECT_EQ(VerifyError({&no_such_tensor, &base}), ErrorKind::kCorrupt);
  const SnapshotReader delta =
      Write(Info("t"), Filled(8, 1), [&](SnapshotIndex& index) { LeanOn(index, base); });
  const SnapshotReader second =
      Write(Info("t"), Filled(8, 1), [&](SnapshotIndex& index) { LeanOn(index, delta); });
  EXPECT_EQ(VerifyError({&second, &delta}), ErrorKind::kCorrupt);
}

TEST(MeasureError, CountsFiniteValuesOnly) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> original = {1, -2, 0, nan, 4};
  const std::vector<float> decoded = {1.5, -2, 0.25, nan, 3};
  const ErrorSums sums =
      MeasureError(std::as_bytes(std::span(original)), std::as_bytes(std::span(decoded)));
  EXPECT_EQ(sums.values, 4u);
  EXPECT_EQ(sums.nonzero, 3u);
  EXPECT_EQ(sums.squared, 0.25 + 0.0625 + 1);
  EXPECT_EQ(sums.relative, 0.5 + 0.25);
  EXPECT_EQ(sums.largest, 1);
}

TEST(MeasureError, EqualBitsOnEverySimdTarget) {
  std::mt19937 random(1);
  std::vector<float> original(5003), decoded(5003);
  for (size_t i = 0; i < original.size(); ++i) {
    original[i] = std::bit_cast<float>(static_cast<uint32_t>(random()));
    decoded[i] = original[i] * (1 + 0x1p-12f * static_cast<float>(random() % 256));
    if (std::isnan(original[i]) || std::isinf(original[i])) decoded[i] = original[i];
  }
  const Bytes x = std::as_bytes(std::span(original)), y = std::as_bytes(std::span(decoded));
  const ErrorSums want = MeasureError(x, y);
  EXPECT_GT(want.relative, 0);
  test::ForEachSimdTarget([&](const char* target) {
    SCOPED_TRACE(target);
    const ErrorSums got = MeasureError(x, y);
    EXPECT_EQ(got.values, want.values);
    EXPECT_EQ(got.nonzero, want.nonzero);
    EXPECT_EQ(got.squared, want.squared);
    EXPECT_EQ(got.relative, want.relative);
    EXPECT_EQ(got.largest, want.largest);
  });
}

}  // namespace
}  // namespace bitsnap
