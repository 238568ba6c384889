// Pruning and repairing on a disk that fails at every single operation in turn, and one that loses
// power there.
#include "store/fault_test_util.h"
#include "store/folder.h"

namespace bitsnap {
namespace {

using namespace testing_util;

class PruneFaultTest : public FaultTest {
 protected:
  static Contents State(uint64_t step) { return Step(SmallState(1, 1000), step); }

  // A disk with a store on it that survives power cuts.
  struct Disk {
    Disk() {
      EXPECT_TRUE(memory.CreateDirectory("/s"));
      EXPECT_TRUE(memory.SyncDirectory("/"));
      store = *Store::Open("/s", &fs);
    }

    void SaveStep(uint64_t step, std::optional<uint64_t> base = {}, RankFileId id = {0, 1}) {
      SaveOptions options{.step = step, .profile = Profile::kFast};
      options.rank = id.rank;
      options.world_size = id.world_size;
      options.base =
          base ? BaseChoice{BaseChoice::Kind::kStep, *base} : BaseChoice{BaseChoice::Kind::kNone};
      ASSERT_TRUE(Save(*store, State(step), options));
    }

    void Lose(std::filesystem::path file) {
      ASSERT_TRUE(memory.Remove(file));
      ASSERT_TRUE(memory.SyncDirectory(file.parent_path()));
    }

    MemoryFileSystem memory;
    FaultFileSystem fs{&memory};
    std::optional<Store> store;
  };

  // Every tensor that is there is as it was, and those that must be are there.
  static void ExpectKept(const Store& store, uint64_t step, bool may_be_thin) {
    const auto snapshot = store.OpenStep(step);
    ASSERT_TRUE(snapshot) << snapshot.error().message;
    const auto got = ReadAll(*snapshot);
    ASSERT_TRUE(got) << got.error().message;
    Contents want = State(step);
    if (may_be_thin && got->size() < want.size()) want = {want[0], want[4], want[5]};
    ExpectSame(*got, want);
  }

