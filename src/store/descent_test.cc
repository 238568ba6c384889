// Lines of descent: what is newest, what is left behind, and what retention makes of it.
#include <gtest/gtest.h>

#include "io/memory.h"
#include "store/layout.h"
#include "store/store_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;
using Steps = std::vector<uint64_t>;

constexpr size_t kCount = 3000;

// Saves as a training run does: each save comes after the last one, or after a step restored.
class DescentTest : public testing::Test {
 protected:
  static Contents State(uint64_t step) { return Step(SmallState(1, kCount), step); }
  static std::string PathOf(uint64_t step) {
    return "/s/" + StepFolderName(step) + "/" + RankFileName({0, 1});
  }

  // What a restarted run does first. No step: the newest.
  void Restart(std::optional<uint64_t> step = {}) {
    from_.reset();
    std::vector<PassedOver> passed_over;
    const auto use = [&](const Snapshot& snapshot) -> Result<void> {
      if (const auto sound = snapshot.Verify(); !sound) return sound;
      from_ = Predecessor{snapshot.step(), snapshot.save_id(), snapshot.lineage(), true, false};
      return {};
    };
    if (step) {
      ASSERT_TRUE(use(*store_.OpenStep(*step)));
    } else {
      ASSERT_TRUE(store_.RestoreNewest(0, use, &passed_over));
      from_->passed_over_newer = !passed_over.empty();
    }
  }

  Result<SaveReport> TrySave(uint64_t step, std::optional<RetentionPolicy> policy = {}) {
    SaveOptions options{.step = step, .save_id = ++save_id_, .retention = std::move(policy)};
    options.base.kind = BaseChoice::Kind::kNone;
    const auto lineage = store_.NextLineage(step, from_);
    if (!lineage) return tl::make_unexpected(lineage.error());
    options.lineage = *lineage;
    auto report = Save(store_, State(step + 1000 * save_id_), options);
    if (report) from_ = Predecessor{step, save_id_, *lineage, false, false};
    return report;
  }

  void SaveStep(uint64_t step, std::optional<RetentionPolicy> policy = {}) {
    const auto report = TrySave(step, std::move(policy));
    ASSERT_TRUE(report) << report.error().message;
    ASSERT_FALSE(report->prune_error) << report->prune_error->message;
    // The invariant: what is durable is what a restart finds.
    EXPECT_EQ(Newest(), step);
    EXPECT_EQ(Latest(), StepFolderName(step) + "\n");
  }

  uint64_t Newest() {
    const auto step = store_.RestoreNewest(0, [](const Snapshot& s) { return s.Verify(); });
    EXPECT_TRUE(step) << step.error().message;
    return step ? *step : 0;
  }

  std::string Latest() {
    const auto file = *fs_.Open("/s/LATEST");
    std::string text(file->size(), '\0');
    EXPECT_TRUE(file->Read(0, std::as_writable_bytes(std::span(text))));
    return text;
  }

  Steps Listed(bool abandoned) {
    Steps steps;
    const auto list = *store_.List();
    for (const StepInfo& info : list) {
      if (info.abandoned == abandoned) steps.push_back(info.step);
    }
    return steps;
  }

  bool IsMarked(uint64_t step) {
    return *fs_.Type("/s/" + StepFolderName(step) + "/ABANDONED") == FileType::kFile;
  }

  // `at` from the front, or from the end where it is negative.
  void Flip(uint64_t step, int64_t at) {
    std::vector<std::byte> bytes;
    {
      const auto file = *fs_.Open(PathOf(step));
      bytes.resize(file->size());
      ASSERT_TRUE(file->Read(0, bytes));
    }
    bytes[at < 0 ? bytes.size() - static_cast<size_t>(-at) : static_cast<size_t>(at)] ^=
        std::byte{1};
    ASSERT_TRUE(fs_.Remove(PathOf(step)));
    const auto file = *fs_.Create(PathOf(step));
    ASSERT_TRUE(file->Append(bytes));
    ASSERT_TRUE(file->Sync());
    ASSERT_TRUE(file->Close());
  }

  static constexpr int64_t kInPayload = 80, kInFooter = -20;

  MemoryFileSystem fs_;
  Store store_ = *Store::OpenOrCreate("/s", &fs_);
  std::optional<Predecessor> from_;
  uint64_t save_id_ = 0;
};

TEST_F(DescentTest, ARestartAtTheNewestStepGoesOnWithItsRun) {
  SaveStep(10);
  SaveStep(20);
  const Lineage run = store_.OpenStep(20)->lineage();
  EXPECT_NE(run.run, 0u);
  EXPECT_EQ(run.order, 1u);
  EXPECT_EQ(run.parent, (ParentSave{10, 1}));
  Restart();
  SaveStep(30);
  EXPECT_EQ(store_.OpenStep(30)->lineage().run, run.run);
  EXPECT_EQ(Listed(true), Steps{});
}

