// Each rule of the format, broken: the writer refuses to write it and the reader to read it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "snapshot/samples.h"

namespace bitsnap {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Breach {
  const char* name;
  const char* message;
  std::function<void(Sample&)> commit;
};

void PrintTo(const Breach& breach, std::ostream* out) { *out << breach.name; }

TensorRecord& T(Sample& sample, size_t number) { return sample.index.tensors[number]; }

// FullSample's tensors: 0 weight of 3 blocks, 1 moment, 2 same as 0, 3 same as the base's,
// 4 same as 3, 5 scalar, 6 constant, 7 empty, 8 odd.
const Breach kBreaches[] = {
    {"BlocksTooLarge", "outside 1 to 2^30",
     [](Sample& s) { s.index.block_bytes = (1u << 30) + 1; }},
    {"OrderOfNothing", "order 0 is outside", [](Sample& s) { s.index.lineage = {.run = 1}; }},
    {"OrderAboveAll", "outside 1 to 2^62",
     [](Sample& s) { s.index.lineage = {.run = 1, .order = ~uint64_t{0}}; }},
    {"RunThatDescendsFromItself", "run 0000000000000005 is in a lineage twice",
     [](Sample& s) {
       s.index.lineage = {.run = 5, .order = 1, .parent = {}, .ancestors = {{5, 10}}};
     }},
    {"RunTwice", "run 0000000000000000 is in a lineage twice",
     [](Sample& s) {
       s.index.lineage = {.run = 5, .order = 1, .parent = {}, .ancestors = {{0, 10}, {0, 20}}};
     }},
    {"BlocksOfNothing", "0 bytes", [](Sample& s) { s.index.block_bytes = 0; }},
    {"SameName", "two tensors are named 'step'", [](Sample& s) { T(s, 6).info.name = "step"; }},
    {"OverflowingShape", "tensor 'step' has no possible size",
     [](Sample& s) {
       T(s, 5).info.shape = {1ull << 32, 1ull << 32};
     }},
    {"BitsThatFillNoByte", "no possible size",
     [](Sample& s) {
       T(s, 8).info.shape = {3, 3};
     }},
    {"TooFewBlocks", "has 2 blocks where its 40 bytes make 3",
     [](Sample& s) { T(s, 0).blocks.pop_back(); }},
    {"TooManyBlocks", "has 1 blocks where its 0 bytes make 0",
     [](Sample& s) { T(s, 7).blocks.resize(1); }},
    {"CodedLargerThanRaw", "has in block 0 17 coded bytes for 16 raw ones",
     [](Sample& s) { T(s, 6).blocks[0].coded_bytes = 17; }},
    {"LastBlockLargerThanRaw", "has in block 2 9 coded bytes for 8 raw ones",
     [](Sample& s) { T(s, 0).blocks[2].coded_bytes = 9; }},
    {"BaseTensorWithoutBase", "without a base", [](Sample& s) { s.index.base.reset(); }},
    {"SameAsBaseOfNoTensor", "names none", [](Sample& s) { T(s, 3).base_tensor.reset(); }},
    {"SameAsLaterTensor", "does not stand before it", [](Sample& s) { T(s, 2).same_as = 5; }},
    {"SameAsItself", "does not stand before it", [](Sample& s) { T(s, 2).same_as = 2; }},
    {"SameAsARepetition", "itself repeats one", [](Sample& s) { T(s, 4).same_as = 2; }},
    {"SameAsAnotherDType", "another dtype or size",
     [](Sample& s) { T(s, 2).info.dtype = DType::kF16; }},
    {"SameAsAnotherSize", "another dtype or size", [](Sample& s) { T(s, 2).info.shape = {21}; }},
    {"SameAsTwoThings", "names a base tensor too", [](Sample& s) { T(s, 2).base_tensor = 0; }},
    {"PairWithoutSecond", "not paired with it",
     [](Sample& s) {
       T(s, 10).storage = Storage::kSameAsBase;
       T(s, 10).same_as = 0;
     }},
    {"SecondOfNoPair", "not paired with it", [](Sample& s) { T(s, 10).same_as = 8; }},
    {"PairWithNothing", "paired with a tensor that does not exist",
     [](Sample& s) { T(s, 9).second = 12; }},
    {"PairWithItself", "not paired with it", [](Sample& s) { T(s, 9).second = 9; }},
    {"SecondOfAnotherSize", "another dtype or size", [](Sample& s) { T(s, 10).info.shape = {4}; }},
    {"PeerThatIsNotThere", "a peer that does not exist", [](Sample& s) { T(s, 11).peer = 12; }},
    {"PeerOfAnotherSize", "a peer of another size", [](Sample& s) { T(s, 11).peer = 3; }},
    {"PeerOfItself", "a peer that does not exist", [](Sample& s) { T(s, 11).peer = 11; }},
    {"PeerWithAPeer", "leans on others itself", [](Sample& s) { T(s, 0).peer = 1; }},
    {"PeerInAPair", "leans on others itself",
     [](Sample& s) {
       T(s, 11).info.shape = {3};
       T(s, 11).peer = 9;
     }},
    {"ParamsWithoutBlocks", "has none", [](Sample& s) { T(s, 3).params = {std::byte{1}}; }},
    {"MoreMetricsThanAny", "has 65 metrics, more than 64",
     [](Sample& s) { T(s, 1).error.resize(65); }},
    {"IdleSameAs", "does not repeat it", [](Sample& s) { T(s, 5).same_as = 1; }},
    {"OverlappingBlocks", "has its blocks at", [](Sample& s) { --T(s, 8).data_offset; }},
    {"BlocksInHeader", "has its blocks at", [](Sample& s) { T(s, 1).data_offset = 0; }},
    {"BlocksFarAway", "has its blocks at", [](Sample& s) { T(s, 8).data_offset = ~0ull; }},
    {"BlocksInIndex", "has its blocks at", [](Sample& s) { s.payloads.pop_back(); }},
    {"BytesOfNoTensor", "belong to no tensor",
     [](Sample& s) { s.payloads.push_back(std::byte{0}); }},
};

class RulesTest : public ::testing::TestWithParam<Breach> {};

TEST_P(RulesTest, WriterRefuses) {
  Sample sample = FullSample();
  GetParam().commit(sample);
  const auto file = WriteSample(sample);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().kind, ErrorKind::kInvalidArgument);
  EXPECT_THAT(file.error().message, HasSubstr(GetParam().message));
}