  // Does `work` with a fault at each operation in turn until there is none left; `check` follows.
  template <class Prepare, class Work, class Check>
  void FailEverywhere(Prepare prepare, Work work, Check check) {
    for (uint64_t at = 1;; ++at) {
      SCOPED_TRACE(at);
      Disk disk;
      prepare(disk);
      disk.fs.Set(GetParam().At(at));
      (void)work(*disk.store);
      const bool all_done = disk.fs.operations() < at;
      disk.fs.Set({});
      if (GetParam().power_cut) disk.memory.PowerCut();
      check(disk);
      if (all_done || HasFailure()) return;
      ASSERT_LT(at, 2000u);
    }
  }
};

TEST_P(PruneFaultTest, WhatIsKeptAlwaysRestores) {
  const RetentionPolicy policy{.keep_last = 2, .keep_every = 3, .drop_optimizer_older_than = 2};
  const auto prepare = [](Disk& disk) {
    disk.SaveStep(2);
    disk.SaveStep(3, 2);
    disk.SaveStep(4);
    disk.SaveStep(5, 4);
    disk.SaveStep(6);
  };
  Disk whole;
  prepare(whole);
  const auto report = whole.store->Prune(policy);
  ASSERT_TRUE(report) << report.error().message;
  ASSERT_EQ(report->removed.size(), 2u);
  ASSERT_EQ(report->thinned.size(), 1u);
  FailEverywhere(
      prepare, [&](Store& store) { return store.Prune(policy); },
      [&](Disk& disk) {
        ExpectKept(*disk.store, 3, true);
        ExpectKept(*disk.store, 5, false);
        ExpectKept(*disk.store, 6, false);
        // Pruned again, and tidied where the power went, the store is as if nothing had happened.
        ASSERT_TRUE(disk.store->Prune(policy));
        ASSERT_TRUE(disk.store->Repair({.min_age = std::chrono::seconds(0)}));
        EXPECT_EQ(Tree(disk.memory, "/s"), Tree(whole.memory, "/s"));
        ExpectKept(*disk.store, 3, true);
        ExpectKept(*disk.store, 5, false);
      });
}

TEST_P(PruneFaultTest, ADeltaThatNeedsItsBaseGoesBeforeIt) {
  const auto prepare = [](Disk& disk) {
    disk.SaveStep(2);
    disk.SaveStep(3, 2);
    disk.SaveStep(4);
    disk.Lose("/s/step-00000003/rank-00000-of-00001.base-00000002.bsnap");
  };
  FailEverywhere(
      prepare, [&](Store& store) { return store.Prune({.keep_last = 1}); },
      [&](Disk& disk) {
        ExpectKept(*disk.store, 4, false);
        if (disk.store->OpenStep(2)) return;
        EXPECT_EQ(disk.store->OpenStep(3).error().kind, ErrorKind::kNotFound);
      });
}

TEST_P(PruneFaultTest, RepairingNeverTakesWhatIsWhole) {
  const RepairOptions options{.min_age = std::chrono::seconds(0)};
  const auto prepare = [](Disk& disk) {
    disk.SaveStep(1);
    disk.SaveStep(2, 1);
    const auto put = [&](const char* path) {
      auto file = disk.memory.Create(path);
      ASSERT_TRUE(file) << path;
      ASSERT_TRUE((*file)->Append(AsBytes("half a file")));
      ASSERT_TRUE((*file)->Sync());
    };
    put("/s/.LATEST.tmp-7-1");
    put("/s/step-00000002/.rank-00000-of-00001.bsnap.tmp-7-2");
    put("/s/step-00000002/rank-00001-of-00002.base-00000001.bsnap");
    ASSERT_TRUE(disk.memory.CreateDirectory("/s/step-00000003"));
    ASSERT_TRUE(disk.memory.CreateDirectory("/s/step-00000004"));
    put("/s/step-00000004/rank-00000-of-00001.bsnap");
    put("/s/step-00000004/rank-00000-of-00001.base-00000001.bsnap");
    ASSERT_TRUE(disk.memory.Remove("/s/LATEST"));
    for (const char* path : {"/s", "/s/step-00000002", "/s/step-00000003", "/s/step-00000004"}) {
      ASSERT_TRUE(disk.memory.SyncDirectory(path));
    }
  };
  const std::vector<std::string> tidy = {
      "LATEST",
      "step-00000001",
      "step-00000001/rank-00000-of-00001.bsnap",
      "step-00000002",
      "step-00000002/rank-00000-of-00001.base-00000001.bsnap",
      "step-00000002/rank-00000-of-00001.bsnap",
  };
  FailEverywhere(
      prepare, [&](Store& store) { return store.Repair(options); },
      [&](Disk& disk) {
        ExpectKept(*disk.store, 1, false);
        ExpectKept(*disk.store, 2, false);
        ASSERT_TRUE(disk.store->Repair(options));
        EXPECT_EQ(Tree(disk.memory, "/s"), tidy);
        ExpectKept(*disk.store, 2, false);
      });
}

TEST_P(PruneFaultTest, RepairingLeavesABaseInABrokenStep) {
  const auto prepare = [](Disk& disk) {
    for (const uint32_t rank : {0, 1}) disk.SaveStep(1, {}, {rank, 2});
    disk.Lose("/s/step-00000001/rank-00001-of-00002.bsnap");
    disk.SaveStep(2, 1, {0, 2});
    disk.SaveStep(2, {}, {1, 2});
    disk.Lose("/s/step-00000002/rank-00000-of-00002.base-00000001.bsnap");
  };
  FailEverywhere(
      prepare, [&](Store& store) { return store.Repair({.min_age = std::chrono::seconds(0)}); },
      [&](Disk& disk) { EXPECT_TRUE(disk.store->OpenStep(2)); });
}

INSTANTIATE_TEST_SUITE_P(Faults, PruneFaultTest,
                         testing::Values(FaultCase{ErrorKind::kIo, false, false, false},
                                         FaultCase{ErrorKind::kIo, true, true, false},
                                         FaultCase{ErrorKind::kIo, false, true, true},
                                         FaultCase{ErrorKind::kOutOfSpace, true, false, false},
                                         FaultCase{ErrorKind::kOutOfSpace, false, true, true}));

}  // namespace
}  // namespace bitsnap
