// Retention: what stays, what goes, what space it gives back.
#include <gtest/gtest.h>

#include "io/memory.h"
#include "store/commit.h"
#include "store/folder.h"
#include "store/store_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;

constexpr size_t kCount = 3000;  // elements; small states keep many steps quick

class PruneTest : public testing::Test {
 protected:
  // The state of a step; neighbours differ in few weights.
  static Contents State(uint64_t step) { return Step(SmallState(1, kCount), step); }

  void SaveStep(uint64_t step, std::optional<uint64_t> base = {}, uint32_t rank = 0,
                uint32_t world_size = 1) {
    SaveOptions options{.step = step, .rank = rank, .world_size = world_size};
    options.base =
        base ? BaseChoice{BaseChoice::Kind::kStep, *base} : BaseChoice{BaseChoice::Kind::kNone};
    const auto report = Save(store_, State(step), options);
    ASSERT_TRUE(report) << report.error().message;
  }

  PruneReport Prune(const RetentionPolicy& policy) {
    const uint64_t before = Space();
    const auto foreseen = store_.Prune(policy, /*dry_run=*/true);
    EXPECT_TRUE(foreseen) << foreseen.error().message;
    EXPECT_EQ(Space(), before);
    const auto report = store_.Prune(policy);
    EXPECT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->kept, foreseen->kept);
    EXPECT_EQ(report->bytes, foreseen->bytes);
    // An index without the dropped tensors is smaller too, which the report leaves out.
    if (report->thinned.empty()) {
      EXPECT_EQ(before - Space(), report->bytes);
    } else {
      EXPECT_GE(before - Space(), report->bytes);
      EXPECT_LE(before - Space(), report->bytes + 1000);
    }
    return *report;
  }

  // Of all files, hard links counted once.
  uint64_t Space() {
    std::map<uint64_t, uint64_t> files;
    const auto folders = *fs_.List("/s");
    for (const std::string& folder : folders) {
      const auto path = std::filesystem::path("/s") / folder;
      if (*fs_.Type(path) != FileType::kDirectory) continue;
      const auto names = *fs_.List(path);
      for (const std::string& name : names) {
        const FileStatus status = *fs_.Status(path / name);
        files[status.id] = status.bytes;
      }
    }
    uint64_t bytes = 0;
    for (const auto& [id, size] : files) bytes += size;
    return bytes;
  }

  // All that is left of `step` is as it was, and that is everything but optimizer state.
  void ExpectThinned(uint64_t step, uint32_t rank = 0) {
    Contents want;
    for (const auto& tensor : State(step)) {
      if (!tensor.first.name.starts_with("optimizer.")) want.push_back(tensor);
    }
    ExpectStep(store_, step, want, rank);
  }

  static std::vector<uint64_t> StepsOf(const std::vector<PrunedStep>& list) {
    std::vector<uint64_t> steps;
    for (const PrunedStep& pruned : list) steps.push_back(pruned.step);
    return steps;
  }

  using Steps = std::vector<uint64_t>;
  MemoryFileSystem fs_;
  Store store_ = *Store::OpenOrCreate("/s", &fs_);
};

TEST_F(PruneTest, KeepsWhatAnyRuleKeeps) {
  for (uint64_t step = 10; step <= 100; step += 10) SaveStep(step);
  const PruneReport report = Prune({.keep_last = 2, .keep_every = 30});
  EXPECT_EQ(report.kept, (Steps{30, 60, 90, 100}));
  EXPECT_EQ(StepsOf(report.removed), (Steps{10, 20, 40, 50, 70, 80}));
  EXPECT_TRUE(report.left_alone.empty());
  EXPECT_EQ(fs_.List("/s")->size(), 5u);  // LATEST too
  for (const uint64_t step : report.kept) ExpectStep(store_, step, State(step));
}

TEST_F(PruneTest, TheNewestWholeStepAlwaysStays) {
  for (uint64_t step : {10, 20, 30}) SaveStep(step);
  SaveStep(40, {}, 0, 2);  // the other rank has not come yet
  EXPECT_EQ(Prune({.keep_every = 7}).kept, Steps{30});
  EXPECT_EQ(store_.List()->back().step, 40u);
  ExpectStep(store_, 30, State(30));
}

