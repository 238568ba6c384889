// Rank files that come from other directories.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "io/test_directory.h"
#include "store/store_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;
namespace fs = std::filesystem;

std::vector<std::byte> Content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

class Adopt : public testing::Test {
 protected:
  // Rank 1 of 2 in steps 10, a base, and 20, its delta.
  void SetUp() override {
    for (const uint64_t step : {10, 20}) {
      SaveOptions options{.step = step, .rank = 1, .world_size = 2, .save_id = step + 7};
      ASSERT_TRUE(Save(from_, step == 10 ? first_ : second_, options));
    }
    const auto files = from_.FilesOf(kDelta);
    ASSERT_TRUE(files) << files.error().message;
    ASSERT_EQ(files->size(), 2u);
    delta_ = Content((*files)[0].path);
    base_ = Content((*files)[1].path);
  }

  void ExpectDelta(const Store& store) {
    const auto snapshot = store.OpenRank(kDelta);
    ASSERT_TRUE(snapshot) << snapshot.error().message;
    EXPECT_EQ(snapshot->save_id(), 27u);
    ExpectSame(*ReadAll(*snapshot), second_);
  }

  static constexpr RankOfStep kDelta{20, 1, 2};
  const TestDirectory directory_;
  Store from_ = *Store::OpenOrCreate(directory_.path() / "from");
  Store to_ = *Store::OpenOrCreate(directory_.path() / "to");
  const Contents first_ = SmallState(), second_ = Step(first_, 2);
  std::vector<std::byte> delta_, base_;
};

