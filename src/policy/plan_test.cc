#include "policy/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "policy/relations.h"

namespace bitsnap {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TensorInfo Info(DType dtype, Role role) {
  return {.name = "t", .dtype = dtype, .shape = {1}, .role = role};
}

void ForEveryTensor(const std::function<void(Profile, const TensorInfo&, const Leanings&)>& body) {
  for (Profile profile : AllProfiles()) {
    for (size_t dtype = 0; dtype < kDTypeCount; ++dtype) {
      for (size_t role = 0; role < kRoleCount; ++role) {
        for (bool base : {false, true}) {
          const TensorInfo info = Info(static_cast<DType>(dtype), static_cast<Role>(role));
          body(profile, info, {base, info.role == Role::kMaster && info.dtype == DType::kF32});
        }
      }
    }
  }
}

UnitPlan PlanOne(Profile profile, const TensorInfo& info, const Leanings& leanings) {
  const TensorInfo* one = &info;
  return PlanUnit(profile, {&one, 1}, leanings);
}

UnitPlan PlanMoments(Profile profile, const Leanings& leanings) {
  const TensorInfo v = Info(DType::kF32, Role::kExpAvgSq), m = Info(DType::kF32, Role::kExpAvg);
  const TensorInfo* both[] = {&v, &m};
  return PlanUnit(profile, both, leanings);
}

TEST(PlanUnit, WeightsAndOtherTensorsLoseNothingInAnyProfile) {
  ForEveryTensor([](Profile profile, const TensorInfo& info, const Leanings& leanings) {
    const UnitPlan plan = PlanOne(profile, info, leanings);
    EXPECT_FALSE(plan.why.empty());
    if (info.role != Role::kWeight && info.role != Role::kOther) return;
    for (CodecId id : plan.codecs) {
      EXPECT_NE(id, CodecId::kCluster);
      EXPECT_NE(id, CodecId::kResidual);
    }
  });
}

TEST(PlanUnit, ExactAndFastLoseNothing) {
  for (Profile profile : {Profile::kExact, Profile::kFast}) {
    EXPECT_EQ(AcceptedBy(profile).update_error, 0);
    EXPECT_EQ(AcceptedBy(profile).master_bits, 16u);
    EXPECT_TRUE(PlanMoments(profile, {.base = true, .coded_base = true}).codecs.empty());
  }
  ForEveryTensor([](Profile profile, const TensorInfo& info, const Leanings& leanings) {
    if (profile == Profile::kPaper) return;
    for (CodecId id : PlanOne(profile, info, leanings).codecs) EXPECT_NE(id, CodecId::kCluster);
  });
}

TEST(PlanUnit, NamesOnlyCodecsThatCanDoIt) {
  ForEveryTensor([](Profile profile, const TensorInfo& info, const Leanings& leanings) {
    for (CodecId id : PlanOne(profile, info, leanings).codecs) {
      const Codec& codec = GetCodec(id);
      EXPECT_TRUE(codec.Supports(info.dtype)) << codec.name();
      EXPECT_TRUE(!codec.needs_base() || leanings.base) << codec.name();
      EXPECT_TRUE(!codec.needs_peer() || leanings.weight) << codec.name();
    }
  });
}

TEST(PlanUnit, WhatMayLoseStandsAlone) {
  ForEveryTensor([](Profile profile, const TensorInfo& info, const Leanings& leanings) {
    const UnitPlan plan = PlanOne(profile, info, leanings);
    const bool may_lose = std::ranges::any_of(plan.codecs, [&](CodecId id) {
      return id == CodecId::kCluster ||
             (id == CodecId::kResidual && AcceptedBy(profile).master_bits < 16);
    });
    EXPECT_EQ(plan.lossy, may_lose);
    EXPECT_TRUE(!may_lose || plan.codecs.size() == 1);
  });
}

const UnitSample kSample = {.unit_bytes = 8000,
                            .sampled_bytes = 1000,
                            .codecs = {{CodecId::kDelta, true, 250},
                                       {CodecId::kBitmask, true, 300},
                                       {CodecId::kPlanes, false, 500}}};

TEST(Narrow, KeepsTheBestAndWhatComesNear) {
  UnitSample sample = kSample;
  sample.codecs = {{CodecId::kResidual, false, 250},
                   {CodecId::kBitmask, true, 253},
                   {CodecId::kPlanes, false, 254}};
  EXPECT_THAT(Narrow({{}, ""}, sample, true).codecs,
              ElementsAre(CodecId::kResidual, CodecId::kBitmask));
}

TEST(Narrow, LeavesOutWhatNeedsTheBase) {
  const UnitPlan plan{{CodecId::kDelta, CodecId::kBitmask, CodecId::kPlanes}, "lossless"};
  const UnitPlan delta = Narrow(plan, kSample, true);
  EXPECT_THAT(delta.codecs, ElementsAre(CodecId::kDelta));
  EXPECT_THAT(delta.why, HasSubstr("delta 4.00x"));
  const UnitPlan alone = Narrow(plan, kSample, false);
  EXPECT_THAT(alone.codecs, ElementsAre(CodecId::kPlanes));
  EXPECT_THAT(alone.why, testing::Not(HasSubstr("delta")));
}

TEST(Narrow, PutsTheBestFirst) {
  UnitSample sample = kSample;
  sample.codecs[1].coded_bytes = 503;
  std::swap(sample.codecs[1], sample.codecs[2]);
  sample.codecs[0].coded_bytes = 1000;
  sample.codecs[1].coded_bytes = 505;
  EXPECT_THAT(Narrow({{}, ""}, sample, true).codecs,
              ElementsAre(CodecId::kBitmask, CodecId::kPlanes));
}

TEST(Narrow, AsksADeltaForAnEighth) {
  UnitSample sample = kSample;
  sample.codecs[1].coded_bytes = 480;
  sample.codecs[0].coded_bytes = 420;
  EXPECT_THAT(Narrow({{}, ""}, sample, true).codecs, ElementsAre(CodecId::kDelta));
  EXPECT_EQ(EstimateBytes(sample, true), 8 * 420u);
  sample.codecs[0].coded_bytes = 421;
  EXPECT_THAT(Narrow({{}, ""}, sample, true).codecs, ElementsAre(CodecId::kBitmask));
  EXPECT_EQ(EstimateBytes(sample, true), 8 * 480u);
}

TEST(EstimateBytes, ScalesTheBestOfTheSample) {
  EXPECT_EQ(EstimateBytes(kSample, true), 2000u);
  EXPECT_EQ(EstimateBytes(kSample, false), 4000u);
  EXPECT_EQ(EstimateBytes({.unit_bytes = 70, .sampled_bytes = 70}, true), 70u);  // raw
  EXPECT_EQ(EstimateBytes({}, true), 0u);
}

UnitSample SampleOfMoments(uint64_t on_base, uint64_t alone) {
  return {1 << 20, 1 << 16, {{CodecId::kAdamDelta, true, on_base}, {CodecId::kAdam, false, alone}}};
}

TEST(PlanMoments, LeansWhereThatSavesOneInSixtyFour) {
  const UnitPlan plan = PlanMoments(Profile::kBalanced, {.base = true, .coded_base = true});
  EXPECT_TRUE(plan.lossy);
  EXPECT_EQ(BaseFormOf(plan), BaseForm::kCoded);
  EXPECT_EQ(BaseFormOf(PlanMoments(Profile::kBalanced, {.base = true})), BaseForm::kDecoded);
  const auto narrow = [&](uint64_t on_base, bool with_base) {
    return Narrow(plan, SampleOfMoments(on_base, 6400), with_base);
  };
  for (uint64_t on_base : {1, 6299, 6300}) {
    const UnitPlan leaning = narrow(on_base, true);
    EXPECT_EQ(leaning.codecs, std::vector{CodecId::kAdamDelta});
    EXPECT_EQ(leaning.others, std::vector{CodecId::kAdam});
    EXPECT_EQ(narrow(on_base, false).codecs, std::vector{CodecId::kAdam});
    EXPECT_EQ(EstimateBytes(SampleOfMoments(on_base, 6400), true), 16 * on_base);
  }
  for (uint64_t on_base : {6301, 6400, 10000}) {
    EXPECT_EQ(narrow(on_base, true).codecs, std::vector{CodecId::kAdam});
    EXPECT_EQ(EstimateBytes(SampleOfMoments(on_base, 6400), true), uint64_t{16 * 6400});
  }
}

TEST(DecideBase, AsksForATwentieth) {
  EXPECT_TRUE(DecideBase(5, {1000, 950}, {1000, 1000, 1}).delta);
  EXPECT_FALSE(DecideBase(5, {1000, 951}, {1000, 1000, 1}).delta);
  EXPECT_FALSE(DecideBase(5, {1000, 2000}, {1000, 1000, 1}).delta);
  EXPECT_FALSE(DecideBase(5, {0, 0}, {1000, 1000, 1}).delta);
  EXPECT_TRUE(DecideBase(5, {1000, 0}, {1000, 1000, 1}).delta);
}

// Deltas that grow from 100 bytes by 20 each, over a base of 1000.
TEST(DecideBase, StartsAnewWhereTheAverageIsLeast) {
  Chain chain{1000, 1000, 1};
  uint64_t delta = 100;
  while (DecideBase(5, {1000, delta}, chain).delta) {
    chain.bytes += delta;
    ++chain.snapshots;
    delta += 20;
  }
  const auto average = [](uint64_t snapshots) {
    uint64_t bytes = 1000;
    for (uint64_t i = 0; i + 1 < snapshots; ++i) bytes += 100 + 20 * i;
    return static_cast<double>(bytes) / static_cast<double>(snapshots);
  };
  EXPECT_LE(average(chain.snapshots), average(chain.snapshots + 1));
  EXPECT_LE(average(chain.snapshots), average(chain.snapshots - 1));
}

// An expensive base does not excuse deltas that are far from it once bases have become cheap.
TEST(DecideBase, ComparesWithWhatAChainWouldTakeToday) {
  const Chain chain{5000, 5000 + 4 * 3000, 5};  // 3400 on average
  EXPECT_TRUE(DecideBase(5, {5000, 3300}, chain).delta);
  EXPECT_FALSE(DecideBase(5, {4000, 3300}, chain).delta);
  EXPECT_TRUE(DecideBase(5, {4000, 2700}, chain).delta);
  EXPECT_FALSE(DecideBase(5, {9000, 3500}, chain).delta);  // nor does a cheap base
}

class RelationsTest : public testing::Test {
 protected:
  uint32_t Add(DType dtype, Role role, std::string group, std::vector<uint64_t> shape = {4, 2}) {
    infos_.push_back({.name = std::to_string(infos_.size()),
                      .dtype = dtype,
                      .shape = std::move(shape),
                      .role = role,
                      .group = std::move(group)});
    return static_cast<uint32_t>(infos_.size() - 1);
  }