TEST_F(PruneTest, StepsThatAreNotWholeAreNotCountedAndNotTouched) {
  for (uint64_t step : {10, 20}) SaveStep(step);
  SaveStep(5, {}, 0, 2);
  SaveStep(30, {}, 1, 2);
  EXPECT_EQ(Prune({.keep_last = 1}).kept, Steps{20});
  EXPECT_EQ(store_.List()->size(), 3u);
}

TEST_F(PruneTest, ABaseGivesItsSpaceBackWithItsLastDelta) {
  SaveStep(1);
  SaveStep(2, 1);
  SaveStep(3, 1);
  const PruneReport first = Prune({.keep_last = 2});
  EXPECT_EQ(StepsOf(first.removed), Steps{1});
  EXPECT_EQ(first.bytes, 0u);
  ExpectStep(store_, 2, State(2));
  ExpectStep(store_, 3, State(3));
  SaveStep(4);
  const PruneReport second = Prune({.keep_last = 1});
  EXPECT_EQ(StepsOf(second.removed), (Steps{2, 3}));
  EXPECT_GT(second.removed[1].bytes, second.removed[0].bytes + 4 * kCount);
  ExpectStep(store_, 4, State(4));
}

TEST_F(PruneTest, ABaseStaysWhereItsDeltaHasNoLink) {
  SaveStep(1);
  SaveStep(2);
  SaveStep(3, 1);
  ASSERT_TRUE(fs_.Remove("/s/step-00000003/rank-00000-of-00001.base-00000001.bsnap"));
  const PruneReport report = Prune({.keep_last = 1});
  EXPECT_EQ(report.kept, (Steps{1, 3}));
  EXPECT_EQ(StepsOf(report.removed), Steps{2});
  ASSERT_EQ(report.left_alone.size(), 1u);
  EXPECT_EQ(report.left_alone[0].step, 1u);
  ExpectStep(store_, 3, State(3));
}

TEST_F(PruneTest, ABaseStaysWhereADeltaOfAStepLeftAloneNeedsIt) {
  // Rank 0 of step 2 is the base of step 3, and rank 1 of step 2 leans on step 1; no links.
  for (uint32_t rank : {0u, 1u}) SaveStep(1, {}, rank, 2);
  SaveStep(2, {}, 0, 2);
  SaveStep(2, 1, 1, 2);
  SaveStep(3, 2, 0, 2);
  SaveStep(3, {}, 1, 2);
  ASSERT_TRUE(fs_.Remove("/s/step-00000002/rank-00001-of-00002.base-00000001.bsnap"));
  ASSERT_TRUE(fs_.Remove("/s/step-00000003/rank-00000-of-00002.base-00000002.bsnap"));
  EXPECT_EQ(Prune({.keep_last = 1}).kept, (Steps{1, 2, 3}));
  for (uint32_t rank : {0u, 1u}) ExpectStep(store_, 3, State(3), rank);
}

TEST_F(PruneTest, DropsOptimizerStateAndNothingElse) {
  for (uint64_t step : {10, 20, 30, 40}) SaveStep(step);
  SaveStep(35, 10);
  const PruneReport report = Prune({.keep_last = 3, .drop_optimizer_older_than = 5});
  EXPECT_EQ(report.kept, (Steps{30, 35, 40}));
  EXPECT_EQ(StepsOf(report.thinned), Steps{30});  // 35 is not older than 5
  ExpectThinned(30);
  ExpectStep(store_, 35, State(35));
  ExpectStep(store_, 40, State(40));
  EXPECT_TRUE(store_.Verify()->broken.empty());
  EXPECT_TRUE(Prune({.drop_optimizer_older_than = 5}).thinned.empty());
}

TEST_F(PruneTest, WithoutKeepRulesAllStepsStay) {
  for (uint64_t step : {10, 20, 30}) SaveStep(step);
  const PruneReport report = Prune({.drop_optimizer_older_than = 0});
  EXPECT_EQ(report.kept, (Steps{10, 20, 30}));
  EXPECT_EQ(StepsOf(report.thinned), (Steps{10, 20}));
  ExpectThinned(20);
  ExpectStep(store_, 30, State(30));
}

