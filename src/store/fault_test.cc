// Saving on a disk that fails at every single operation in turn, and one that loses power there.
#include "store/fault_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;

class StoreFaultTest : public FaultTest {};

TEST_P(StoreFaultTest, AFailedSaveLeavesTheStoreWholeAndTheNextOneWorks) {
  for (uint64_t at = 1;; ++at) {
    MemoryFileSystem memory;
    FaultFileSystem fs(&memory);
    Store store = *Store::OpenOrCreate("/s", &fs);
    ASSERT_TRUE(Save(store, first_, {.step = 1}));
    const auto tree_before = Tree(memory, "/s");

    fs.Set(GetParam().At(at));
    const auto report = Save(store, second_, {.step = 2});
    const bool all_done = fs.operations() < at;
    fs.Set({});
    if (!report) {
      EXPECT_FALSE(report.error().message.empty());
      // A lasting fault also stops the cleaning up, and one after the rename finds the file there.
      if (!GetParam().lasting && !store.OpenStep(2)) {
        EXPECT_EQ(Tree(memory, "/s"), tree_before) << "operation " << at;
      }
      const bool in_doubt = report.error().kind == ErrorKind::kDurabilityUnknown;
      EXPECT_EQ(store.OpenStep(2).has_value(), in_doubt) << report.error().message;
    } else {
      ExpectStep(store, 2, second_);
    }
    ExpectStep(store, 1, first_);
    ASSERT_TRUE(Save(store, second_, {.step = 2, .overwrite = true})) << "operation " << at;
    ExpectStep(store, 2, second_);
    for (const std::string& path : Tree(memory, "/s/step-00000002")) {
      EXPECT_EQ(path.find(".tmp-"), std::string::npos) << path;
    }
    if (all_done) break;
    ASSERT_LT(at, 1000u);
  }
}

TEST(StorePowerCutTest, ANewStoreIsThereAfterItsFirstSave) {
  MemoryFileSystem fs;
  const Contents state = SmallState(1, 3000);
  Store store = *Store::OpenOrCreate("/runs/a", &fs);
  ASSERT_TRUE(Save(store, state, {.step = 1}));
  fs.PowerCut();
  ExpectStep(store, 1, state);
  EXPECT_TRUE(fs.Open("/runs/a/LATEST"));
}

TEST_P(StoreFaultTest, APowerCutNeverTakesWhatWasReportedDurable) {
  for (uint64_t at = 1;; ++at) {
    MemoryFileSystem memory;
    FaultFileSystem fs(&memory);
    ASSERT_TRUE(memory.CreateDirectory("/s"));
    ASSERT_TRUE(memory.SyncDirectory("/"));
    Store store = *Store::Open("/s", &fs);
    ASSERT_TRUE(Save(store, first_, {.step = 1}));
    fs.Set(Fault{at, ErrorKind::kIo, GetParam().short_write, true});
    const bool durable = Save(store, second_, {.step = 2}).has_value();
    const bool all_done = fs.operations() < at;
    fs.Set({});
    memory.PowerCut();

    ExpectStep(store, 1, first_);
    if (durable) ExpectStep(store, 2, second_);
    const auto step = store.RestoreNewest(0, [&](const Snapshot& snapshot) -> Result<void> {
      const auto got = ReadAll(snapshot);
      if (!got) return tl::make_unexpected(got.error());
      ExpectSame(*got, snapshot.step() == 1 ? first_ : second_);
      return {};
    });
    ASSERT_TRUE(step) << step.error().message;
    if (all_done) break;
    ASSERT_LT(at, 1000u);
  }
}

INSTANTIATE_TEST_SUITE_P(Faults, StoreFaultTest, testing::ValuesIn(kFaultCases));

}  // namespace
}  // namespace bitsnap
