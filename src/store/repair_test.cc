// Repair: what is not whole is found, and only what can never be restored goes.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "io/memory.h"
#include "io/test_directory.h"
#include "store/store_test_util.h"

namespace bitsnap {
namespace {

namespace fs = std::filesystem;
using namespace testing_util;

constexpr std::chrono::seconds kNow{0};

// On the machine's own file system: it has symlinks.
class RepairTest : public testing::Test {
 protected:
  static Contents State(uint64_t step) { return Step(SmallState(1, 3000), step); }

  void SaveStep(uint64_t step, BaseChoice base = {BaseChoice::Kind::kNone}, uint32_t rank = 0,
                uint32_t world_size = 1) {
    SaveOptions options{.step = step, .rank = rank, .world_size = world_size, .base = base};
    const auto report = Save(store_, State(step), options);
    ASSERT_TRUE(report) << report.error().message;
  }

  fs::path At(const std::string& path) { return store_.directory() / path; }
  fs::path RankFileOf(uint64_t step) {
    return At("step-0000000" + std::to_string(step) + "/rank-00000-of-00001.bsnap");
  }
  static void Write(const fs::path& path, std::string_view text) { std::ofstream(path) << text; }

  RepairReport Repair(std::chrono::seconds min_age = kNow) {
    const auto foreseen = store_.Repair({min_age, /*dry_run=*/true});
    EXPECT_TRUE(foreseen) << foreseen.error().message;
    const auto report = store_.Repair({min_age, false});
    EXPECT_TRUE(report) << report.error().message;
    EXPECT_EQ(Paths(report->repaired), Paths(foreseen->repaired));
    EXPECT_EQ(Paths(report->left), Paths(foreseen->left));
    EXPECT_EQ(report->bytes, foreseen->bytes);
    return *report;
  }

  using Names = std::vector<std::string>;
  static Names Paths(const std::vector<RepairItem>& items) {
    Names paths;
    for (const RepairItem& item : items) paths.push_back(item.path);
    return paths;
  }

