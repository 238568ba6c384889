// Saving on a disk that fails at every single operation in turn, and one that loses power there.
#include <fmt/format.h>

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

// A store on which runs go back to earlier steps.
class MarksTest : public testing::Test {
 protected:
  MarksTest() : store_(*Store::OpenOrCreate("/s", &fs_)) {}

  Predecessor Restored(uint64_t step) {
    const auto snapshot = store_.OpenStep(step);
    EXPECT_TRUE(snapshot) << step;
    return {step, snapshot->save_id(), snapshot->lineage(), /*is_restored=*/true};
  }

  void SaveAfter(const std::optional<Predecessor>& from, uint64_t step) {
    const SaveOptions options{
        .step = step, .save_id = ++saves_, .lineage = *store_.NextLineage(step, from)};
    ASSERT_TRUE(Save(store_, state_, options)) << step;
  }

  void Lose(uint64_t step) {
    const auto path = fmt::format("/s/step-{:08}/rank-00000-of-00001.bsnap", step);
    ASSERT_TRUE(fs_.Remove(path));
  }

  uint64_t Newest() {
    return store_.RestoreNewest(0, [](const Snapshot&) -> Result<void> { return {}; }).value_or(0);
  }

  MemoryFileSystem fs_;
  Store store_;
  uint64_t saves_ = 0;
  const Contents state_ = SmallState(1, 300);
};

TEST_F(MarksTest, APowerCutBringsNoneBack) {
  SaveAfter({}, 1);
  SaveAfter(Restored(1), 2);
  SaveAfter(Restored(2), 3);
  SaveAfter(Restored(1), 2);  // leaves 3 behind
  SaveAfter(Restored(3), 4);  // comes back to it
  fs_.PowerCut();
  Lose(4);
  EXPECT_EQ(Newest(), 3u);
  SaveAfter(Restored(1), 3);  // leaves 2 behind, and 3, in whose place it is
  SaveAfter(Restored(3), 4);
  fs_.PowerCut();
  EXPECT_EQ(fs_.Type("/s/step-00000003/ABANDONED"), FileType::kNone);
}

TEST_F(MarksTest, OneFromBeforeAStepWasSavedAnewIsWrittenAgain) {
  SaveAfter({}, 1);
  SaveAfter(Restored(1), 2);
  SaveAfter(Restored(1), 2);
  SaveAfter(Restored(1), 3);  // leaves 2 behind
  {
    ASSERT_TRUE(fs_.Remove("/s/step-00000002/ABANDONED"));
    const auto mark = *fs_.Create("/s/step-00000002/ABANDONED");
    ASSERT_TRUE(mark->Append(AsBytes("order 1\n")));
  }
  SaveAfter(Restored(3), 4);
  Lose(4);
  Lose(3);
  EXPECT_EQ(Newest(), 1u);
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