TEST_F(DescentTest, GoingBackLeavesNewerStepsBehind) {
  for (const uint64_t step : {100, 200, 300, 400}) SaveStep(step);
  Restart(200);
  SaveStep(210);
  EXPECT_EQ(Listed(true), (Steps{300, 400}));
  EXPECT_TRUE(IsMarked(300) && IsMarked(400));
  EXPECT_FALSE(IsMarked(100) || IsMarked(210));
  const Lineage lineage = store_.OpenStep(210)->lineage();
  EXPECT_EQ(lineage.order, 2u);
  ASSERT_EQ(lineage.ancestors.size(), 1u);
  EXPECT_EQ(lineage.ancestors[0].up_to, 200u);
  EXPECT_TRUE(store_.OpenStep(400));  // by its number any can be read
}

TEST_F(DescentTest, DamageOfTheNewRunLeadsToTheCommonAncestor) {
  for (const int64_t at : {kInPayload, kInFooter}) {
    for (const uint64_t step : {100, 200, 300}) SaveStep(step + save_id_ * 1000);
    const Steps steps = Listed(false);
    ASSERT_GE(steps.size(), 3u);
    const uint64_t common = steps[steps.size() - 2], newest = steps.back();
    Restart(common);
    SaveStep(common + 10);
    Flip(common + 10, at);
    EXPECT_EQ(Newest(), common);
    Restart();
    SaveStep(common + 20);
    EXPECT_EQ(Newest(), common + 20);
    EXPECT_TRUE(IsMarked(newest));
    Restart();
  }
}

TEST_F(DescentTest, TwoRollbacksAndTheWayBack) {
  for (const uint64_t step : {100, 200, 300}) SaveStep(step);
  Restart(200);
  SaveStep(210);
  SaveStep(220);
  Restart(210);
  SaveStep(215);
  EXPECT_EQ(Listed(true), (Steps{220, 300}));
  Restart(300);  // an abandoned one: it is the line again
  SaveStep(310);
  EXPECT_EQ(Listed(false), (Steps{100, 200, 300, 310}));
  EXPECT_FALSE(IsMarked(300));
  EXPECT_TRUE(IsMarked(210) && IsMarked(215) && IsMarked(220));
  Flip(310, kInFooter);
  EXPECT_EQ(Newest(), 300u);
}

TEST_F(DescentTest, AnAbandonedNumberIsReplacedAndOthersAreNot) {
  for (const uint64_t step : {100, 200, 300}) SaveStep(step);
  Restart(200);
  EXPECT_EQ(TrySave(200).error().kind, ErrorKind::kAlreadyExists);
  SaveStep(300);
  EXPECT_FALSE(IsMarked(300));
  ExpectStep(store_, 300, State(300 + 1000 * save_id_));
  EXPECT_EQ(TrySave(300).error().kind, ErrorKind::kAlreadyExists);
  EXPECT_EQ(TrySave(100).error().kind, ErrorKind::kAlreadyExists);
}

TEST_F(DescentTest, AFreshRunInAnOldDirectory) {
  for (const uint64_t step : {500, 600, 700}) SaveStep(step);
  from_.reset();
  SaveStep(100, RetentionPolicy{.keep_last = 1});
  EXPECT_EQ(Listed(true), (Steps{500, 600, 700}));
  SaveStep(200, RetentionPolicy{.keep_last = 1});
  EXPECT_EQ(Listed(false), Steps{200});
  Flip(200, kInPayload);
  const auto restored = store_.RestoreNewest(0, [](const Snapshot& s) { return s.Verify(); });
  ASSERT_FALSE(restored);  // and not step 700, of which nobody thinks any more
  EXPECT_NE(restored.error().message.find("500, 600, 700"), std::string::npos);
}

TEST_F(DescentTest, ARunGoesOnWhileOtherRanksAreOnTheirWay) {
  SaveOptions options{.step = 1, .world_size = 2, .save_id = 1};
  options.lineage = *store_.NextLineage(1, {});
  ASSERT_TRUE(Save(store_, State(1), options));
  EXPECT_EQ(store_.NextLineage(2, {})->run, options.lineage->run);
}

TEST_F(DescentTest, HigherNumbersWithoutARestoreGoOn) {
  for (const uint64_t step : {10, 20}) SaveStep(step);
  from_.reset();
  SaveStep(30);
  EXPECT_EQ(Listed(true), Steps{});
}

