#include <bitsnap/store.h>

#include <gtest/gtest.h>

#include "io/memory.h"
#include "store/layout.h"
#include "store/store_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;

class StoreTest : public testing::Test {
 protected:
  Store store() { return *Store::OpenOrCreate("/runs/a", &fs_); }

  std::vector<std::string> Files(std::string_view folder) {
    return *fs_.List(std::filesystem::path("/runs/a") / folder);
  }

  std::vector<std::byte> FileBytes(const std::filesystem::path& path) {
    const auto file = *fs_.Open(std::filesystem::path("/runs/a") / path);
    std::vector<std::byte> bytes(file->size());
    EXPECT_TRUE(file->Read(0, bytes));
    return bytes;
  }

  void Replace(const std::filesystem::path& path, Bytes bytes) {
    const auto full = std::filesystem::path("/runs/a") / path;
    ASSERT_TRUE(fs_.Remove(full));
    auto file = fs_.Create(full);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->Append(bytes));
    ASSERT_TRUE((*file)->Close());
  }

  MemoryFileSystem fs_;
};

constexpr Profile kLossless[] = {Profile::kExact, Profile::kFast};

TEST_F(StoreTest, GivesBackEveryBitAloneAndAsDelta) {
  for (Profile profile : kLossless) {
    Store store = *Store::OpenOrCreate(std::string("/") + std::string(ProfileName(profile)), &fs_);
    const Contents first = SmallState(), second = Step(first, 2);
    const auto base = Save(store, first, {.step = 10, .profile = profile});
    ASSERT_TRUE(base) << base.error().message;
    EXPECT_FALSE(base->base_step);
    const auto delta = Save(store, second, {.step = 20, .profile = profile});
    ASSERT_TRUE(delta) << delta.error().message;
    EXPECT_EQ(delta->base_step, 10u) << delta->base_reason;
    EXPECT_LT(delta->stored_bytes, base->stored_bytes / 10);
    ExpectStep(store, 10, first);
    ExpectStep(store, 20, second);
  }
}

TEST_F(StoreTest, ReportsWhatTheStepAddedOnDisk) {
  Store store = this->store();
  const Contents state = SmallState();
  const SaveReport report = *Save(store, state, {.step = 10});
  EXPECT_EQ(report.stored_bytes, FileBytes("step-00000010/rank-00000-of-00001.bsnap").size());
  uint64_t raw = 0, stored = 0;
  for (const auto& [role, bytes] : report.roles) {
    raw += bytes.raw_bytes;
    stored += bytes.stored_bytes;
  }
  EXPECT_EQ(raw, report.raw_bytes);
  EXPECT_LT(stored, report.stored_bytes);
  EXPECT_GT(stored, report.stored_bytes - 2000);
}

TEST_F(StoreTest, WritesTheSameBytesForAnyNumberOfThreads) {
  const Contents first = SmallState(), second = Step(first, 2);
  std::vector<std::vector<std::byte>> files;
  for (unsigned threads : {1u, 2u, 5u}) {
    MemoryFileSystem fs;
    Store store = *Store::OpenOrCreate("/s", &fs);
    ASSERT_TRUE(Save(store, first, {.step = 1, .threads = threads}));
    ASSERT_TRUE(Save(store, second, {.step = 2, .threads = threads}));
    for (const char* step : {"step-00000001", "step-00000002"}) {
      const auto file = *fs.Open(std::filesystem::path("/s") / step / "rank-00000-of-00001.bsnap");
      files.emplace_back(file->size());
      ASSERT_TRUE(file->Read(0, files.back()));
    }
  }
  for (size_t i = 2; i < files.size(); ++i) EXPECT_TRUE(files[i] == files[i % 2]);
}

TEST_F(StoreTest, KeepsABaseBesideItsDelta) {
  Store store = this->store();
  const Contents first = SmallState(), second = Step(first, 2);
  ASSERT_TRUE(Save(store, first, {.step = 10}));
  ASSERT_TRUE(Save(store, second, {.step = 20}));
  EXPECT_EQ(Files("step-00000020"),
            (std::vector<std::string>{"rank-00000-of-00001.base-00000010.bsnap",
                                      "rank-00000-of-00001.bsnap"}));
  ASSERT_TRUE(fs_.Remove("/runs/a/step-00000010/rank-00000-of-00001.bsnap"));
  ASSERT_TRUE(fs_.Remove("/runs/a/step-00000010"));
  ExpectStep(store, 20, second);
}

