#include "policy/plan.h"

#include <gtest/gtest.h>

namespace bitsnap {
namespace {

TensorInfo Info(DType dtype, Role role) {
  return {.name = "t", .dtype = dtype, .shape = {1}, .role = role};
}

constexpr Profile kProfiles[] = {Profile::kExact, Profile::kFast, Profile::kPaper};

TEST(PlanTensor, OnlyPaperIsEverLossyAndOnlyOnFp32OptimizerState) {
  for (Profile profile : kProfiles) {
    for (size_t dtype = 0; dtype < kDTypeCount; ++dtype) {
      for (size_t role = 0; role < kRoleCount; ++role) {
        for (bool has_base : {false, true}) {
          const TensorInfo info = Info(static_cast<DType>(dtype), static_cast<Role>(role));
          const TensorPlan plan = PlanTensor(profile, info, has_base);
          EXPECT_FALSE(plan.why.empty());
          const bool may_lose = profile == Profile::kPaper && info.dtype == DType::kF32 &&
                                info.role != Role::kWeight && info.role != Role::kOther;
          for (CodecId id : plan.codecs) {
            EXPECT_EQ(id == CodecId::kCluster, may_lose);
            EXPECT_TRUE(id != CodecId::kBitmask || has_base);
          }
        }
      }
    }
  }
}

TEST(DecideBase, AsksForATenth) {
  EXPECT_TRUE(DecideBase(5, {1000, 900}).delta);
  EXPECT_FALSE(DecideBase(5, {1000, 901}).delta);
  EXPECT_FALSE(DecideBase(5, {1000, 2000}).delta);
  EXPECT_FALSE(DecideBase(5, {0, 0}).delta);
  EXPECT_TRUE(DecideBase(5, {1000, 0}).delta);
}

}  // namespace
}  // namespace bitsnap