  std::vector<Relations> Find() const {
    std::vector<const TensorInfo*> pointers;
    for (const TensorInfo& info : infos_) pointers.push_back(&info);
    return FindRelations(pointers);
  }

  std::vector<TensorInfo> infos_;
};

TEST_F(RelationsTest, FindsTheTensorsOfOneParameter) {
  const auto exp_avg = Add(DType::kF32, Role::kExpAvg, "w");
  const auto master = Add(DType::kF32, Role::kMaster, "w");
  const auto weight = Add(DType::kF16, Role::kWeight, "w");
  const auto exp_avg_sq = Add(DType::kF32, Role::kExpAvgSq, "w");
  Add(DType::kF32, Role::kExpAvg, "other");
  const auto relations = Find();
  EXPECT_EQ(relations[master].weight, weight);
  EXPECT_EQ(relations[exp_avg_sq].exp_avg, exp_avg);
  EXPECT_FALSE(relations[exp_avg].exp_avg || relations[weight].weight);
}

TEST_F(RelationsTest, LeavesAloneWhatDoesNotFit) {
  Add(DType::kF32, Role::kMaster, "shape");
  Add(DType::kBF16, Role::kWeight, "shape", {8});
  Add(DType::kF32, Role::kMaster, "dtype");
  Add(DType::kF32, Role::kWeight, "dtype");
  Add(DType::kBF16, Role::kMaster, "low");
  Add(DType::kBF16, Role::kWeight, "low");
  Add(DType::kF32, Role::kExpAvgSq, "moments");
  Add(DType::kBF16, Role::kExpAvg, "moments");
  Add(DType::kF32, Role::kMaster, "");
  Add(DType::kBF16, Role::kWeight, "");
  for (const Relations& each : Find()) EXPECT_FALSE(each.weight || each.exp_avg);
}

TEST_F(RelationsTest, DoesNotGuessAmongSeveral) {
  Add(DType::kF32, Role::kMaster, "w");
  Add(DType::kBF16, Role::kWeight, "w");
  Add(DType::kBF16, Role::kWeight, "w");
  Add(DType::kF32, Role::kExpAvgSq, "v");
  Add(DType::kF32, Role::kExpAvgSq, "v");
  Add(DType::kF32, Role::kExpAvg, "v");
  for (const Relations& each : Find()) EXPECT_FALSE(each.weight || each.exp_avg);
}

}  // namespace
}  // namespace bitsnap
