// Overwriting a delta on a disk that fails at every single operation in turn, is cut off there, or
// loses power: the step is the old one or the new one, and either way whole.
#include "store/fault_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;

constexpr BaseChoice kNone{BaseChoice::Kind::kNone, 0}, kTen{BaseChoice::Kind::kStep, 10};

// Step 20 leans on a step 10 that was replaced since, so that its own link alone leads to its base.
class OverwriteFaultTest : public FaultTest {
 protected:
  struct Disk {
    MemoryFileSystem memory;
    FaultFileSystem fs{&memory};
    std::optional<Store> store;
  };

  std::unique_ptr<Disk> MakeDisk() {
    auto disk = std::make_unique<Disk>();
    disk->store = *Store::OpenOrCreate("/s", &disk->fs);
    EXPECT_TRUE(Save(*disk->store, first_, {.step = 10, .base = kNone}));
    EXPECT_EQ(Save(*disk->store, second_, {.step = 20, .base = kTen})->base_step, 10u);
    const SaveOptions again{.step = 10, .base = kNone, .overwrite = true};
    EXPECT_TRUE(Save(*disk->store, other_first_, again));
    return disk;
  }

  Result<SaveReport> Overwrite(Disk& disk) {
    const SaveOptions options{.step = 20, .base = kTen, .overwrite = true};
    return Save(*disk.store, other_second_, options);
  }

  // Whether step 20 is the new one. Fails the test when it is neither.
  bool IsReplaced(const Store& store) {
    const auto snapshot = store.OpenStep(20);
    if (!snapshot) ADD_FAILURE() << snapshot.error().message;
    const auto got = snapshot ? ReadAll(*snapshot) : Contents();
    if (!got) ADD_FAILURE() << got.error().message;
    const auto is = [&](const Contents& state) {
      return got && got->at(0).second == state[0].second;
    };
    ExpectSame(got ? *got : Contents(), is(second_) ? second_ : other_second_);
    return !is(second_);
  }

  // A step of which every file is in its own folder.
  void ExpectIndependent(Disk& disk, uint64_t step, const Contents& want) {
    ASSERT_TRUE(disk.memory.Rename("/s/step-00000010", "/s/away"));
    ExpectStep(*disk.store, step, want);
    ASSERT_TRUE(disk.memory.Rename("/s/away", "/s/step-00000010"));
  }

  const Contents other_first_ = SmallState(3, 3000);
  const Contents other_second_ = Step(other_first_, 4);
};

TEST_P(OverwriteFaultTest, TheStepIsTheOldOneOrTheNewOne) {
  uint64_t unknown = 0;
  for (uint64_t at = 1;; ++at) {
    SCOPED_TRACE(at);
    const auto disk = MakeDisk();
    const auto before = Tree(disk->memory, "/s");
    disk->fs.Set(GetParam().At(at));
    const auto report = Overwrite(*disk);
    const bool all_done = disk->fs.operations() < at;
    disk->fs.Set({});
    const bool in_doubt = !report && report.error().kind == ErrorKind::kDurabilityUnknown;
    unknown += in_doubt;
    if (GetParam().power_cut) {
      disk->memory.PowerCut();
      EXPECT_TRUE(IsReplaced(*disk->store) || !report);
    } else {
      // Whoever is told of an error finds the old step, but for one who is told to doubt.
      EXPECT_EQ(IsReplaced(*disk->store), report || in_doubt);
      if (!report && !in_doubt && !GetParam().lasting) {
        EXPECT_EQ(Tree(disk->memory, "/s"), before);
      }
    }
    ExpectStep(*disk->store, 10, other_first_);

    ASSERT_TRUE(Overwrite(*disk));
    ExpectIndependent(*disk, 20, other_second_);
    for (const std::string& path : Tree(disk->memory, "/s/step-00000020")) {
      EXPECT_EQ(path.find(".tmp-"), std::string::npos) << path;
    }
    EXPECT_EQ(disk->memory.List("/s/step-00000020")->size(), 2u);
    if (all_done) break;
    ASSERT_LT(at, 1000u);
  }
  EXPECT_EQ(unknown, 2u);  // the sync of the step's folder and that of the store's
}

TEST_F(OverwriteFaultTest, EachCommittedStepHasItsBaseBesideIt) {
  const auto disk = MakeDisk();
  ExpectIndependent(*disk, 20, second_);
  const auto report = Overwrite(*disk);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->base_step, 10u);
  ExpectIndependent(*disk, 20, other_second_);
  ASSERT_TRUE(Overwrite(*disk));
  ExpectIndependent(*disk, 20, other_second_);
  EXPECT_EQ(disk->memory.List("/s/step-00000020")->size(), 2u);
  // The link's other name is known to all: nothing is foreign, nothing is left over.
  const auto repaired = disk->store->Repair({.min_age = std::chrono::seconds(0)});
  ASSERT_TRUE(repaired);
  EXPECT_TRUE(repaired->repaired.empty() && repaired->left.empty());
  ASSERT_TRUE(Save(*disk->store, first_, {.step = 30, .base = kNone}));
  const auto pruned = disk->store->Prune({.keep_last = 1});
  ASSERT_TRUE(pruned);
  EXPECT_EQ(pruned->removed.size(), 2u);
  EXPECT_EQ(Tree(disk->memory, "/s").size(), 3u);
}

TEST_F(OverwriteFaultTest, ACancelledOverwriteLeavesTheStep) {
  const auto disk = MakeDisk();
  SaveOptions options{.step = 20, .base = kTen, .overwrite = true};
  options.progress = [](uint64_t, uint64_t) { return false; };
  EXPECT_EQ(Save(*disk->store, other_second_, options).error().kind, ErrorKind::kCancelled);
  ExpectIndependent(*disk, 20, second_);
}

// The new ranks come one by one; until the last has come, the old step is the one that is whole.
TEST_F(OverwriteFaultTest, TheFilesOfAnotherWorldStayUntilAllRanksHaveSaved) {
  const auto disk = MakeDisk();
  const auto save = [&](uint32_t rank) {
    return Save(*disk->store, other_second_,
                {.step = 20, .rank = rank, .world_size = 2, .save_id = 7, .overwrite = true});
  };
  ASSERT_TRUE(save(1));
  ExpectIndependent(*disk, 20, second_);
  ASSERT_TRUE(save(0));
  ExpectStep(*disk->store, 20, other_second_, 1);
  EXPECT_EQ(disk->memory.Type("/s/step-00000020/rank-00000-of-00001.bsnap"), FileType::kNone);
}

constexpr FaultCase kCases[] = {{ErrorKind::kIo, false, false},
                                {ErrorKind::kOutOfSpace, true, false},
                                {ErrorKind::kIo, true, true},
                                {ErrorKind::kIo, true, true, true},
                                {ErrorKind::kIo, false, false, true}};
INSTANTIATE_TEST_SUITE_P(Faults, OverwriteFaultTest, testing::ValuesIn(kCases));

}  // namespace
}  // namespace bitsnap