TEST_F(DescentTest, SavesThatDoNotSayTheirRunJoinTheCurrentOne) {
  for (const uint64_t step : {10, 20, 30}) SaveStep(step);
  Restart(10);
  SaveStep(12);
  ASSERT_TRUE(Save(store_, State(20), {.step = 20}));  // left behind: replaced
  EXPECT_EQ(Newest(), 20u);
  EXPECT_EQ(store_.OpenStep(20)->lineage().run, store_.OpenStep(12)->lineage().run);
  ASSERT_TRUE(Save(store_, State(11), {.step = 11}));
  EXPECT_EQ(Newest(), 20u);
  EXPECT_EQ(Save(store_, State(20), {.step = 20}).error().kind, ErrorKind::kAlreadyExists);
  EXPECT_EQ(Listed(true), Steps{30});
}

TEST_F(DescentTest, WithoutRunsAllIsAsItWas) {
  for (const uint64_t step : {30, 10, 20}) ASSERT_TRUE(Save(store_, State(step), {.step = step}));
  EXPECT_EQ(Newest(), 30u);
  EXPECT_EQ(store_.OpenStep(10)->lineage(), Lineage());
}

TEST_F(DescentTest, ARunIsTheCurrentOneOnceAStepOfItIsWhole) {
  for (const uint64_t step : {100, 200, 300}) SaveStep(step);
  Restart(200);
  SaveOptions options{.step = 210, .world_size = 2, .save_id = 99};
  options.lineage = *store_.NextLineage(210, from_);
  options.retention = RetentionPolicy{.keep_last = 1};
  ASSERT_TRUE(Save(store_, State(210), options));
  EXPECT_EQ(Newest(), 300u);
  EXPECT_EQ(Listed(true), Steps{});
  EXPECT_EQ(Listed(false), (Steps{200, 210, 300}));  // 200 is what the run stands on
  options.rank = 1;
  ASSERT_TRUE(Save(store_, State(210), options));
  EXPECT_EQ(Newest(), 210u);
  EXPECT_EQ(Listed(true), Steps{300});
}

TEST_F(DescentTest, SavesAfterAFallBackStay) {
  for (const uint64_t keep : {1, 2}) {
    for (const uint64_t step : {100, 200, 300}) SaveStep(step + 1000 * keep);
    Flip(1000 * keep + 300, kInPayload);
    Restart();
    for (const uint64_t step : {210, 220, 300}) {
      SaveStep(step + 1000 * keep, RetentionPolicy{.keep_last = keep});
    }
    EXPECT_EQ(Listed(false).size(), keep);
    Restart();
  }
}

TEST_F(DescentTest, DamagedStepsDoNotCountAsKept) {
  for (const uint64_t step : {10, 20, 30, 40}) SaveStep(step);
  Flip(40, kInPayload);
  const auto report = store_.Prune({.keep_last = 2});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->kept, (Steps{20, 30, 40}));
  ASSERT_EQ(report->left_alone.size(), 1u);
  EXPECT_EQ(report->left_alone[0].step, 40u);
  EXPECT_EQ(Newest(), 30u);
  for (const uint64_t step : {50, 60}) SaveStep(step, RetentionPolicy{.keep_last = 2});
  EXPECT_EQ(Listed(false), (Steps{50, 60}));
}

TEST_F(DescentTest, ADamagedBaseMakesItsDeltasCountForNothing) {
  SaveStep(10);
  SaveStep(20);
  ASSERT_TRUE(Save(store_, Step(State(20 + 2000), 30),
                   {.step = 30, .base = {BaseChoice::Kind::kStep, 20}}));
  Flip(20, kInPayload);  // another file now: put the damage into the delta's link, too
  const std::string link = "/s/step-00000030/rank-00000-of-00001.base-00000020.bsnap";
  ASSERT_TRUE(fs_.Remove(link));
  ASSERT_TRUE(fs_.Link(PathOf(20), link));
  const auto report = store_.Prune({.keep_last = 1});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->kept, (Steps{10, 20, 30}));
  EXPECT_EQ(report->left_alone.size(), 2u);
  EXPECT_EQ(Newest(), 10u);
}

TEST_F(DescentTest, PassedOverStepsDoNotCountAndKeptOnesStay) {
  for (const uint64_t step : {10, 20, 30}) SaveStep(step);
  const auto report = store_.Prune({.keep_last = 1, .passed_over = {30}, .keep = {10}});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->kept, (Steps{10, 20, 30}));
  EXPECT_EQ(store_.Prune({.keep_last = 1, .passed_over = {10}})->kept, Steps{30});
}