TEST_F(StoreTest, FindsTheBaseInItsOwnStepWhenTheLinkIsGone) {
  Store store = this->store();
  const Contents first = SmallState(), second = Step(first, 2);
  ASSERT_TRUE(Save(store, first, {.step = 10}));
  ASSERT_TRUE(Save(store, second, {.step = 20}));
  ASSERT_TRUE(fs_.Remove("/runs/a/step-00000020/rank-00000-of-00001.base-00000010.bsnap"));
  ExpectStep(store, 20, second);
  ASSERT_TRUE(fs_.Remove("/runs/a/step-00000010/rank-00000-of-00001.bsnap"));
  const auto snapshot = store.OpenStep(20);
  ASSERT_FALSE(snapshot);
  EXPECT_EQ(snapshot.error().kind, ErrorKind::kMissingBase);
  EXPECT_NE(snapshot.error().message.find("step 10"), std::string::npos);
}

TEST_F(StoreTest, RefusesABaseThatWasReplaced) {
  Store store = this->store();
  const Contents first = SmallState(), second = Step(first, 2);
  ASSERT_TRUE(Save(store, first, {.step = 10}));
  ASSERT_TRUE(Save(store, second, {.step = 20}));
  ASSERT_TRUE(fs_.Remove("/runs/a/step-00000020/rank-00000-of-00001.base-00000010.bsnap"));
  ASSERT_TRUE(Save(store, SmallState(9), {.step = 10, .overwrite = true}));
  const auto snapshot = store.OpenStep(20);
  ASSERT_FALSE(snapshot);
  EXPECT_EQ(snapshot.error().kind, ErrorKind::kMissingBase);
}

TEST_F(StoreTest, OverwritingABaseLeavesItsDeltasReadable) {
  Store store = this->store();
  const Contents first = SmallState(), second = Step(first, 2), other = SmallState(9);
  ASSERT_TRUE(Save(store, first, {.step = 10}));
  ASSERT_TRUE(Save(store, second, {.step = 20}));
  ASSERT_TRUE(Save(store, other, {.step = 10, .overwrite = true}));
  ExpectStep(store, 10, other);
  ExpectStep(store, 20, second);
}

TEST_F(StoreTest, WritesANewBaseWhereADeltaWouldNotPay) {
  Store store = this->store();
  ASSERT_TRUE(Save(store, SmallState(1), {.step = 10}));
  const auto report = Save(store, SmallState(2), {.step = 20});
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->base_step);
  EXPECT_NE(report->base_reason.find("less than a twentieth"), std::string::npos);
  EXPECT_EQ(Files("step-00000020").size(), 1u);  // no link left
}

TEST_F(StoreTest, LeansOnlyOnStepsThatStandAlone) {
  Store store = this->store();
  Contents state = SmallState();
  ASSERT_TRUE(Save(store, state, {.step = 10}));
  for (uint64_t step = 20; step <= 50; step += 10) {
    state = Step(state, step);
    EXPECT_EQ(Save(store, state, {.step = step})->base_step, 10u);
  }
  ExpectStep(store, 50, state);
  const BaseChoice delta{BaseChoice::Kind::kStep, 20};
  const auto refused = Save(store, state, {.step = 60, .base = delta});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kInvalidArgument);
  const BaseChoice absent{BaseChoice::Kind::kStep, 15};
  EXPECT_EQ(Save(store, state, {.step = 60, .base = absent}).error().kind, ErrorKind::kMissingBase);
  const BaseChoice none{BaseChoice::Kind::kNone, 0};
  EXPECT_FALSE(Save(store, state, {.step = 60, .base = none})->base_step);
}

