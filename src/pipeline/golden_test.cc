// Pairs of Adam's moments as an earlier version coded them stay readable for ever: tests/golden/.
// To add files for new forms of payload, give them new names here and run this program once with
// BITSNAP_WRITE_GOLDEN=1; it writes no file that is there.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "base/checksum.h"
#include "codec/codec.h"
#include "codec/entropy/plane.h"
#include "io/file_system.h"
#include "pipeline/decode.h"
#include "pipeline/encode.h"
#include "pipeline/unit.h"
#include "snapshot/writer.h"

namespace bitsnap {
namespace {

constexpr uint64_t kRows = 48, kColumns = 64, kElements = kRows * kColumns;

std::string PathOf(const std::string& name) { return std::string(BITSNAP_GOLDEN) + "/" + name; }

// v and m, without libm and the library's distributions, which differ from one to the next.
std::array<std::vector<float>, 2> Moments(float later) {
  std::mt19937 random(100);
  const auto noise = [&] { return static_cast<float>(random() % 4096) / 4096; };
  std::array<std::vector<float>, 2> moments;
  for (size_t i = 0; i < kElements; ++i) {
    const float scale = static_cast<float>(1 + i / kColumns * (i % kColumns));
    moments[0].push_back(0x1p-30f * (0.5f + noise()) * scale * later);
    moments[1].push_back(0x1p-17f * (noise() + noise() - 1) * later);
  }
  moments[0][7] = moments[1][7] = 0;  // no index
  moments[1][70] = 1e10f;             // an escape
  return moments;
}

void Write(const std::string& name, float later, const SnapshotReader* base, CodecId codec) {
  const auto moments = Moments(later);
  std::array<TensorView, 2> views;
  for (size_t k : {0, 1}) {
    views[k].info = {.name = k == 0 ? "v" : "m",
                     .dtype = DType::kF32,
                     .shape = {kRows, kColumns},
                     .role = k == 0 ? Role::kExpAvgSq : Role::kExpAvg};
    views[k].bytes = std::as_bytes(std::span(moments[k]));
  }
  UnitContext context{.parts = {{DType::kF32, views[0].bytes}, {DType::kF32, views[1].bytes}},
                      .row_words = kColumns,
                      .accepted = {.update_error = 0.012}};
  if (base != nullptr) context.base_params = base->index().tensors[0].params;
  const auto prepared = GetCodec(codec).Prepare(context);
  Unit unit{.tensors = {0, 1}};
  if (base != nullptr) unit.base_tensors = {0, 1};
  unit.plan = {.codecs = {codec}, .why = {}, .lossy = true};
  unit.params = prepared->params;
  unit.advice = prepared->advice;
  const EncodeInput input{{views.begin(), views.end()}, {std::nullopt, std::nullopt}, {unit}};
  const auto file = *PosixFileSystem().Create(PathOf(name));
  auto writer = *SnapshotWriter::Start(file.get(), {.step = 1, .rank = 0, .world_size = 1});
  SnapshotIndex index = *EncodeUnits(input, base, 1, {}, writer);
  index.profile = "balanced";
  if (base != nullptr) index.base = BaseReference{1, base->index_hash()};
  ASSERT_TRUE(writer.Finish(index));
  ASSERT_TRUE(file->Close());
}

SnapshotReader Open(const std::string& name, float later, const SnapshotReader* base,
                    CodecId codec) {
  if (std::getenv("BITSNAP_WRITE_GOLDEN") != nullptr && !std::filesystem::exists(PathOf(name))) {
    Write(name, later, base, codec);
  }
  return *SnapshotReader::Open(*PosixFileSystem().Open(PathOf(name)));
}

// Of v and of m.
std::array<uint64_t, 2> DecodedChecksums(const SnapshotSource& source) {
  std::array<uint64_t, 2> sums{};
  for (size_t k : {0, 1}) {
    std::vector<std::byte> bytes(kElements * sizeof(float));
    const ReadRequest request{k, 0, bytes};
    EXPECT_TRUE(ReadTensors(source, {&request, 1}, 1, {}));
    sums[k] = Checksum64(bytes);
  }
  return sums;
}

// The payload's only block: shift, slope and offset of two streams, their planes, then the symbols.
struct Payload {
  int16_t slopes[2];
  PlaneKind symbols;
};

Payload PayloadOf(const SnapshotReader& file, CodecId codec) {
  EXPECT_EQ(file.index().tensors[0].blocks.size(), 1u);
  const BlockRecord& block = file.index().tensors[0].blocks[0];
  EXPECT_EQ(block.codec, static_cast<uint8_t>(codec));
  std::vector<std::byte> bytes(block.coded_bytes);
  EXPECT_TRUE(file.ReadBlock(0, 0, bytes));
  ByteReader reader(bytes);
  Payload payload{};
  for (int16_t& slope : payload.slopes) {
    const auto shift = reader.Int<uint8_t>();
    slope = reader.Int<int16_t>();
    reader.Int<int16_t>();
    reader.Raw(shift * ((kElements + 7) / 8));
  }
  payload.symbols = static_cast<PlaneKind>(reader.Int<uint8_t>());
  return payload;
}

SnapshotReader OpenAlone() { return Open("v3-adam.bsnap", 1, nullptr, CodecId::kAdam); }

void ExpectThatItLeans(const std::string& name, CodecId codec, std::array<uint64_t, 2> checksums) {
  const SnapshotReader alone = OpenAlone();
  const SnapshotReader delta = Open(name, 1.25f, &alone, codec);
  const Payload payload = PayloadOf(delta, codec);
  EXPECT_EQ(payload.symbols, PlaneKind::kHuffman);
  EXPECT_NE(payload.slopes[0], 0);
  EXPECT_NE(payload.slopes[1], 0);
  ASSERT_TRUE(CheckSource({&delta, &alone}));
  EXPECT_EQ(DecodedChecksums({&delta, &alone}), checksums);
}

TEST(GoldenPairs, HoldWhatTheyAlwaysHeld) {
  const SnapshotReader alone = OpenAlone();
  EXPECT_EQ(PayloadOf(alone, CodecId::kAdam).symbols, PlaneKind::kHuffman);
  EXPECT_EQ(DecodedChecksums({&alone, nullptr}),
            (std::array<uint64_t, 2>{6440408409865265004u, 2400676735503540309u}));
  ExpectThatItLeans("v3-adam-delta.bsnap", CodecId::kAdam,
                    {9772105004202504559u, 9960181759915344345u});
  ExpectThatItLeans("v3-adam-on-indices.bsnap", CodecId::kAdamDelta,
                    {11481352469327264497u, 11856409913701588010u});
}

}  // namespace
}  // namespace bitsnap