TEST_F(PruneTest, AThinnedDeltaKeepsItsBaseAndLosesItWithTheLastTensorThatNeedsIt) {
  SaveStep(10);
  SaveStep(20, 10);
  SaveStep(50);
  const PruneReport first = Prune({.keep_last = 2, .drop_optimizer_older_than = 5});
  EXPECT_EQ(StepsOf(first.thinned), Steps{20});
  ExpectThinned(20);

  // Here only the optimizer leans on the base.
  Contents fresh = State(60);
  fresh[0].second = Noise(2 * kCount, 9);
  fresh[5].second = Noise(77, 9);
  ASSERT_TRUE(Save(store_, fresh, {.step = 60, .base = {BaseChoice::Kind::kStep, 50}}));
  SaveStep(70);
  EXPECT_EQ(fs_.List("/s/step-00000060")->size(), 2u);
  Prune({.keep_last = 2, .drop_optimizer_older_than = 5});
  EXPECT_EQ(fs_.List("/s/step-00000060")->size(), 1u);
  const auto snapshot = store_.OpenStep(60);
  ASSERT_TRUE(snapshot) << snapshot.error().message;
  EXPECT_FALSE(snapshot->base_step());
  ExpectSame(*ReadAll(*snapshot), {fresh[0], fresh[4], fresh[5]});
}

TEST_F(PruneTest, ABaseOfAKeptDeltaKeepsItsOptimizerState) {
  SaveStep(10);
  SaveStep(20, 10);
  SaveStep(30);
  const PruneReport report = Prune({.drop_optimizer_older_than = 5});
  EXPECT_EQ(StepsOf(report.thinned), Steps{20});
  ASSERT_EQ(report.left_alone.size(), 1u);
  EXPECT_EQ(report.left_alone[0].step, 10u);
  ExpectStep(store_, 10, State(10));
  ExpectThinned(20);
}

TEST_F(PruneTest, AFileThatIsLinkedElsewhereIsNotThinned) {
  SaveStep(10);
  SaveStep(30);
  ASSERT_TRUE(fs_.Link("/s/step-00000010/rank-00000-of-00001.bsnap", "/backup"));
  const PruneReport report = Prune({.drop_optimizer_older_than = 5});
  EXPECT_TRUE(report.thinned.empty());
  EXPECT_EQ(report.left_alone.size(), 1u);
}

TEST_F(PruneTest, ThinsEveryProfileAndAllRanks) {
  for (const Profile profile : AllProfiles()) {
    const std::filesystem::path path = "/" + std::string(ProfileName(profile));
    Store store = *Store::OpenOrCreate(path, &fs_);
    Contents state = SmallState(1, kCount);
    std::vector<std::byte> master(4 * kCount);
    for (size_t i = 0; i < kCount; ++i) {
      std::copy_n(state[0].second.data() + 2 * i, 2, master.data() + 4 * i + 2);
    }
    state.push_back({{"optimizer.state.w.master", DType::kF32, {kCount}}, master});
    state.push_back({{"tied", DType::kBF16, {kCount}}, state[0].second});
    state.push_back({{"same as an optimizer's", DType::kF32, {}}, state[3].second});
    for (const uint64_t step : {1, 2, 3}) {
      for (const uint32_t rank : {0u, 1u}) {
        SaveOptions options{.step = step, .rank = rank, .world_size = 2, .profile = profile};
        if (step != 2) options.base.kind = BaseChoice::Kind::kNone;
        ASSERT_TRUE(Save(store, Step(state, step), options));
      }
    }
    std::vector<Contents> before;
    for (const uint32_t rank : {0u, 1u}) before.push_back(*ReadAll(*store.OpenStep(2, rank)));
    const auto report = store.Prune({.keep_last = 2, .drop_optimizer_older_than = 0});
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(StepsOf(report->thinned), Steps{2});
    for (const uint32_t rank : {0u, 1u}) {
      const auto snapshot = store.OpenStep(2, rank);
      ASSERT_TRUE(snapshot) << snapshot.error().message;
      ASSERT_TRUE(snapshot->Verify());
      EXPECT_FALSE(snapshot->Find("optimizer.state.w.master"));
      EXPECT_FALSE(snapshot->Find("optimizer.state.w.exp_avg"));
      EXPECT_FALSE(snapshot->Find("optimizer.state.w.exp_avg_sq"));
      const Contents got = *ReadAll(*snapshot);
      for (const char* name : {"model.w", "rng", "empty", "tied", "same as an optimizer's"}) {
        const auto is_it = [&](const auto& tensor) { return tensor.first.name == name; };
        const auto found = std::find_if(got.begin(), got.end(), is_it);
        ASSERT_NE(found, got.end()) << name;
        ExpectSame({*found}, {*std::find_if(before[rank].begin(), before[rank].end(), is_it)});
      }
    }
  }
}

