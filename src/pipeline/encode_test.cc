// Units to a file and back: what has a bound is held until it is known, and parts have any dtypes.
#include "pipeline/encode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "io/memory.h"
#include "pipeline/block_encoder.h"
#include "pipeline/decode.h"
#include "pipeline/unit.h"

namespace bitsnap {
namespace {

using Floats = std::vector<float>;

constexpr uint64_t kMoments = 200'000;  // 7 blocks of a pair, more than one batch

TensorView View(std::string name, Role role, const Floats& values) {
  return {{.name = std::move(name), .dtype = DType::kF32, .shape = {values.size()}, .role = role},
          std::as_bytes(std::span(values))};
}

// A unit of two with a bound, among others.
class BoundedUnit : public testing::Test {
 protected:
  BoundedUnit() {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < kMoments; ++i) {
      v_.push_back(1e-8f * std::exp(normal(random)));
      m_.push_back(0.2f * normal(random) * std::sqrt(v_.back()));
    }
    for (size_t i = 0; i < 1000; ++i) few_.push_back(normal(random));
    // The first of the unit comes last.
    views_ = {View("before", Role::kOther, few_), View("m", Role::kExpAvg, m_),
              View("between", Role::kOther, few_), View("v", Role::kExpAvgSq, v_),
              View("after", Role::kOther, few_)};
    input_ = {views_, std::vector<std::optional<uint32_t>>(views_.size()), {}};
    for (uint32_t tensor : {0u, 2u, 3u, 4u}) input_.units.push_back(Exact(tensor));
    Unit& unit = input_.units[2];
    unit = {.tensors = {3, 1}, .exact = {Exact(3), Exact(1)}};
    unit.plan = {.codecs = {CodecId::kAdam}, .why = "together", .lossy = true};
    const auto prepared =
        GetCodec(CodecId::kAdam)
            .Prepare({.parts = {{DType::kF32, views_[3].bytes}, {DType::kF32, views_[1].bytes}},
                      .row_words = kMoments,
                      .accepted = {.update_error = 0.012}});
    unit.params = prepared->params;
    unit.advice = prepared->advice;
  }

  static Unit Exact(uint32_t tensor) {
    return {.tensors = {tensor}, .plan = {.codecs = {CodecId::kPlanes}, .why = "alone"}};
  }

  // Writes a whole file, on so many threads, and opens it. Its bytes are all some block's: the
  // writer would refuse to finish it otherwise.
  SnapshotReader Write(double bound, unsigned threads) {
    input_.units[2].update_error = bound;
    const std::string path = "/" + std::to_string(files_++);
    const auto file = *fs_.Create(path);
    auto writer = *SnapshotWriter::Start(file.get(), {});
    const auto index = EncodeUnits(input_, nullptr, threads, {}, writer);
    EXPECT_TRUE(index && writer.Finish(*index));
    return *SnapshotReader::Open(*fs_.Open(path));
  }

  Floats Read(const SnapshotReader& file, size_t tensor) {
    Floats values(views_[tensor].bytes.size() / sizeof(float));
    const ReadRequest request{tensor, 0, std::as_writable_bytes(std::span(values))};
    EXPECT_TRUE(ReadTensors({&file, nullptr}, {&request, 1}, 2, {}));
    return values;
  }

  MemoryFileSystem fs_;
  int files_ = 0;
  Floats v_, m_, few_;
  std::vector<TensorView> views_;
  EncodeInput input_;
};

TEST_F(BoundedUnit, ReachesTheFileWhereItsErrorIsWithinTheBound) {
  const SnapshotReader file = Write(0.02, 1);
  EXPECT_EQ(file.index_hash(), Write(0.02, 3).index_hash());
  const auto& records = file.index().tensors;
  EXPECT_EQ(records[3].second, 1u);
  EXPECT_EQ(records[1].storage, Storage::kSecondOfPair);
  EXPECT_GT(records[3].error.front().value, 0);
  EXPECT_NE(Read(file, 1), m_);
  for (size_t tensor : {0, 2, 4}) EXPECT_EQ(Read(file, tensor), few_);
}

TEST_F(BoundedUnit, IsReplacedByWhatKeepsEveryBitWhereItIsNot) {
  const SnapshotReader file = Write(1e-6, 1);
  EXPECT_EQ(file.index_hash(), Write(1e-6, 3).index_hash());
  for (size_t tensor : {1, 3}) {
    const TensorRecord& record = file.index().tensors[tensor];
    EXPECT_EQ(record.storage, Storage::kBlocks);
    EXPECT_FALSE(record.second);
    EXPECT_TRUE(record.params.empty() && record.error.empty());
    EXPECT_EQ(record.why.find("kept exactly: Adam's update would be 1"), 0u) << record.why;
    EXPECT_EQ(Read(file, tensor), tensor == 1 ? m_ : v_);
  }
  for (size_t tensor : {0, 2, 4}) EXPECT_EQ(Read(file, tensor), few_);
  EXPECT_TRUE(VerifyTensors({&file, nullptr}, 2, {}));
}

TEST(UnitShape, CutsTensorsOfAnyDtypesIntoTheSameRanges) {
  constexpr uint64_t kWords = 100'003;
  const UnitShape shape({DType::kBF16, DType::kF32, DType::kF32, DType::kI64}, kWords);
  ASSERT_EQ(shape.row_bytes(), 18u);
  uint64_t words = 0;
  for (uint64_t block = 0; block < shape.blocks(); ++block) {
    EXPECT_EQ(shape.FirstWord(block), words);
    const size_t count = shape.Words(block);
    ASSERT_LE(count * shape.row_bytes(), kBlockBytes);
    std::vector<std::byte> room(count * shape.row_bytes());
    const MutableParts parts = shape.CutBlock(room, count);
    for (size_t k = 0; k < parts.size(); ++k) {
      EXPECT_EQ(parts[k].words(), count);
      EXPECT_EQ(parts[k].bytes.data(), room.data() + shape.PartBegin(k, count));
    }
    words += count;
  }
  EXPECT_EQ(words, kWords);
  for (size_t dtype = 0; dtype < kDTypeCount; ++dtype) {
    EXPECT_EQ(UnitShape({static_cast<DType>(dtype)}, kBlockBytes).PartBytes(0), kBlockBytes);
  }
}

TEST(EncodeBlock, StoresPartsOfAnyDtypesWhereNoCodecTakesThem) {
  std::vector<std::byte> raw(700), out(PayloadBound(raw.size())), decoded(raw.size());
  for (size_t i = 0; i < raw.size(); ++i) raw[i] = static_cast<std::byte>(i * i);
  const UnitShape shape({DType::kBF16, DType::kF32, DType::kU8}, 100);
  Parts parts;
  for (const MutablePart& part : shape.CutBlock(raw, 100))
    parts.push_back({part.dtype, part.bytes});
  Workspace workspace;
  const UnitPlan plan{.codecs = {CodecId::kPlanes, CodecId::kAdam}, .why = {}};
  const EncodedBlock block = EncodeBlock(plan, {}, parts, out, workspace);
  EXPECT_EQ(block.record.codec, static_cast<uint8_t>(FallbackCodec().id()));
  EXPECT_EQ(block.record.raw_checksum, Checksum64(raw));
  ASSERT_TRUE(FallbackCodec().Decode({}, Bytes(out).first(raw.size()), shape.CutBlock(decoded, 100),
                                     workspace.scratch));
  EXPECT_EQ(decoded, raw);
}

}  // namespace
}  // namespace bitsnap