TEST_F(StoreTest, StandsAloneWhenTheBaseIsDamaged) {
  Store store = this->store();
  const Contents first = SmallState(), second = Step(first, 2);
  ASSERT_TRUE(Save(store, first, {.step = 10}));
  auto bytes = FileBytes("step-00000010/rank-00000-of-00001.bsnap");
  for (size_t i = 64; i < bytes.size() / 2; ++i) bytes[i] ^= std::byte{1};
  Replace("step-00000010/rank-00000-of-00001.bsnap", bytes);
  const BaseChoice asked{BaseChoice::Kind::kStep, 10};
  for (const BaseChoice& base : {BaseChoice{}, asked}) {
    const auto report = Save(store, second, {.step = 20, .base = base, .overwrite = true});
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_FALSE(report->base_step);
    ExpectStep(store, 20, second);
  }
}

TEST_F(StoreTest, AnUnchangedTensorAndATiedOneCostNothing) {
  Store store = this->store();
  Contents state = SmallState();
  state.push_back({{"model.tied", DType::kBF16, {state[0].second.size() / 2}}, state[0].second});
  const auto base = Save(store, state, {.step = 1});
  EXPECT_EQ(store.OpenStep(1)->tensors().back().stored_bytes, 0u);
  const auto report = Save(store, state, {.step = 2});
  ASSERT_TRUE(report);
  EXPECT_LT(report->stored_bytes, 1000u);
  const auto snapshot = store.OpenStep(2);
  for (const StoredTensor& tensor : snapshot->tensors()) {
    EXPECT_EQ(tensor.stored_bytes, 0u) << tensor.info.name;
  }
  ExpectStep(store, 1, state);
  ExpectStep(store, 2, state);
}

TEST_F(StoreTest, ReadsAnyRangeOfATensor) {
  Store store = this->store();
  const Contents first = SmallState(), second = Step(first, 2);
  ASSERT_TRUE(Save(store, first, {.step = 10}));
  ASSERT_TRUE(Save(store, second, {.step = 20}));
  const auto snapshot = store.OpenStep(20);
  ASSERT_TRUE(snapshot);
  const auto& [info, bytes] = second[0];
  const size_t tensor = *snapshot->Find(info.name);
  const size_t sizes[] = {0, 1, 1000, 262144, 262145, bytes.size()};
  for (size_t begin : {size_t{0}, size_t{1}, size_t{262143}, size_t{262144}, bytes.size()}) {
    for (size_t size : sizes) {
      if (begin + size > bytes.size()) continue;
      std::vector<std::byte> out(size);
      const ReadRequest request{tensor, begin, out};
      ASSERT_TRUE(snapshot->Read({&request, 1}));
      EXPECT_TRUE(std::equal(out.begin(), out.end(), bytes.begin() + begin));
    }
  }
  std::vector<std::byte> out(2);
  const ReadRequest beyond[] = {
      {tensor, bytes.size() - 1, out}, {tensor, UINT64_MAX, out}, {99, 0, out}};
  for (const ReadRequest& request : beyond) {
    EXPECT_EQ(snapshot->Read({&request, 1}).error().kind, ErrorKind::kInvalidArgument);
  }
}

TEST_F(StoreTest, KeepsMetadataRolesAndReasons) {
  Store store = this->store();
  ASSERT_TRUE(Save(store, SmallState(), {.step = 1, .metadata = std::string("{\0}", 3)}));
  const auto snapshot = store.OpenStep(1);
  EXPECT_EQ(snapshot->metadata(), std::string_view("{\0}", 3));
  EXPECT_EQ(snapshot->profile(), "exact");
  EXPECT_EQ(snapshot->tensors()[0].info.role, Role::kWeight);
  EXPECT_EQ(snapshot->tensors()[1].info.role, Role::kExpAvg);
  EXPECT_EQ(snapshot->tensors()[1].info.group, "w");
  for (const StoredTensor& tensor : snapshot->tensors()) EXPECT_FALSE(tensor.why.empty());
}