  TestDirectory directory_;
  Store store_ = *Store::OpenOrCreate(directory_.path() / "store");
};

TEST_F(RepairTest, AWholeStoreStaysAsItIs) {
  SaveStep(1);
  SaveStep(2, {BaseChoice::Kind::kStep, 1});
  const RepairReport report = Repair();
  EXPECT_TRUE(report.repaired.empty());
  EXPECT_TRUE(report.left.empty());
  ExpectStep(store_, 2, State(2));
}

TEST_F(RepairTest, TakesAwayWhatKilledSavesLeft) {
  SaveStep(1);
  SaveStep(2);
  Write(At(".LATEST.tmp-12-3"), "ste");
  Write(At("step-00000001/.rank-00000-of-00001.bsnap.tmp-12-4"), "four");
  fs::create_hard_link(RankFileOf(1), At("step-00000002/rank-00000-of-00001.base-00000001.bsnap"));
  fs::create_directory(At("step-00000003"));
  fs::create_directory(At("step-00000004"));
  Write(At("step-00000004/.rank-00001-of-00004.bsnap.tmp-12-5"), "sixsix");
  const RepairReport report = Repair();
  EXPECT_EQ(Paths(report.repaired), (Names{"step-00000001/.rank-00000-of-00001.bsnap.tmp-12-4",
                                           "step-00000002/rank-00000-of-00001.base-00000001.bsnap",
                                           "step-00000003", "step-00000004", ".LATEST.tmp-12-3"}));
  EXPECT_EQ(report.bytes, 3u + 4 + 6);  // the link's file has its other name
  EXPECT_TRUE(report.left.empty());
  EXPECT_TRUE(Repair().repaired.empty());
  for (const uint64_t step : {1, 2}) ExpectStep(store_, step, State(step));
}

TEST_F(RepairTest, WhatIsYoungMayStillBeWritten) {
  SaveStep(1);
  SaveStep(2, {BaseChoice::Kind::kNone}, 0, 2);
  Write(At("step-00000001/.rank-00000-of-00001.bsnap.tmp-12-4"), "four");
  Write(At(".LATEST.tmp-12-3"), "ste");
  const RepairReport report = Repair(std::chrono::seconds(3600));
  EXPECT_TRUE(report.repaired.empty());
  EXPECT_EQ(report.left.size(), 3u);
  SaveStep(2, {BaseChoice::Kind::kNone}, 1, 2);
  ExpectStep(store_, 2, State(2), 1);
}

TEST_F(RepairTest, TakesAwayStepsThatAreNotWhole) {
  SaveStep(1);
  for (const uint64_t step : {2, 3, 5}) SaveStep(step);
  SaveStep(4, {BaseChoice::Kind::kNone}, 2, 3);
  SaveStep(6, {BaseChoice::Kind::kStep, 5});
  fs::resize_file(RankFileOf(2), 100);
  Write(RankFileOf(3), std::string(5000, 'x'));
  fs::remove_all(At("step-00000005"));
  fs::remove(At("step-00000006/rank-00000-of-00001.base-00000005.bsnap"));
  const uint64_t size = fs::file_size(At("step-00000004/rank-00002-of-00003.bsnap")) +
                        fs::file_size(RankFileOf(6)) + 100 + 5000;
  const RepairReport report = Repair();
  EXPECT_EQ(Paths(report.repaired),
            (Names{"step-00000002", "step-00000003", "step-00000004", "step-00000006", "LATEST"}));
  EXPECT_EQ(report.bytes, size);
  EXPECT_EQ(store_.List()->size(), 1u);
  ExpectStep(store_, 1, State(1));
  std::string latest;
  std::ifstream(At("LATEST")) >> latest;
  EXPECT_EQ(latest, "step-00000001");
}

TEST_F(RepairTest, KeepsTheBaseOfAWholeStep) {
  for (const uint32_t rank : {0u, 1u}) SaveStep(1, {BaseChoice::Kind::kNone}, rank, 2);
  for (const uint32_t rank : {0u, 1u}) SaveStep(2, {BaseChoice::Kind::kStep, 1}, rank, 2);
  // Step 1 loses a rank, and the rank that is left is all that rank 0 of step 2 has.
  fs::remove(At("step-00000001/rank-00001-of-00002.bsnap"));
  fs::remove(At("step-00000002/rank-00000-of-00002.base-00000001.bsnap"));
  const RepairReport report = Repair();
  EXPECT_TRUE(report.repaired.empty());
  EXPECT_EQ(Paths(report.left), Names{"step-00000001"});
  ExpectStep(store_, 2, State(2));
}

TEST_F(RepairTest, LeavesWhatSomebodyMayWantBack) {
  for (const uint64_t step : {1, 2, 3, 4}) SaveStep(step);
  fs::rename(At("step-00000002"), At("step-00000009"));  // sound, under a wrong name
  fs::remove(RankFileOf(3));
  Write(At("step-00000003/notes.txt"), "mine");
  fs::remove(At("LATEST"));
  fs::create_directory(At("LATEST"));
  const RepairReport report = Repair();
  EXPECT_TRUE(report.repaired.empty());
  EXPECT_EQ(Paths(report.left), (Names{"step-00000003", "step-00000009", "LATEST"}));
  fs::rename(At("step-00000009"), At("step-00000002"));
  ExpectStep(store_, 2, State(2));
}

TEST_F(RepairTest, TakesAwayTheFilesOfAnotherWorldSize) {
  SaveStep(1);
  fs::copy(RankFileOf(1), At("step-00000001/rank-00001-of-00002.bsnap"));
  EXPECT_EQ(Paths(Repair().repaired), Names{"step-00000001/rank-00001-of-00002.bsnap"});
  ExpectStep(store_, 1, State(1));
}

TEST_F(RepairTest, WithoutAWholeStepThereIsNoLatest) {
  SaveStep(1);
  fs::resize_file(RankFileOf(1), 10);
  EXPECT_EQ(Paths(Repair().repaired), (Names{"step-00000001", "LATEST"}));
  EXPECT_TRUE(fs::is_empty(store_.directory()));
}

// Symlinks planted in a store lead nowhere, whatever is behind them.
class PlantedLinkTest : public RepairTest {
 protected:
  void SetUp() override {
    // Another store, sound in every byte.
    Store outside = *Store::OpenOrCreate(Outside());
    for (const uint64_t step : {1, 2}) ASSERT_TRUE(Save(outside, State(step), {.step = step}));
  }
  fs::path Outside() { return directory_.path() / "outside"; }

  void ExpectOutsideUnharmed() {
    const Store outside = *Store::Open(Outside());
    for (const uint64_t step : {1, 2}) ExpectStep(outside, step, State(step));
    EXPECT_EQ(std::distance(fs::recursive_directory_iterator(Outside()), {}), 6);
  }
};

TEST_F(PlantedLinkTest, AStepFolderThatIsALinkIsRefused) {
  SaveStep(1);
  fs::create_directory_symlink(Outside() / "step-00000002", At("step-00000002"));
  const auto opened = store_.OpenStep(2);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::kIo);
  EXPECT_NE(opened.error().message.find("symbolic link"), std::string::npos);
  for (const bool overwrite : {false, true}) {
    const auto saved = Save(store_, State(2), {.step = 2, .overwrite = overwrite});
    ASSERT_FALSE(saved);
    EXPECT_NE(saved.error().message.find("symbolic link"), std::string::npos)
        << saved.error().message;
  }
  std::vector<PassedOver> passed_over;
  const auto use = [](const Snapshot&) -> Result<void> { return {}; };
  EXPECT_EQ(store_.RestoreNewest(0, use, &passed_over), 1u);
  ASSERT_EQ(passed_over.size(), 1u);
  EXPECT_EQ(passed_over[0].step, 2u);