TEST_F(Adopt, OneRankOfAStepThatIsNotWholeHere) {
  EXPECT_EQ(from_.OpenStep(20, 1).error().kind, ErrorKind::kNotFound);
  ExpectDelta(from_);
  const auto ranks = *from_.ListRanks();
  ASSERT_EQ(ranks.size(), 2u);
  EXPECT_EQ(ranks[1].step, 20u);
  EXPECT_EQ(ranks[1].rank, 1u);
  EXPECT_EQ(ranks[1].world_size, 2u);
  EXPECT_EQ(from_.OpenRank({20, 0, 2}).error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(from_.FilesOf({30, 0, 2}).error().kind, ErrorKind::kNotFound);
}

TEST_F(Adopt, ADeltaAndItsBaseIntoAnEmptyStore) {
  const auto adopted = to_.Adopt(delta_, base_);
  ASSERT_TRUE(adopted) << adopted.error().message;
  EXPECT_TRUE(Content(adopted->path) == delta_);
  EXPECT_EQ(adopted->base_step, 10u);
  ExpectDelta(to_);
  EXPECT_EQ(to_.ListRanks()->size(), 1u);  // the base lies beside, not as a step of its own
}

TEST_F(Adopt, LinksToABaseThatIsThere) {
  ASSERT_TRUE(to_.Adopt(base_));
  ASSERT_TRUE(to_.Adopt(delta_, base_));
  ExpectDelta(to_);
  EXPECT_EQ(fs::hard_link_count(to_.directory() / "step-00000010/rank-00001-of-00002.bsnap"), 2u);
}

TEST_F(Adopt, ReplacesADamagedFile) {
  const fs::path path = from_.FilesOf(kDelta)->front().path;
  fs::resize_file(path, fs::file_size(path) / 2);
  EXPECT_FALSE(from_.OpenRank(kDelta));
  ASSERT_TRUE(from_.Adopt(delta_, base_));
  ExpectDelta(from_);
}

TEST_F(Adopt, SaysWhatACopyIs) {
  const auto delta = CheckRankFile(delta_), base = CheckRankFile(base_);
  ASSERT_TRUE(delta && base);
  EXPECT_EQ(delta->save_id, 27u);
  EXPECT_EQ(delta->id.rank, 1u);
  EXPECT_EQ(delta->bytes, delta_.size());
  EXPECT_EQ(delta->base_hash, base->hash);
  EXPECT_EQ(base->base_step, std::nullopt);
  EXPECT_NE(delta->hash, base->hash);
}

// A store that says so counts as whole what it has; pruning needs to know what the others have.
TEST_F(Adopt, PartialStores) {
  SaveOptions third{.step = 30, .rank = 1, .world_size = 2, .save_id = 37};
  ASSERT_TRUE(Save(from_, second_, third));
  const auto before = *from_.List();
  for (const StepInfo& step : before) EXPECT_FALSE(step.whole);
  EXPECT_TRUE(from_.Prune({.keep_last = 1})->kept.empty());

  std::ofstream(from_.directory() / "PARTIAL") << "text for people\n";
  const auto after = *from_.List();
  for (const StepInfo& step : after) EXPECT_TRUE(step.whole) << step.why_not;
  EXPECT_TRUE(from_.Verify()->broken.empty());
  EXPECT_TRUE(from_.Repair({.min_age = std::chrono::seconds(0)})->left.empty());
  EXPECT_EQ(from_.ListRanks()->size(), 3u);
  EXPECT_EQ(from_.Prune({.keep_last = 1}).error().kind, ErrorKind::kInvalidArgument);

  const auto steps = [&] {
    std::vector<uint64_t> numbers;
    const auto ranks = *from_.ListRanks();
    for (const RankOfStep& id : ranks) numbers.push_back(id.step);
    return numbers;
  };
  // Step 30 is not everywhere yet: it stays, and so does the newest one that is.
  const auto pruned = from_.Prune({.keep_last = 1, .whole_up_to = 20});
  ASSERT_TRUE(pruned) << pruned.error().message;
  EXPECT_EQ(steps(), (std::vector<uint64_t>{20, 30}));
  ASSERT_TRUE(from_.Prune({.keep_last = 1, .whole_up_to = 5}));
  EXPECT_EQ(steps(), (std::vector<uint64_t>{20, 30}));
  ASSERT_TRUE(from_.Prune({.keep_last = 1, .whole_up_to = 30}));
  EXPECT_EQ(steps(), (std::vector<uint64_t>{30}));
}

TEST_F(Adopt, LatestOfAPartialStoreIsTheNewestStepThatIsSoundThere) {
  const auto latest = [](const Store& store) {
    std::string name;
    std::ifstream(store.directory() / "LATEST") >> name;
    return name;
  };
  EXPECT_EQ(latest(from_), "");  // half of each step is missing
  for (const Store& store : {from_, to_}) std::ofstream(store.directory() / "PARTIAL");
  const SaveOptions third{.step = 30, .rank = 1, .world_size = 2, .save_id = 37};
  ASSERT_TRUE(Save(from_, second_, third));
  EXPECT_EQ(latest(from_), "step-00000030");
  ASSERT_TRUE(to_.Adopt(delta_, base_));
  EXPECT_EQ(latest(to_), "step-00000020");
  EXPECT_TRUE(
      from_.Repair({.min_age = std::chrono::seconds(0), .dry_run = true})->repaired.empty());
}

// The store stays empty, whichever byte is wrong.
TEST_F(Adopt, RefusesDamagedCopies) {
  for (size_t at = 0; at < delta_.size(); at += 1009) {
    delta_[at] ^= std::byte{4};
    EXPECT_FALSE(CheckRankFile(delta_)) << at;
    EXPECT_FALSE(to_.Adopt(delta_, base_)) << at;
    delta_[at] ^= std::byte{4};
    const auto cut = std::span(delta_).first(at);
    EXPECT_FALSE(CheckRankFile(cut)) << at;
    EXPECT_FALSE(to_.Adopt(cut, base_)) << at;
  }
  for (size_t at = 0; at < base_.size(); at += 30011) {
    base_[at] ^= std::byte{4};
    EXPECT_FALSE(to_.Adopt(delta_, base_)) << at;
    base_[at] ^= std::byte{4};
  }
  EXPECT_EQ(to_.Adopt(delta_).error().kind, ErrorKind::kMissingBase);
  EXPECT_EQ(to_.Adopt(delta_, delta_).error().kind, ErrorKind::kMissingBase);
  EXPECT_TRUE(fs::is_empty(to_.directory()));
  ASSERT_TRUE(to_.Adopt(delta_, base_));
}

}  // namespace
}  // namespace bitsnap