TEST_F(StoreTest, PaperMeasuresWhatItLosesAndKeepsWeights) {
  Store store = this->store();
  const Contents state = SmallState();
  ASSERT_TRUE(Save(store, state, {.step = 1, .profile = Profile::kPaper}));
  const auto snapshot = store.OpenStep(1);
  const auto got = ReadAll(*snapshot);
  EXPECT_TRUE((*got)[0].second == state[0].second);
  EXPECT_TRUE(snapshot->tensors()[0].error.empty());
  EXPECT_FALSE((*got)[1].second == state[1].second);
  ASSERT_EQ(snapshot->tensors()[1].error.size(), 3u);
  double squared = 0;
  const size_t count = state[1].second.size() / 4;
  for (size_t i = 0; i < count; ++i) {
    float x, y;
    std::memcpy(&x, state[1].second.data() + 4 * i, 4);
    std::memcpy(&y, (*got)[1].second.data() + 4 * i, 4);
    squared += (double{x} - y) * (double{x} - y);
  }
  EXPECT_EQ(snapshot->tensors()[1].error[0].name, "mse");
  EXPECT_NEAR(snapshot->tensors()[1].error[0].value, squared / static_cast<double>(count), 1e-18);
  EXPECT_TRUE(snapshot->Verify());
}

TEST_F(StoreTest, AStepIsWholeOnlyWithAllItsRanks) {
  Store store = this->store();
  const Contents state = SmallState();
  for (uint32_t rank : {0u, 2u}) {
    ASSERT_TRUE(Save(store, state, {.step = 5, .rank = rank, .world_size = 3}));
    EXPECT_FALSE(store.OpenStep(5, rank));
    EXPECT_FALSE(fs_.Open("/runs/a/LATEST"));
  }
  EXPECT_NE((*store.List())[0].why_not.find("rank 1 of 3 is missing"), std::string::npos);
  ASSERT_TRUE(Save(store, state, {.step = 5, .rank = 1, .world_size = 3}));
  ExpectStep(store, 5, state, 2);
  EXPECT_TRUE(fs_.Open("/runs/a/LATEST"));
  EXPECT_EQ(store.OpenStep(5, 3).error().kind, ErrorKind::kInvalidArgument);
}

TEST_F(StoreTest, RanksOfDifferentSavesAreNotWhole) {
  Store store = this->store();
  const Contents state = SmallState();
  for (uint32_t rank : {0u, 1u}) {
    ASSERT_TRUE(Save(store, state, {.step = 5, .rank = rank, .world_size = 2, .save_id = 7}));
  }
  EXPECT_TRUE(store.OpenStep(5));
  ASSERT_TRUE(
      Save(store, state, {.step = 5, .rank = 0, .world_size = 2, .save_id = 8, .overwrite = true}));
  EXPECT_FALSE(store.OpenStep(5));
  ASSERT_TRUE(
      Save(store, state, {.step = 5, .rank = 1, .world_size = 2, .save_id = 8, .overwrite = true}));
  EXPECT_TRUE(store.OpenStep(5));
}

TEST_F(StoreTest, RefusesAnExistingStepAndAnotherWorldSize) {
  Store store = this->store();
  const Contents state = SmallState();
  ASSERT_TRUE(Save(store, state, {.step = 5}));
  const auto before = FileBytes("step-00000005/rank-00000-of-00001.bsnap");
  EXPECT_EQ(Save(store, state, {.step = 5}).error().kind, ErrorKind::kAlreadyExists);
  EXPECT_EQ(Save(store, state, {.step = 5, .world_size = 2}).error().kind,
            ErrorKind::kInvalidArgument);
  EXPECT_TRUE(FileBytes("step-00000005/rank-00000-of-00001.bsnap") == before);
  for (uint32_t rank : {0u, 1u}) {
    ASSERT_TRUE(Save(store, state, {.step = 5, .rank = rank, .world_size = 2, .overwrite = true}));
  }
  EXPECT_EQ(Files("step-00000005").size(), 2u);
  ExpectStep(store, 5, state, 1);
}

TEST_F(StoreTest, NeverReplacesOrRemovesWhatAnotherProcessSavedMeanwhile) {
  Store store = this->store();
  ASSERT_TRUE(Save(store, SmallState(2), {.step = 2}));
  const auto save_while_other_commits = [&](uint64_t step, const char* name) {
    const Progress other_commits = [&](uint64_t, uint64_t) {
      (void)fs_.Link("/runs/a/step-00000002/rank-00000-of-00001.bsnap",
                     "/runs/a" / std::filesystem::path(name));
      return true;
    };
    return Save(store, SmallState(1), {.step = step, .progress = other_commits});
  };
  const char* const same = "step-00000003/rank-00000-of-00001.bsnap";
  EXPECT_EQ(save_while_other_commits(3, same).error().kind, ErrorKind::kAlreadyExists);
  EXPECT_EQ(FileBytes(same), FileBytes("step-00000002/rank-00000-of-00001.bsnap"));
  EXPECT_EQ(Files("step-00000003").size(), 1u);  // and no temporary file
  EXPECT_TRUE(save_while_other_commits(4, "step-00000004/rank-00000-of-00002.bsnap"));
  EXPECT_EQ(Files("step-00000004").size(), 2u);
}