  // Nor is it a base, nor repaired; and what somebody keeps behind it may lean on any step.
  const auto saved = Save(store_, State(3), {.step = 3, .base = {BaseChoice::Kind::kStep, 2}});
  ASSERT_FALSE(saved);
  EXPECT_NE(saved.error().message.find("symbolic link"), std::string::npos);
  EXPECT_EQ(Save(store_, State(3), {.step = 3})->base_step, 1u);
  const PruneReport pruned = *store_.Prune({.keep_last = 1});
  EXPECT_TRUE(pruned.removed.empty());
  ASSERT_EQ(pruned.left_alone.size(), 1u);
  EXPECT_NE(pruned.left_alone[0].why.find("symbolic link"), std::string::npos);
  EXPECT_EQ(Paths(Repair().left), Names{"step-00000002"});
  fs::remove(At("step-00000002"));
  EXPECT_EQ(store_.Prune({.keep_last = 1})->removed.size(), 1u);
  ExpectStep(store_, 3, State(3));
  ExpectOutsideUnharmed();
}

TEST_F(PlantedLinkTest, AFileThatIsALinkIsRefused) {
  SaveStep(1);
  SaveStep(3);
  fs::create_directory(At("step-00000002"));
  fs::create_symlink(Outside() / "step-00000002/rank-00000-of-00001.bsnap", RankFileOf(2));
  EXPECT_EQ(store_.OpenStep(2).error().kind, ErrorKind::kIo);
  EXPECT_FALSE(Save(store_, State(2), {.step = 2}));
  ASSERT_TRUE(Save(store_, State(2), {.step = 2, .overwrite = true}));
  ExpectStep(store_, 2, State(2));

  fs::remove(At("LATEST"));
  fs::create_symlink(Outside() / "LATEST", At("LATEST"));
  EXPECT_EQ(Paths(Repair().repaired), Names{"LATEST"});
  EXPECT_FALSE(fs::is_symlink(At("LATEST")));
  ExpectOutsideUnharmed();
}

TEST_F(PlantedLinkTest, ABaseLinkThatIsASymlinkIsRefused) {
  SaveStep(1);
  SaveStep(2, {BaseChoice::Kind::kStep, 1});
  const fs::path link = At("step-00000002/rank-00000-of-00001.base-00000001.bsnap");
  fs::remove(link);
  fs::remove_all(At("step-00000001"));
  fs::create_symlink(Outside() / "step-00000001/rank-00000-of-00001.bsnap", link);
  EXPECT_FALSE(store_.OpenStep(2));
  fs::create_directory_symlink(Outside() / "step-00000001", At("step-00000001"));
  fs::remove(link);
  EXPECT_FALSE(store_.OpenStep(2));
  ExpectOutsideUnharmed();
}

TEST_F(PlantedLinkTest, TheWayToTheStoreMayBeALink) {
  const fs::path way = directory_.path() / "way";
  fs::create_directory_symlink("store", way);
  Store store = *Store::OpenOrCreate(way);
  ASSERT_TRUE(Save(store, State(1), {.step = 1}));
  ExpectStep(store_, 1, State(1));
  ExpectStep(*Store::Open(way), 1, State(1));
  fs::create_directory_symlink("nowhere", directory_.path() / "dangling");
  EXPECT_FALSE(Store::OpenOrCreate(directory_.path() / "dangling"));
}

TEST_F(RepairTest, NamesFromFilesNeverBecomePaths) {
  const fs::path victim = directory_.path() / "victim";
  Contents state = State(1);
  for (const char* name : {"../../victim", "/etc/passwd", "step-00000009", ".", "a/../../b"}) {
    state.push_back({{name, DType::kU8, {3}}, Noise(3, 1)});
  }
  ASSERT_TRUE(Save(store_, state, {.step = 1, .metadata = "../../victim"}));
  ExpectStep(store_, 1, state);
  ASSERT_TRUE(Save(store_, state, {.step = 2}));
  ASSERT_TRUE(store_.Prune({.keep_last = 1, .drop_optimizer_older_than = 0}));
  EXPECT_FALSE(fs::exists(victim));
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_.path()), {}), 1);
  EXPECT_EQ(std::distance(fs::directory_iterator(store_.directory()), {}), 2);
}

}  // namespace
}  // namespace bitsnap