TEST_F(DescentTest, AbandonedStepsStayUntilTheyAreDropped) {
  for (const uint64_t step : {10, 20, 30, 40}) SaveStep(step);
  Restart(20);
  SaveStep(25, RetentionPolicy{.keep_last = 1, .keep_every = 10, .drop_optimizer_older_than = 1});
  EXPECT_EQ(Listed(false), (Steps{10, 20, 25}));
  EXPECT_EQ(Listed(true), (Steps{30, 40}));
  ExpectStep(store_, 40, State(4040));  // not thinned either
  const auto kept = store_.Prune({.keep_last = 1});
  EXPECT_EQ(kept->abandoned, (Steps{30, 40}));
  EXPECT_EQ(kept->kept, Steps{25});
  const auto dropped = store_.Prune({.drop_abandoned = true});
  ASSERT_TRUE(dropped) << dropped.error().message;
  EXPECT_EQ(dropped->removed.size(), 2u);
  EXPECT_EQ(store_.List()->size(), 1u);
  EXPECT_EQ(Newest(), 25u);
}

TEST_F(DescentTest, NothingIsDroppedForARunWithoutASoundStep) {
  for (const uint64_t step : {10, 20, 30}) SaveStep(step);
  Restart(20);
  SaveStep(25);
  Flip(25, kInPayload);
  const auto report = store_.Prune({.drop_abandoned = true});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->abandoned, Steps{30});
  EXPECT_EQ(store_.List()->size(), 4u);
}

TEST_F(DescentTest, OfRunsThatBeginAtOnceNeitherLeavesTheOtherBehind) {
  for (const uint64_t step : {10, 20}) SaveStep(step);
  Restart(10);
  const Lineage one = *store_.NextLineage(12, from_), other = *store_.NextLineage(18, from_);
  ASSERT_EQ(one.order, other.order);
  const auto save = [&](uint64_t step, const Lineage& lineage) {
    const SaveOptions options{.step = step,
                              .save_id = ++save_id_,
                              .lineage = lineage,
                              .retention = RetentionPolicy{.keep_last = 1, .drop_abandoned = true}};
    ASSERT_TRUE(Save(store_, State(step), options));
  };
  save(12, one);
  save(18, other);
  save(13, one);
  EXPECT_EQ(Listed(false), (Steps{13, 18}));
  EXPECT_EQ(Newest(), 18u);
  from_ = Predecessor{13, save_id_, one};
  SaveStep(14);
  EXPECT_EQ(store_.OpenStep(14)->lineage().order, one.order + 1);
  EXPECT_EQ(Listed(true), Steps{18});
}

TEST_F(DescentTest, ARunThatWasLeftBehindReplacesNothingOfTheNewerOne) {
  for (const uint64_t step : {10, 20}) SaveStep(step);
  const Lineage left_behind = store_.OpenStep(20)->lineage();
  Restart(10);
  SaveStep(30);
  const SaveOptions options{.step = 30, .save_id = ++save_id_, .lineage = left_behind};
  const auto report = Save(store_, State(30), options);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind, ErrorKind::kAlreadyExists);
}

TEST_F(DescentTest, ADirectoryOfOneMachineIsMarkedOnceTheRunIsDurableEverywhere) {
  ASSERT_TRUE(fs_.Create("/s/PARTIAL"));
  for (const uint64_t step : {100, 200, 300}) SaveStep(step);
  Restart(200);
  const auto save = [&](uint64_t step, uint64_t whole_up_to) {
    return TrySave(step, RetentionPolicy{.keep_last = 1, .whole_up_to = whole_up_to});
  };
  ASSERT_TRUE(save(210, 200));
  EXPECT_FALSE(IsMarked(300));  // on another machine step 210 may fail
  EXPECT_EQ(store_.List()->size(), 3u);
  ASSERT_TRUE(save(220, 210));
  EXPECT_TRUE(IsMarked(300));
  EXPECT_EQ(Listed(false), (Steps{210, 220}));
}

TEST_F(DescentTest, RepairKnowsTheMark) {
  for (const uint64_t step : {10, 20, 30}) SaveStep(step);
  Restart(10);
  SaveStep(12);
  const auto report = store_.Repair({.min_age = std::chrono::seconds(0)});
  EXPECT_TRUE(report->repaired.empty() && report->left.empty());
  ASSERT_TRUE(fs_.Remove(PathOf(30)));  // only the mark is left
  EXPECT_EQ(store_.Repair({.min_age = std::chrono::seconds(0)})->repaired.size(), 1u);
  EXPECT_EQ(store_.List()->size(), 3u);
}

}  // namespace
}  // namespace bitsnap