TEST_F(StoreTest, RefusesBadInputAndStaysAsItWas) {
  Store store = this->store();
  const Contents good = SmallState();
  Contents twice = good, short_bytes = good, nameless = good;
  twice.push_back(good[0]);
  short_bytes[0].second.pop_back();
  nameless[0].first.name.clear();
  for (const Contents& bad : {twice, short_bytes, nameless}) {
    EXPECT_EQ(Save(store, bad, {.step = 1}).error().kind, ErrorKind::kInvalidArgument);
  }
  EXPECT_EQ(Save(store, good, {.step = 1, .rank = 1}).error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(Save(store, good, {.step = 1, .world_size = 0}).error().kind,
            ErrorKind::kInvalidArgument);
  EXPECT_TRUE(Files("").empty());
}

TEST_F(StoreTest, RestoresTheNewestStepThatIsSound) {
  Store store = this->store();
  std::vector<Contents> states = {SmallState()};
  for (uint64_t step = 1; step <= 4; ++step) {
    ASSERT_TRUE(Save(store, states.back(), {.step = step, .base = {BaseChoice::Kind::kNone}}));
    states.push_back(Step(states.back(), step));
  }
  // Step 4 ends early; in step 3 a block is damaged, which only reading tells.
  const auto four = FileBytes("step-00000004/rank-00000-of-00001.bsnap");
  Replace("step-00000004/rank-00000-of-00001.bsnap", Bytes(four).first(four.size() / 2));
  auto three = FileBytes("step-00000003/rank-00000-of-00001.bsnap");
  three[three.size() / 3] ^= std::byte{4};
  Replace("step-00000003/rank-00000-of-00001.bsnap", three);

  std::vector<PassedOver> passed_over;
  Contents got;
  const auto step = store.RestoreNewest(
      0,
      [&](const Snapshot& snapshot) -> Result<void> {
        auto contents = ReadAll(snapshot);
        if (!contents) return tl::make_unexpected(contents.error());
        got = *contents;
        return {};
      },
      &passed_over);
  ASSERT_TRUE(step) << step.error().message;
  EXPECT_EQ(*step, 2u);
  ExpectSame(got, states[1]);
  ASSERT_EQ(passed_over.size(), 2u);
  EXPECT_EQ(passed_over[0].step, 4u);
  EXPECT_EQ(passed_over[1].step, 3u);
  EXPECT_EQ(passed_over[1].error.kind, ErrorKind::kCorrupt);
}

// As when a training that keeps only its newest step goes on while another process restores.
TEST_F(StoreTest, RestoresANewerStepWhenThoseListedWerePruned) {
  Store store = this->store();
  const Contents state = SmallState();
  ASSERT_TRUE(Save(store, state, {.step = 1}));
  std::vector<uint64_t> tried;
  std::vector<PassedOver> passed_over;
  const auto use = [&](const Snapshot& snapshot) -> Result<void> {
    tried.push_back(snapshot.step());
    if (snapshot.step() != 1) return {};
    EXPECT_TRUE(Save(store, state, {.step = 2, .base = {BaseChoice::Kind::kNone}}));
    EXPECT_TRUE(store.Prune({.keep_last = 1}));
    return Fail(ErrorKind::kIo, "gone");
  };
  EXPECT_EQ(store.RestoreNewest(0, use, &passed_over), 2u);
  EXPECT_EQ(tried, (std::vector<uint64_t>{1, 2}));
  EXPECT_TRUE(passed_over.empty());
}

TEST_F(StoreTest, RestoreEndsAtTheCallersOwnErrors) {
  Store store = this->store();
  ASSERT_TRUE(Save(store, SmallState(), {.step = 1}));
  ASSERT_TRUE(Save(store, SmallState(), {.step = 2}));
  int calls = 0;
  const auto step = store.RestoreNewest(0, [&](const Snapshot&) -> Result<void> {
    ++calls;
    return Fail(ErrorKind::kInvalidArgument, "shapes differ");
  });
  EXPECT_EQ(step.error().message, "shapes differ");
  EXPECT_EQ(calls, 1);
}

TEST_F(StoreTest, AnEmptyStoreHasNothingToRestore) {
  const auto use = [](const Snapshot&) -> Result<void> { return {}; };
  EXPECT_EQ(store().RestoreNewest(0, use).error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(store().OpenStep(3).error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(store().OpenStep(3).error().message, "/runs/a: has no step 3");
  EXPECT_TRUE(store().List()->empty());
  EXPECT_EQ(Store::Open("/elsewhere", &fs_).error().kind, ErrorKind::kNotFound);
  ASSERT_TRUE(fs_.Create("/file"));
  EXPECT_EQ(Store::Open("/file", &fs_).error().kind, ErrorKind::kInvalidArgument);
  EXPECT_FALSE(Store::OpenOrCreate("/file/under", &fs_));
}

TEST_F(StoreTest, IgnoresForeignFilesAndFolders) {
  Store store = this->store();
  ASSERT_TRUE(Save(store, SmallState(), {.step = 1}));
  for (const char* name : {"step-1", "step-00000002x", "step-000000003", "notes"}) {
    ASSERT_TRUE(fs_.CreateDirectory(std::filesystem::path("/runs/a") / name));
  }
  ASSERT_TRUE(fs_.Create("/runs/a/step-00000001/rank-00001-of-00001.bsnap"));
  ASSERT_TRUE(fs_.Create("/runs/a/step-00000001/rank-0-of-1.bsnap"));
  EXPECT_EQ(store.List()->size(), 1u);
  EXPECT_TRUE(store.OpenStep(1));
}

TEST_F(StoreTest, ARenamedStepIsNotTakenForAnother) {
  Store store = this->store();
  ASSERT_TRUE(Save(store, SmallState(), {.step = 1}));
  ASSERT_TRUE(fs_.Rename("/runs/a/step-00000001", "/runs/a/step-00000009"));
  EXPECT_EQ(store.OpenStep(9).error().kind, ErrorKind::kCorrupt);
}

TEST_F(StoreTest, ARenamedRankIsNotTakenForAnother) {
  Store store = this->store();
  for (const uint32_t rank : {0u, 1u}) {
    ASSERT_TRUE(Save(store, SmallState(rank), {.step = 1, .rank = rank, .world_size = 2}));
  }
  const std::string folder = "/runs/a/step-00000001/", first = folder + "rank-00000-of-00002.bsnap";
  ASSERT_TRUE(fs_.Remove(first));
  ASSERT_TRUE(fs_.Link(folder + "rank-00001-of-00002.bsnap", first));
  EXPECT_EQ(store.OpenStep(1, 0).error().kind, ErrorKind::kCorrupt);
  const std::string alone = folder + "rank-00000-of-00001.bsnap";
  ASSERT_TRUE(fs_.Rename(first, alone));
  EXPECT_EQ(store.OpenStep(1, 0).error().kind, ErrorKind::kCorrupt);
}

TEST_F(StoreTest, CancellingASaveLeavesNothingBehind) {
  Store store = this->store();
  const auto report =
      Save(store, SmallState(), {.step = 1, .progress = [](uint64_t, uint64_t) { return false; }});
  EXPECT_EQ(report.error().kind, ErrorKind::kCancelled);
  EXPECT_TRUE(Files("").empty());
}

TEST_F(StoreTest, ProgressEndsAtTheTotal) {
  Store store = this->store();
  uint64_t last = 0, all = 0;
  const Progress progress = [&](uint64_t done, uint64_t total) {
    EXPECT_LE(last, done);
    last = done;
    all = total;
    return true;
  };
  const auto report = Save(store, SmallState(), {.step = 1, .progress = progress});
  EXPECT_EQ(last, report->raw_bytes);
  EXPECT_EQ(all, report->raw_bytes);
  last = 0;
  ASSERT_TRUE(store.Verify({}, 1, progress));
  EXPECT_EQ(last, report->raw_bytes);
}

TEST_F(StoreTest, VerifyFindsEveryKindOfDamage) {
  Store store = this->store();
  Contents state = SmallState();
  for (uint64_t step = 1; step <= 4; ++step) {
    ASSERT_TRUE(Save(store, state, {.step = step, .base = {BaseChoice::Kind::kNone}}));
  }
  EXPECT_TRUE(store.Verify()->broken.empty());
  EXPECT_EQ(store.Verify()->files, 4u);
  auto damaged = FileBytes("step-00000001/rank-00000-of-00001.bsnap");
  damaged[100] ^= std::byte{1};
  Replace("step-00000001/rank-00000-of-00001.bsnap", damaged);
  Replace("step-00000002/rank-00000-of-00001.bsnap", Bytes(damaged).first(99));
  ASSERT_TRUE(fs_.Remove("/runs/a/step-00000003/rank-00000-of-00001.bsnap"));
  const auto report = store.Verify();
  ASSERT_EQ(report->broken.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(report->broken[i].step, i + 1);
  EXPECT_TRUE(store.Verify(4)->broken.empty());
  EXPECT_EQ(store.Verify(7).error().kind, ErrorKind::kNotFound);
}

TEST_F(StoreTest, LatestNamesTheNewestWholeStep) {
  Store store = this->store();
  const auto latest = [&] {
    const auto bytes = FileBytes("LATEST");
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  ASSERT_TRUE(Save(store, SmallState(), {.step = 5}));
  EXPECT_EQ(latest(), "step-00000005\n");
  ASSERT_TRUE(Save(store, SmallState(), {.step = 3}));
  EXPECT_EQ(latest(), "step-00000005\n");
  ASSERT_TRUE(Save(store, SmallState(), {.step = 12}));
  EXPECT_EQ(latest(), "step-00000012\n");
  EXPECT_EQ(Files("").size(), 4u);
}

TEST(Layout, NamesRoundTripAndNothingElseParses) {
  for (uint64_t step : {uint64_t{0}, uint64_t{500}, uint64_t{123456789}, UINT64_MAX}) {
    EXPECT_EQ(ParseStepFolderName(StepFolderName(step)), step);
  }
  for (const char* name : {"step-", "step-5", "step-0000000a", "step--0000001", "step-000000001",
                           "step-99999999999999999999", "xstep-00000001"}) {
    EXPECT_FALSE(ParseStepFolderName(name)) << name;
  }
  const RankFileId id{7, 123456};
  EXPECT_EQ(ParseRankFileName(RankFileName(id)), id);
  for (const char* name : {"rank-00001-of-00001.bsnap", "rank-0-of-1.bsnap", "rank-00000-of-00001",
                           "rank-00000-of-00001.base-00000010.bsnap",
                           ".rank-00000-of-00001.bsnap.tmp-1-1", "rank-00000-of-00001.bsnap.bak"}) {
    EXPECT_FALSE(ParseRankFileName(name)) << name;
  }
  EXPECT_TRUE(IsBaseLinkOf(BaseLinkName(id, 3), id));
  EXPECT_EQ(RankOfTemporary(TemporaryName(RankFileName(id))), id);
  EXPECT_EQ(RankOfTemporary(TemporaryName(BaseLinkName(id, 5))), id);
  EXPECT_FALSE(RankOfTemporary(TemporaryName("LATEST")));
  const std::string hash = "0123456789abcdef0123456789abcdef";
  EXPECT_EQ(BaseLinkName(id, 5, hash).find(".base-00000005-0123456789abcdef.bsnap"),
            RankFileName(id).size() - 6);
  EXPECT_EQ(ParseBaseLinkName(BaseLinkName(id, 5, hash))->base_step, 5u);
  for (const char* ending : {"-.bsnap", "-0123.bsnap", "-0123456789abcdeX.bsnap"}) {
    EXPECT_FALSE(ParseBaseLinkName("rank-00000-of-00001.base-00000005" + std::string(ending)));
  }
}

}  // namespace
}  // namespace bitsnap