TEST_P(RulesTest, ReaderRefuses) {
  Sample sample = FullSample();
  GetParam().commit(sample);
  const auto reader = OpenBytes(Forge(sample));
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().kind, ErrorKind::kCorrupt) << reader.error().message;
  EXPECT_THAT(reader.error().message, StartsWith(kTestPath));
}

INSTANTIATE_TEST_SUITE_P(Breaches, RulesTest, ::testing::ValuesIn(kBreaches),
                         [](const auto& breach) { return breach.param.name; });

TEST(RulesTest, TheSampleItselfBreaksNone) { EXPECT_TRUE(OpenBytes(Forge(FullSample()))); }

// What the file cannot even express.
TEST(WriterTest, RefusesWhatTheFileCannotHold) {
  const auto expect_refused = [](auto commit) {
    Sample sample = FullSample();
    commit(sample);
    const auto file = WriteSample(sample);
    ASSERT_FALSE(file);
    EXPECT_EQ(file.error().kind, ErrorKind::kInvalidArgument);
  };
  const std::string long_text(65536, 'x');
  expect_refused([&](Sample& s) { T(s, 5).info.name = long_text; });
  expect_refused([&](Sample& s) { T(s, 5).info.group = long_text; });
  expect_refused([&](Sample& s) { T(s, 5).why = long_text; });
  expect_refused([&](Sample& s) { T(s, 5).info.shape.resize(65536, 1); });
  expect_refused([&](Sample& s) { T(s, 1).error.resize(65536); });
  expect_refused([&](Sample& s) { T(s, 1).error[0].name = long_text; });
  expect_refused([&](Sample& s) { s.index.profile = long_text; });
  expect_refused([&](Sample& s) { T(s, 5).info.role.reset(); });
  expect_refused([&](Sample& s) { T(s, 3).blocks.resize(1); });
  expect_refused([&](Sample& s) { s.header.rank = s.header.world_size; });
}

}  // namespace
}  // namespace bitsnap
