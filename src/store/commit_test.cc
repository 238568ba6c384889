// Several that work on one rank file at once.
#include "store/commit.h"

#include <algorithm>
#include <thread>

#include <gtest/gtest.h>

#include "io/memory.h"
#include "store/folder.h"
#include "store/store_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;

class CommitTest : public testing::Test {
 protected:
  CommitTest() {
    EXPECT_TRUE(Save(store_, first_, {.step = 10}));
    EXPECT_EQ(Save(store_, second_, {.step = 20})->base_step, 10u);
    delta_ = BytesOf(20);
    base_ = {10, OpenRankFile(location_, 10, {})->index_hash()};
  }

  static std::string FileOf(uint64_t step) {
    return StoreLocation{"/s"}.StepFolder(step) / RankFileName({});
  }

  std::vector<std::byte> BytesOf(uint64_t step) {
    const auto file = *fs_.Open(FileOf(step));
    std::vector<std::byte> bytes(file->size());
    EXPECT_TRUE(file->Read(0, bytes));
    return bytes;
  }

  // A save of step 20, leaning on step 10, that has written all and not committed.
  Result<PendingFile> Pending(bool overwrite = false) {
    auto pending = PendingFile::Create(location_, {.step = 20, .overwrite = overwrite});
    EXPECT_TRUE(pending->LinkBase(base_, FileOf(10)));
    EXPECT_TRUE(pending->file()->Append(delta_));
    return pending;
  }

  void RemoveFolder(const std::string& folder) {
    const auto names = *fs_.List(folder);
    for (const std::string& name : names) ASSERT_TRUE(fs_.Remove(folder + "/" + name));
    ASSERT_TRUE(fs_.Remove(folder));
  }

  MemoryFileSystem fs_;
  const StoreLocation location_{"/s", &fs_};
  Store store_ = *Store::OpenOrCreate("/s", &fs_);
  const Contents first_ = SmallState(1, 3000), second_ = Step(first_, 2);
  std::vector<std::byte> delta_;  // the file of step 20
  BaseReference base_;            // what it leans on
};

TEST_F(CommitTest, TheSecondOfTwoSavesTakesNothingOfTheFirst) {
  RemoveFolder("/s/step-00000020");
  auto winner = Pending();
  {
    auto loser = Pending();
    ASSERT_TRUE(winner->Commit());
    EXPECT_EQ(loser->Commit().error().kind, ErrorKind::kAlreadyExists);
  }
  EXPECT_EQ(fs_.List("/s/step-00000020")->size(), 2u);
  RemoveFolder("/s/step-00000010");
  ExpectStep(store_, 20, second_);
}

TEST_F(CommitTest, ASaveThatFailsTakesNothingOfOneUnderWay) {
  RemoveFolder("/s/step-00000020");
  auto pending = Pending();
  { auto failed = Pending(); }
  RemoveFolder("/s/step-00000010");
  ASSERT_TRUE(pending->Commit());
  ExpectStep(store_, 20, second_);
}

TEST_F(CommitTest, OfTwoOverwritesTheLaterStays) {
  auto one = Pending(/*overwrite=*/true), two = Pending(/*overwrite=*/true);
  ASSERT_TRUE(one->Commit());
  ASSERT_TRUE(two->Commit());
  EXPECT_EQ(fs_.List("/s/step-00000020")->size(), 2u);
  RemoveFolder("/s/step-00000010");
  ExpectStep(store_, 20, second_);
}

TEST_F(CommitTest, WhatKilledSavesLeftGoesWithTheirLinks) {
  const std::string folder = "/s/step-00000020/";
  ASSERT_TRUE(fs_.Create(folder + ".rank-00000-of-00001.bsnap.tmp-7-1"));
  ASSERT_TRUE(fs_.Link(FileOf(10), folder + ".rank-00000-of-00001.base-00000010.bsnap.tmp-7-1"));
  ASSERT_TRUE(Save(store_, first_, {.step = 20, .overwrite = true}));
  EXPECT_EQ(fs_.List("/s/step-00000020")->size(), 2u);
}

TEST_F(CommitTest, ThePruningThatFindsASaveUnderWayLeavesItsFiles) {
  ASSERT_TRUE(Save(store_, second_, {.step = 30}));
  auto pending = Pending(/*overwrite=*/true);
  const auto pruned = store_.Prune({.keep_last = 1});
  ASSERT_TRUE(pruned) << pruned.error().message;
  EXPECT_EQ(pruned->removed.size(), 2u);
  EXPECT_EQ(store_.OpenStep(20).error().kind, ErrorKind::kNotFound);
  ASSERT_TRUE(pending->Commit());
  ExpectStep(store_, 20, second_);
}

TEST_F(CommitTest, AStepThatWasSavedAgainSinceItsRemovalWasPlannedStays) {
  const auto planned = ListFolder(location_, 20);
  ASSERT_TRUE(Save(store_, first_, {.step = 20, .overwrite = true}));
  EXPECT_EQ(RemoveStep(location_, 20, *planned), false);
  ExpectStep(store_, 20, first_);
  EXPECT_EQ(RemoveStep(location_, 20, *ListFolder(location_, 20)), true);
  EXPECT_EQ(fs_.Type("/s/step-00000020"), FileType::kNone);
}

TEST_F(CommitTest, ThinningNeverReplacesWhatWasSavedMeanwhile) {
  ASSERT_TRUE(Save(store_, second_, {.step = 1000, .base = {BaseChoice::Kind::kNone, 0}}));
  Store other = *Store::OpenOrCreate("/other", &fs_);
  const Contents again = SmallState(7, 3000);
  ASSERT_TRUE(Save(other, again, {.step = 20}));

  auto lock = fs_.LockDirectory("/s/step-00000020");  // as a save has it that is about to rename
  Result<PruneReport> pruned;
  std::thread pruning([&] { pruned = store_.Prune({.drop_optimizer_older_than = 100}); });
  const auto is_written = [&] {
    const auto names = *fs_.List("/s/step-00000020");
    return std::ranges::any_of(names, [](const auto& name) { return !!RankOfTemporary(name); });
  };
  while (!is_written()) std::this_thread::yield();
  ASSERT_TRUE(fs_.Rename("/other/step-00000020/rank-00000-of-00001.bsnap", FileOf(20)));
  lock->reset();
  pruning.join();
  ASSERT_TRUE(pruned) << pruned.error().message;
  ExpectStep(store_, 20, again);
  ASSERT_FALSE(pruned->left_alone.empty());
  EXPECT_NE(pruned->left_alone.back().why.find("replaced meanwhile"), std::string::npos);
  EXPECT_FALSE(is_written());
}

}  // namespace
}  // namespace bitsnap