TEST_F(PruneTest, ADamagedStepStaysAsItIs) {
  for (uint64_t step : {10, 20, 30}) SaveStep(step);
  const std::filesystem::path path = "/s/step-00000010/rank-00000-of-00001.bsnap";
  std::vector<std::byte> bytes;
  {
    const auto file = *fs_.Open(path);
    bytes.resize(file->size());
    ASSERT_TRUE(file->Read(0, bytes));
  }
  bytes[80] ^= std::byte{1};  // in the weight's first block
  ASSERT_TRUE(fs_.Remove(path));
  ASSERT_TRUE((*fs_.Create(path))->Append(bytes));
  const auto report = store_.Prune({.drop_optimizer_older_than = 0});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(StepsOf(report->thinned), Steps{20});
  ASSERT_EQ(report->left_alone.size(), 1u);
  EXPECT_EQ(report->bytes, report->thinned[0].bytes);
  EXPECT_EQ(fs_.List("/s/step-00000010")->size(), 1u);
}

TEST_F(PruneTest, AFolderWithSomebodysFileStays) {
  for (uint64_t step : {10, 20}) SaveStep(step);
  ASSERT_TRUE(fs_.Create("/s/step-00000010/notes.txt"));
  const PruneReport report = Prune({.keep_last = 1});
  EXPECT_EQ(report.kept, (Steps{10, 20}));
  ASSERT_EQ(report.left_alone.size(), 1u);
  EXPECT_NE(report.left_alone[0].why.find("notes.txt"), std::string::npos);
  ExpectStep(store_, 10, State(10));
}

TEST_F(PruneTest, RefusesAPolicyThatSaysNothing) {
  for (const RetentionPolicy& policy :
       {RetentionPolicy{}, {.keep_last = 0}, {.keep_last = 2, .keep_every = 0}}) {
    EXPECT_EQ(store_.Prune(policy).error().kind, ErrorKind::kInvalidArgument);
  }
  EXPECT_TRUE(Prune({.keep_last = 1}).kept.empty());
}

TEST_F(PruneTest, ASaveThatIsDurablePrunesAsTold) {
  const RetentionPolicy policy{.keep_last = 2};
  for (uint64_t step : {10, 20, 30}) {
    const auto report = Save(store_, State(step), {.step = step, .retention = policy});
    ASSERT_TRUE(report) << report.error().message;
    ASSERT_TRUE(report->pruned);
    EXPECT_EQ(report->pruned->removed.size(), step == 30 ? 1u : 0u);
  }
  const SaveOptions other_rank{.step = 40, .rank = 1, .world_size = 2, .retention = policy};
  EXPECT_FALSE(Save(store_, State(40), other_rank)->pruned);
  EXPECT_EQ(store_.List()->size(), 3u);
  const SaveOptions senseless{.step = 50, .retention = RetentionPolicy{.keep_last = 0}};
  EXPECT_EQ(Save(store_, State(50), senseless).error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(store_.List()->size(), 3u);
}

// Between choosing a base and linking to it, another process may thin or overwrite it.
TEST_F(PruneTest, ALinkToAReplacedBaseIsNoticed) {
  SaveStep(1);
  const StoreLocation location{"/s", &fs_};
  const SaveOptions options{.step = 2};
  {
    auto pending = PendingFile::Create(location, options);
    ASSERT_TRUE(pending);
    const auto base = location.StepFolder(1) / RankFileName({});
    EXPECT_EQ(pending->LinkBase({1, {}}, base).error().kind, ErrorKind::kMissingBase);
  }
  EXPECT_EQ(*fs_.Type("/s/step-00000002"), FileType::kNone);
}

// Its own step is pruned, and a kept delta has its link.
TEST_F(PruneTest, ABaseCountsWhileADeltaHasItsLink) {
  Contents state = State(10);
  const RetentionPolicy policy{.keep_last = 2};
  ASSERT_TRUE(Save(store_, state, {.step = 10, .retention = policy}));
  for (uint64_t step = 20; step <= 60; step += 10) {
    state = Step(state, step);
    const auto report = Save(store_, state, {.step = step, .retention = policy});
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->base_step, 10u) << report->base_reason;
    ExpectStep(store_, step, state);
  }
  EXPECT_EQ(fs_.Type("/s/step-00000010"), FileType::kNone);
}

}  // namespace
}  // namespace bitsnap
